#include "kernels.h"

#include <cmath>
#include <cstring>

// Each function is compiled for several widths of vector registers, and the loader picks one for the machine.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define SBP_WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SBP_WIDE
#endif

namespace sbp::kernels {

namespace {

// e^x by 2^n e^r with |r| <= ln(2)/2 and a polynomial of degree 6 (the coefficients of Cephes' expf, S. Moshier): at
// most 1.03 units in the last place off, over every float from -87 to 88. Below -87 it is e^-87, so that it never is a denormal number; not-a-number stays so.
inline __attribute__((always_inline)) float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  // Adding 1.5 x 2^23 leaves the nearest whole number in the low bits.
  const float shifted = x * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const uint32_t scale_bits = (bits + 127u) << 23;
  float scale;
  std::memcpy(&scale, &scale_bits, sizeof scale);
  return p * scale;
}

} // namespace

SBP_WIDE void add_rms_norm(int64_t begin, int64_t end, int64_t d, float eps, const float *x, const float *update,
                           const float *gain, float *sum, float *y, float *rstd) {
  for (int64_t row = begin; row < end; ++row) {
    const float *from = x + row * d, *more = update + row * d;
    float *to = sum + row * d;
    float square = 0.0f;
#pragma omp simd reduction(+ : square)
    for (int64_t i = 0; i < d; ++i) {
      const float value = from[i] + more[i];
      to[i] = value;
      square += value * value;
    }
    const float scale = 1.0f / std::sqrt(square / static_cast<float>(d) + eps);
    rstd[row] = scale;
    float *out = y + row * d;
#pragma omp simd
    for (int64_t i = 0; i < d; ++i) {
      out[i] = to[i] * scale * gain[i];
    }
  }
}

SBP_WIDE void add_rms_norm_backward(int64_t begin, int64_t end, int64_t d, const float *d_y, const float *d_passed,
                                    const float *sum, const float *gain, const float *rstd, float *d_sum,
                                    float *d_gain) {
  for (int64_t row = begin; row < end; ++row) {
    const float *dy = d_y + row * d;
    const float *s = sum + row * d;
    float *out = d_sum + row * d;
    const float scale = rstd[row];
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < d; ++i) {
      const float product = dy[i] * s[i];
      d_gain[i] += product * scale;
      dot += product * gain[i];
    }
    const float along = dot * scale * scale * scale / static_cast<float>(d);
    if (d_passed != nullptr) {
      const float *passed = d_passed + row * d;
#pragma omp simd
      for (int64_t i = 0; i < d; ++i) {
        out[i] = passed[i] + dy[i] * gain[i] * scale - s[i] * along;
      }
    } else {
#pragma omp simd
      for (int64_t i = 0; i < d; ++i) {
        out[i] = dy[i] * gain[i] * scale - s[i] * along;
      }
    }
  }
}

SBP_WIDE void rotate_heads(int64_t begin, int64_t end, Heads heads, float eps, const float *qkv, const float *q_gain,
                           const float *k_gain, const float *cos_sin, const int64_t *positions, float *q, float *k,
                           float *v, float *rstd) {
  const int64_t width = heads.width, half = width / 2, turned = heads.queries + heads.keys;
  for (int64_t row = begin; row < end; ++row) {
    const float *from = qkv + row * (turned + heads.keys) * width;
    const float *cosine = cos_sin + positions[row] * width, *sine = cosine + half;
    for (int64_t head = 0; head < turned; ++head) {
      const bool query = head < heads.queries;
      const float *x = from + head * width, *gain = query ? q_gain : k_gain;
      float *out = query ? q + (row * heads.queries + head) * width
                         : k + (row * heads.keys + head - heads.queries) * width;
      float square = 0.0f;
#pragma omp simd reduction(+ : square)
      for (int64_t i = 0; i < width; ++i) {
        square += x[i] * x[i];
      }
      const float scale = 1.0f / std::sqrt(square / static_cast<float>(width) + eps);
      rstd[row * turned + head] = scale;
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const float a = x[i] * scale * gain[i], b = x[i + half] * scale * gain[i + half];
        out[i] = a * cosine[i] - b * sine[i];
        out[i + half] = b * cosine[i] + a * sine[i];
      }
    }
    std::memcpy(v + row * heads.keys * width, from + turned * width, heads.keys * width * sizeof(float));
  }
}

SBP_WIDE void rotate_heads_backward(int64_t begin, int64_t end, Heads heads, const float *qkv, const float *q_gain,
                                    const float *k_gain, const float *cos_sin, const int64_t *positions,
                                    const float *rstd, const float *d_q, const float *d_k, const float *d_v,
                                    float *d_qkv, float *d_gain) {
  const int64_t width = heads.width, half = width / 2, turned = heads.queries + heads.keys;
  for (int64_t row = begin; row < end; ++row) {
    const float *from = qkv + row * (turned + heads.keys) * width;
    float *to = d_qkv + row * (turned + heads.keys) * width;
    const float *cosine = cos_sin + positions[row] * width, *sine = cosine + half;
    for (int64_t head = 0; head < turned; ++head) {
      const bool query = head < heads.queries;
      const float *x = from + head * width, *gain = query ? q_gain : k_gain;
      const float *d_out = query ? d_q + (row * heads.queries + head) * width
                                 : d_k + (row * heads.keys + head - heads.queries) * width;
      float *d_x = to + head * width, *d_own = d_gain + (query ? 0 : width);
      const float scale = rstd[row * turned + head];
      float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
      for (int64_t i = 0; i < half; ++i) {
        // Turned back; what is left is the norm's own gradient.
        const float d_a = d_out[i] * cosine[i] + d_out[i + half] * sine[i];
        const float d_b = d_out[i + half] * cosine[i] - d_out[i] * sine[i];
        d_own[i] += d_a * x[i] * scale;
        d_own[i + half] += d_b * x[i + half] * scale;
        d_x[i] = d_a * gain[i];
        d_x[i + half] = d_b * gain[i + half];
        dot += d_x[i] * x[i] + d_x[i + half] * x[i + half];
      }
      const float along = dot * scale * scale * scale / static_cast<float>(width);
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        d_x[i] = d_x[i] * scale - x[i] * along;
      }
    }
    std::memcpy(to + turned * width, d_v + row * heads.keys * width, heads.keys * width * sizeof(float));
  }
}

