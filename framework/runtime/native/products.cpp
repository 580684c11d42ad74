// Matrix products by whichever library computes them faster on this processor.
#include "shim.h"

#include "guarded.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>

namespace at::native {
// oneDNN's product of matrices of any strides: result = alpha * a b + beta * result. libtorch_cpu exports it without a
// header.
TORCH_API void mkldnn_matmul(const Tensor &a, const Tensor &b, const Tensor &result, float beta, float alpha);
} // namespace at::native
#endif

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

#if defined(__x86_64__) && defined(__linux__)

// Multiply-adds from which setting up a product of oneDNN pays.
constexpr int64_t least_work = 1 << 22;

// libtorch leaves products of float32 to MKL, which is at its best on its maker's processors. On AMD's, oneDNN is faster,
// where libtorch lets it: its function asks for AVX-512 whatever the numbers are.
bool prefers_onednn() {
  static const bool answer = [] {
    unsigned level = 0, b = 0, c = 0, d = 0;
    const bool is_amd = __get_cpuid(0, &level, &b, &c, &d) != 0 && b == signature_AMD_ebx;
    return is_amd && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && at::globalContext().hasMKLDNN();
  }();
  return answer;
}

// result = a b + beta * result, if oneDNN is to do it.
bool by_onednn(const Tensor &a, const Tensor &b, const Tensor &result, float beta) {
  if (!prefers_onednn() || !a.is_cpu() || a.scalar_type() != at::kFloat || b.scalar_type() != at::kFloat ||
      a.size(0) * a.size(1) * b.size(1) < least_work) {
    return false;
  }
  at::native::mkldnn_matmul(a, b, result, beta, 1);
  return true;
}

#else

bool by_onednn(const Tensor &, const Tensor &, const Tensor &, float) { return false; }

#endif

void check(const Tensor &a, const Tensor &b) {
  TORCH_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(0), "a product of ", a.sizes(), " and ", b.sizes());
}

Tensor product(const Tensor &a, const Tensor &b) {
  check(a, b);
  Tensor result = at::empty({a.size(0), b.size(1)}, a.options());
  if (!by_onednn(a, b, result, 0)) {
    at::mm_out(result, a, b);
  }
  return result;
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &weight) {
    context->save_for_backward({x, weight});
    return product(x, weight.t());
  }

  static variable_list backward(AutogradContext *context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], d_y = grads[0].contiguous();
    return {product(d_y, weight), product(d_y.t(), x)};
  }
};

} // namespace

int sbp_linear(void *x, void *weight, void **y) {
  return sbp::guarded([&] { *y = new Tensor(Linear::apply(sbp::tensor(x), sbp::tensor(weight))); });
}

int sbp_product(void *a, void *b, void **result) {
  return sbp::guarded([&] {
    c10::NoGradGuard no_grad;
    *result = new Tensor(product(sbp::tensor(a), sbp::tensor(b)));
  });
}

int sbp_add_product(void *sum, void *a, void *b) {
  return sbp::guarded([&] {
    c10::NoGradGuard no_grad;
    Tensor &to = sbp::tensor(sum);
    const Tensor &left = sbp::tensor(a), &right = sbp::tensor(b);
    check(left, right);
    if (!by_onednn(left, right, to, 1)) {
      to.addmm_(left, right);
    }
  });
}
