// Loops over float32 rows in the CPU's memory, each reading and writing its operands once: what a step does between its
// matrix products. Shapes are in the comments, row-major; `begin` and `end` are rows, so that a caller can share them
// out among threads. Nothing here allocates.
#pragma once

#include <cstdint>

namespace sbp::kernels {

// sum = x + update and y = rms_norm(sum) * gain for rows of d; rstd[row] = 1 / sqrt(mean(sum^2) + eps).
void add_rms_norm(int64_t begin, int64_t end, int64_t d, float eps, const float *x, const float *update,
                  const float *gain, float *sum, float *y, float *rstd);

// d_sum of the above, with d_passed (or null) added, which came for sum itself. Adds to d_gain[d].
void add_rms_norm_backward(int64_t begin, int64_t end, int64_t d, const float *d_y, const float *d_passed,
                           const float *sum, const float *gain, const float *rstd, float *d_sum, float *d_gain);

// Heads of queries and keys and their sizes.
struct Heads {
  int64_t queries; // h
  int64_t keys;    // g
  int64_t width;   // k
};

// From rows [h k | g k | g k]: normalised and rotated queries [h k] and keys [g k], and values [g k] as they are.
// cos_sin holds k/2 cosines and k/2 sines a position. rstd is [h + g] a row.
void rotate_heads(int64_t begin, int64_t end, Heads heads, float eps, const float *qkv, const float *q_gain,
                  const float *k_gain, const float *cos_sin, const int64_t *positions, float *q, float *k, float *v,
                  float *rstd);

// d_qkv of the above. Adds to d_gain, [k] of queries and then [k] of keys.
void rotate_heads_backward(int64_t begin, int64_t end, Heads heads, const float *qkv, const float *q_gain,
                           const float *k_gain, const float *cos_sin, const int64_t *positions, const float *rstd,
                           const float *d_q, const float *d_k, const float *d_v, float *d_qkv, float *d_gain);

// y[row] [h k]: what the queries q[row] [h k] of one new token attend to in row `row` of a cache, [rows, t, g k], at positions 0
// to positions[row]. `scores` is scratch of t floats. Work is numbered row by row and, within, by key head.
void attend_cached(int64_t begin, int64_t end, Heads heads, int64_t t, const int64_t *positions, const float *q,
                   const float *keys, const float *values, float *y, float *scores);

// For rows of v logits: the first greatest, and its logarithm of softmax.
void greatest(int64_t begin, int64_t end, int64_t v, const float *logits, int64_t *places, float *log_probs);

// out = silu(gate) * up, element by element.
void swiglu(int64_t begin, int64_t end, const float *gate, const float *up, float *out);
void swiglu_backward(int64_t begin, int64_t end, const float *gate, const float *up, const float *d_out, float *d_gate,
                     float *d_up);

// For rows of v logits: losses[row] = -log softmax(logits)[target], and logits become its gradient times weights[row].
void cross_entropy(int64_t begin, int64_t end, int64_t v, float *logits, const int64_t *targets, const float *weights,
                   float *losses);

// table[ids[i]] += rows[i] for the ids of share `share` of `shares`, so that shares never write the same row.
void add_rows(int64_t share, int64_t shares, int64_t count, int64_t d, const int64_t *ids, const float *rows,
              float *table);

} // namespace sbp::kernels
