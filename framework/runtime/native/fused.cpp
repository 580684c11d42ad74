// The loops of kernels.h as differentiable operations on tensors of the CPU.
#include "shim.h"

#include "guarded.h"
#include "kernels.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
namespace kernels = sbp::kernels;

// Fewer elements than this are not worth a second thread.
constexpr int64_t grain = 1 << 14;

const float *in(const Tensor &x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; }
float *out(Tensor &x) { return x.mutable_data_ptr<float>(); }

void check_rows(const Tensor &x, const char *name) {
  TORCH_CHECK(x.is_contiguous() && x.scalar_type() == at::kFloat && x.is_cpu(), name,
              " must be contiguous float32 on the CPU");
}

template <typename Work> void over_rows(int64_t rows, int64_t width, Work work) {
  at::parallel_for(0, rows, std::max<int64_t>(1, grain / std::max<int64_t>(1, width)), work);
}

// Calls work(begin, end, partial) for as many runs of rows as there are threads, and adds up what each put into its own
// `partial` of `width`: the same number of threads adds in the same order.
template <typename Work> Tensor summed_over_rows(int64_t rows, int64_t width, const Tensor &like, Work work) {
  const int64_t shares = rows * width < grain ? 1 : at::get_num_threads();
  Tensor partial = at::zeros({shares, width}, like.options());
  float *sums = out(partial);
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t share = first; share < last; ++share) {
      work(rows * share / shares, rows * (share + 1) / shares, sums + share * width);
    }
  });
  return shares == 1 ? partial.squeeze(0) : partial.sum(0);
}

struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext *context, const Tensor &x, const Tensor &update, const Tensor &gain,
                               double eps) {
    check_rows(x, "x");
    check_rows(update, "update");
    check_rows(gain, "gain");
    const int64_t n = x.size(0), d = x.size(1);
    TORCH_CHECK(update.sizes() == x.sizes() && gain.numel() == d, "x ", x.sizes(), ", update ", update.sizes(),
                " and gain ", gain.sizes(), " do not fit together");
    Tensor sum = at::empty_like(x), y = at::empty_like(x), rstd = at::empty({n}, x.options());
    float *to_sum = out(sum), *to_y = out(y), *to_rstd = out(rstd);
    over_rows(n, d, [&](int64_t begin, int64_t end) {
      kernels::add_rms_norm(begin, end, d, static_cast<float>(eps), in(x), in(update), in(gain), to_sum, to_y, to_rstd);
    });
    context->set_materialize_grads(false);
    context->save_for_backward({sum, gain, rstd});
    return {sum, y};
  }

  static variable_list backward(AutogradContext *context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &sum = saved[0], &gain = saved[1], &rstd = saved[2];
    if (!grads[1].defined()) {
      return {grads[0], grads[0], Tensor(), Tensor()};
    }
    const Tensor passed = grads[0].defined() ? grads[0].contiguous() : grads[0], d_y = grads[1].contiguous();
    Tensor d_sum = at::empty_like(sum);
    float *to = out(d_sum);
    const int64_t d = sum.size(1);
    Tensor d_gain = summed_over_rows(sum.size(0), d, sum, [&](int64_t begin, int64_t end, float *partial) {
      kernels::add_rms_norm_backward(begin, end, d, in(d_y), in(passed), in(sum), in(gain), in(rstd), to, partial);
    });
    return {d_sum, d_sum, d_gain, Tensor()};
  }
};

