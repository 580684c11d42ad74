#include "shim.h"

#include "guarded.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <c10/core/GradMode.h>
#include <torch/headeronly/version.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

thread_local std::string last_error;

} // namespace

void sbp::remember(const char *text) {
  last_error = text;
  last_error = last_error.substr(0, last_error.find('\n'));
}

using sbp::guarded;
using sbp::list;
using sbp::tensor;

const char *sbp_last_error() { return last_error.c_str(); }

const char *sbp_torch_version() { return TORCH_VERSION; }

int sbp_fused_adamw(size_t count, void **params, void **grads, void **exp_avgs, void **exp_avg_sqs, void **steps,
                    double lr, double beta1, double beta2, double weight_decay, double eps) {
  return guarded([&] {
    if (count == 0) {
      return;
    }
    c10::NoGradGuard no_grad;
    auto step_list = list(count, steps, "steps");
    auto param_list = list(count, params, "params");
    auto grad_list = list(count, grads, "grads");
    auto exp_avg_list = list(count, exp_avgs, "exp_avgs");
    auto exp_avg_sq_list = list(count, exp_avg_sqs, "exp_avg_sqs");
    for (size_t i = 0; i < count; ++i) {
      // The kernel walks them side by side as flat arrays and checks nothing.
      for (const auto *other : {&grad_list[i], &exp_avg_list[i], &exp_avg_sq_list[i]}) {
        TORCH_CHECK(other->sizes() == param_list[i].sizes() && other->is_contiguous() &&
                        other->scalar_type() == param_list[i].scalar_type() &&
                        other->device() == param_list[i].device(),
                    "parameter ", i, ": gradient and moments must have its shape ", param_list[i].sizes(),
                    ", kind and device, and be contiguous");
      }
      TORCH_CHECK(param_list[i].is_contiguous(), "parameter ", i, " is not contiguous");
      TORCH_CHECK(step_list[i].numel() == 1 && step_list[i].scalar_type() == at::kFloat, "parameter ", i,
                  ": its step must be one float32");
    }
    at::_foreach_add_(step_list, 1);
    at::_fused_adamw_(param_list, grad_list, exp_avg_list, exp_avg_sq_list, {}, step_list, lr, beta1, beta2,
                      weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

int sbp_norms(size_t count, void **tensors, float *norms) {
  return guarded([&] {
    if (count == 0) {
      return;
    }
    c10::NoGradGuard no_grad;
    const auto found = at::stack(at::_foreach_norm(list(count, tensors, "tensors"), 2)).to(at::kFloat).cpu();
    std::memcpy(norms, found.const_data_ptr<float>(), count * sizeof(float));
  });
}

int sbp_norm_of_norms(size_t count, const float *norms, double *norm) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    const auto all = at::from_blob(const_cast<float *>(norms), {static_cast<int64_t>(count)}, at::kFloat);
    *norm = count == 0 ? 0.0 : at::linalg_vector_norm(all, 2).item<double>();
  });
}

int sbp_scale(size_t count, void **tensors, double factor) {
  return guarded([&] {
    if (count == 0) {
      return;
    }
    c10::NoGradGuard no_grad;
    at::_foreach_mul_(list(count, tensors, "tensors"), factor);
  });
}

int sbp_set_deterministic(bool on) {
  return guarded([&] {
    auto &context = at::globalContext();
    context.setDeterministicAlgorithms(on, /*warn_only=*/false);
    // Would write all fresh memory once over, to show reads of it; no kernel here reads any.
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(on);
    if (on) {
      context.setBenchmarkCuDNN(false);
      // cuBLAS reads it at its first product, and libtorch refuses products without it.
      setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    }
  });
}

int sbp_set_flush_denormal(bool on, bool *supported) {
  return guarded([&] { *supported = at::globalContext().setFlushDenormal(on); });
}

int sbp_generator_state(void **state) {
  return guarded([&] {
    auto generator = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(generator.mutex());
    *state = new at::Tensor(generator.get_state());
  });
}

int sbp_set_generator_state(void *state) {
  return guarded([&] {
    auto generator = at::detail::getDefaultCPUGenerator();
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(tensor(state));
  });
}

bool sbp_tune_allocator() {
#ifdef __GLIBC__
  // Large tensors come out of the heap instead of a mapping of their own, and the heap is not given back.
  constexpr int most = 1 << 30;
  bool tuned = mallopt(M_MMAP_THRESHOLD, most) == 1;
  if (!tuned) {
    // Some versions allow no such threshold; without mappings the effect is the same.
    tuned = mallopt(M_MMAP_MAX, 0) == 1;
  }
  tuned = mallopt(M_TRIM_THRESHOLD, most) == 1 && tuned;
  return mallopt(M_TOP_PAD, 64 << 20) == 1 && tuned;
#else
  return false;
#endif
}