namespace {

// As `attend_cached`, for a width that the compiler knows where it is called with a number, so that a head stays in registers.
inline __attribute__((always_inline)) void attend_width(const int64_t width, int64_t begin, int64_t end, Heads heads,
                                                        int64_t t, const int64_t *positions, const float *q,
                                                        const float *keys, const float *values, float *y,
                                                        float *scores) {
  const int64_t stride = heads.keys * width, group = heads.queries / heads.keys;
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  for (int64_t work = begin; work < end; ++work) {
    const int64_t row = work / heads.keys, head = work % heads.keys, seen = positions[row] + 1;
    const float *own = q + (row * heads.queries + head * group) * width;
    const float *key = keys + row * t * stride + head * width, *value = values + row * t * stride + head * width;
    float *out = y + (row * heads.queries + head * group) * width;
    for (int64_t query = 0; query < group; ++query) {
      const float *x = own + query * width;
      float most = -INFINITY;
      for (int64_t position = 0; position < seen; ++position) {
        const float *at = key + position * stride;
        float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
        for (int64_t i = 0; i < width; ++i) {
          dot += x[i] * at[i];
        }
        dot *= scale;
        scores[position] = dot;
        most = dot > most ? dot : most;
      }
      float total = 0.0f;
#pragma omp simd reduction(+ : total)
      for (int64_t position = 0; position < seen; ++position) {
        scores[position] = exponential(scores[position] - most);
        total += scores[position];
      }
      const float share = 1.0f / total;
      float *to = out + query * width;
      float sum[128];
      float *into = width <= 128 ? sum : to;
      std::memset(into, 0, width * sizeof(float));
      for (int64_t position = 0; position < seen; ++position) {
        const float *at = value + position * stride;
        const float weight = scores[position];
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) {
          into[i] += weight * at[i];
        }
      }
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        to[i] = into[i] * share;
      }
    }
  }
}

} // namespace

SBP_WIDE void attend_cached(int64_t begin, int64_t end, Heads heads, int64_t t, const int64_t *positions, const float *q,
                            const float *keys, const float *values, float *y, float *scores) {
  switch (heads.width) {
  case 32:
    return attend_width(32, begin, end, heads, t, positions, q, keys, values, y, scores);
  case 64:
    return attend_width(64, begin, end, heads, t, positions, q, keys, values, y, scores);
  case 128:
    return attend_width(128, begin, end, heads, t, positions, q, keys, values, y, scores);
  default:
    return attend_width(heads.width, begin, end, heads, t, positions, q, keys, values, y, scores);
  }
}

SBP_WIDE void greatest(int64_t begin, int64_t end, int64_t v, const float *logits, int64_t *places, float *log_probs) {
  for (int64_t row = begin; row < end; ++row) {
    const float *x = logits + row * v;
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < v; ++i) {
      most = x[i] > most ? x[i] : most;
    }
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < v; ++i) {
      total += exponential(x[i] - most);
    }
    int64_t place = 0;
    while (place + 1 < v && !(x[place] == most)) {
      ++place;
    }
    places[row] = place;
    log_probs[row] = -std::log(total);
  }
}

SBP_WIDE void swiglu(int64_t begin, int64_t end, const float *gate, const float *up, float *out) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    out[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
  }
}

SBP_WIDE void swiglu_backward(int64_t begin, int64_t end, const float *gate, const float *up, const float *d_out,
                              float *d_gate, float *d_up) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const float sigmoid = 1.0f / (1.0f + exponential(-gate[i]));
    const float silu = gate[i] * sigmoid;
    d_up[i] = d_out[i] * silu;
    d_gate[i] = d_out[i] * up[i] * (sigmoid + silu * (1.0f - sigmoid));
  }
}

SBP_WIDE void cross_entropy(int64_t begin, int64_t end, int64_t v, float *logits, const int64_t *targets,
                            const float *weights, float *losses) {
  for (int64_t row = begin; row < end; ++row) {
    float *x = logits + row * v;
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < v; ++i) {
      most = x[i] > most ? x[i] : most;
    }
    const float own = x[targets[row]];
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < v; ++i) {
      const float power = exponential(x[i] - most);
      x[i] = power;
      total += power;
    }
    losses[row] = std::log(total) + most - own;
    const float scale = weights[row] / total;
#pragma omp simd
    for (int64_t i = 0; i < v; ++i) {
      x[i] *= scale;
    }
    x[targets[row]] -= weights[row];
  }
}

SBP_WIDE void add_rows(int64_t share, int64_t shares, int64_t count, int64_t d, const int64_t *ids, const float *rows,
                       float *table) {
  for (int64_t row = 0; row < count; ++row) {
    if (ids[row] % shares != share) {
      continue;
    }
    float *to = table + ids[row] * d;
    const float *from = rows + row * d;
#pragma omp simd
    for (int64_t i = 0; i < d; ++i) {
      to[i] += from[i];
    }
  }
}

} // namespace sbp::kernels