struct RotateHeads : torch::autograd::Function<RotateHeads> {
  static variable_list forward(AutogradContext *context, const Tensor &qkv, const Tensor &q_gain, const Tensor &k_gain,
                               const Tensor &cos_sin, const Tensor &positions, int64_t queries, int64_t keys,
                               double eps) {
    check_rows(qkv, "qkv");
    check_rows(q_gain, "q_gain");
    check_rows(k_gain, "k_gain");
    check_rows(cos_sin, "cos_sin");
    const int64_t n = qkv.size(0), width = q_gain.numel();
    TORCH_CHECK(qkv.size(1) == (queries + 2 * keys) * width && k_gain.numel() == width && width % 2 == 0,
                "qkv has rows of ", qkv.size(1), " for ", queries, " + 2 x ", keys, " heads of ", width);
    TORCH_CHECK(positions.is_contiguous() && positions.scalar_type() == at::kLong && positions.numel() == n &&
                    cos_sin.size(-1) * cos_sin.size(-2) == width,
                "positions and rotations must fit to the rows");
    const int64_t *places = positions.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < n; ++row) {
      TORCH_CHECK(places[row] >= 0 && places[row] < cos_sin.size(0), "position ", places[row],
                  " is outside the table of ", cos_sin.size(0));
    }
    Tensor q = at::empty({n, queries, width}, qkv.options()), k = at::empty({n, keys, width}, qkv.options());
    Tensor v = at::empty({n, keys, width}, qkv.options()), rstd = at::empty({n, queries + keys}, qkv.options());
    float *to_q = out(q), *to_k = out(k), *to_v = out(v), *to_rstd = out(rstd);
    const kernels::Heads heads{queries, keys, width};
    over_rows(n, qkv.size(1), [&](int64_t begin, int64_t end) {
      kernels::rotate_heads(begin, end, heads, static_cast<float>(eps), in(qkv), in(q_gain), in(k_gain), in(cos_sin),
                            places, to_q, to_k, to_v, to_rstd);
    });
    context->saved_data["queries"] = queries;
    context->saved_data["keys"] = keys;
    context->save_for_backward({qkv, q_gain, k_gain, cos_sin, positions, rstd});
    return {q, k, v};
  }

  static variable_list backward(AutogradContext *context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &qkv = saved[0], &q_gain = saved[1], &k_gain = saved[2], &cos_sin = saved[3], &positions = saved[4],
                 &rstd = saved[5];
    const kernels::Heads heads{context->saved_data["queries"].toInt(), context->saved_data["keys"].toInt(),
                               q_gain.numel()};
    const Tensor d_q = grads[0].contiguous(), d_k = grads[1].contiguous(), d_v = grads[2].contiguous();
    Tensor d_qkv = at::empty_like(qkv);
    float *to = out(d_qkv);
    Tensor d_gain = summed_over_rows(qkv.size(0), 2 * heads.width, qkv, [&](int64_t begin, int64_t end, float *sums) {
      kernels::rotate_heads_backward(begin, end, heads, in(qkv), in(q_gain), in(k_gain), in(cos_sin),
                                     positions.const_data_ptr<int64_t>(), in(rstd), in(d_q), in(d_k), in(d_v), to,
                                     sums);
    });
    return {d_qkv,    d_gain.narrow(0, 0, heads.width), d_gain.narrow(0, heads.width, heads.width), Tensor(), Tensor(),
            Tensor(), Tensor(),                         Tensor()};
  }
};

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static Tensor forward(AutogradContext *context, const Tensor &gate, const Tensor &up) {
    check_rows(gate, "gate");
    check_rows(up, "up");
    TORCH_CHECK(gate.sizes() == up.sizes(), "gate and up must have one shape");
    Tensor y = at::empty_like(gate);
    float *to = out(y);
    over_rows(gate.numel(), 1, [&](int64_t begin, int64_t end) {
      kernels::swiglu(begin, end, in(gate), in(up), to);
    });
    context->save_for_backward({gate, up});
    return y;
  }

  static variable_list backward(AutogradContext *context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &gate = saved[0], &up = saved[1];
    const Tensor d_out = grads[0].contiguous();
    Tensor d_gate = at::empty_like(gate), d_up = at::empty_like(up);
    float *to_gate = out(d_gate), *to_up = out(d_up);
    over_rows(gate.numel(), 1, [&](int64_t begin, int64_t end) {
      kernels::swiglu_backward(begin, end, in(gate), in(up), in(d_out), to_gate, to_up);
    });
    return {d_gate, d_up};
  }
};

Tensor *released(const Tensor &x) { return new Tensor(x); }

} // namespace

int sbp_add_rms_norm(void *x, void *update, void *gain, double eps, void **sum, void **y) {
  return sbp::guarded([&] {
    auto made = AddRmsNorm::apply(sbp::tensor(x), sbp::tensor(update), sbp::tensor(gain), eps);
    *sum = released(made[0]);
    *y = released(made[1]);
  });
}

int sbp_rotate_heads(void *qkv, void *q_gain, void *k_gain, void *cos_sin, void *positions, int64_t queries,
                     int64_t keys, double eps, void **q, void **k, void **v) {
  return sbp::guarded([&] {
    auto made = RotateHeads::apply(sbp::tensor(qkv), sbp::tensor(q_gain), sbp::tensor(k_gain), sbp::tensor(cos_sin),
                                   sbp::tensor(positions), queries, keys, eps);
    *q = released(made[0]);
    *k = released(made[1]);
    *v = released(made[2]);
  });
}

int sbp_swiglu(void *gate, void *up, void **y) {
  return sbp::guarded([&] { *y = released(SwiGlu::apply(sbp::tensor(gate), sbp::tensor(up))); });
}

int sbp_cross_entropy(void *logits, void *targets, void *weights, void **losses) {
  return sbp::guarded([&] {
    c10::NoGradGuard no_grad;
    Tensor &x = sbp::tensor(logits);
    const Tensor &wanted = sbp::tensor(targets), &weight = sbp::tensor(weights);
    check_rows(x, "logits");
    check_rows(weight, "weights");
    const int64_t rows = x.size(0), v = x.size(1);
    TORCH_CHECK(wanted.is_contiguous() && wanted.scalar_type() == at::kLong && wanted.numel() == rows &&
                    weight.numel() == rows,
                "targets and weights must be one a row");
    Tensor lost = at::empty({rows}, x.options());
    float *to = out(lost), *to_logits = out(x);
    const int64_t *target = wanted.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < rows; ++row) {
      TORCH_CHECK(target[row] >= 0 && target[row] < v, "target ", target[row], " is outside the vocabulary of ", v);
    }
    over_rows(rows, v, [&](int64_t begin, int64_t end) {
      kernels::cross_entropy(begin, end, v, to_logits, target, in(weight), to);
    });
    *losses = released(lost);
  });
}

int sbp_attend_cached(void *q, void *keys, void *values, void *positions, void **y) {
  return sbp::guarded([&] {
    c10::NoGradGuard no_grad;
    const Tensor &query = sbp::tensor(q), &key = sbp::tensor(keys), &value = sbp::tensor(values);
    const Tensor &position = sbp::tensor(positions);
    check_rows(query, "queries");
    check_rows(key, "keys");
    check_rows(value, "values");
    const int64_t n = query.size(0), rows = key.size(0), t = key.size(1);
    const kernels::Heads heads{query.size(1), key.size(2), query.size(2)};
    TORCH_CHECK(key.sizes() == value.sizes() && key.size(3) == heads.width && heads.queries % heads.keys == 0 && n <= rows,
                "queries ", query.sizes(), ", keys ", key.sizes(), " and values ", value.sizes(), " do not fit together");
    TORCH_CHECK(position.is_contiguous() && position.scalar_type() == at::kLong && position.numel() == n,
                "there must be a position for every row");
    const int64_t *places = position.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < n; ++row) {
      TORCH_CHECK(places[row] >= 0 && places[row] < t, "position ", places[row], " is outside the cache of ", t);
    }
    Tensor result = at::empty_like(query);
    float *to = out(result);
    at::parallel_for(0, n * heads.keys, 4, [&](int64_t begin, int64_t end) {
      std::vector<float> scores(t);
      kernels::attend_cached(begin, end, heads, t, places, in(query), in(key), in(value), to, scores.data());
    });
    *y = new Tensor(result);
  });
}

int sbp_greatest(void *logits, int64_t *places, float *log_probs) {
  return sbp::guarded([&] {
    const Tensor &x = sbp::tensor(logits);
    check_rows(x, "logits");
    TORCH_CHECK(x.dim() == 2 && x.size(1) > 0, "logits ", x.sizes());
    at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
      kernels::greatest(begin, end, x.size(1), in(x), places, log_probs);
    });
  });
}

int sbp_add_rows(void *table, void *ids, void *rows) {
  return sbp::guarded([&] {
    c10::NoGradGuard no_grad;
    Tensor &to = sbp::tensor(table);
    const Tensor &id = sbp::tensor(ids), &from = sbp::tensor(rows);
    check_rows(to, "table");
    check_rows(from, "rows");
    TORCH_CHECK(id.is_contiguous() && id.scalar_type() == at::kLong && id.numel() == from.size(0) &&
                    from.size(1) == to.size(1),
                "ids and rows must fit to the table");
    const int64_t *places = id.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < id.numel(); ++row) {
      TORCH_CHECK(places[row] >= 0 && places[row] < to.size(0), "row ", places[row], " is outside the table");
    }
    float *table_data = out(to);
    const int64_t shares = at::get_num_threads();
    at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
      for (int64_t share = first; share < last; ++share) {
        kernels::add_rows(share, shares, id.numel(), to.size(1), places, in(from), table_data);
      }
    });
  });
}

int sbp_backward(size_t num_outputs, void **outputs, void **output_grads, size_t num_inputs, void **inputs,
                 void **input_grads) {
  return sbp::guarded([&] {
    auto of = sbp::list(num_outputs, outputs, "outputs");
    auto with = sbp::list(num_outputs, output_grads, "output_grads");
    auto to = sbp::list(num_inputs, inputs, "inputs");
    auto found = torch::autograd::grad(of, to, with);
    for (size_t i = 0; i < num_inputs; ++i) {
      input_grads[i] = released(found[i]);
    }
  });
}
