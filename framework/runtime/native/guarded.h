// What every function of the shim does around its work.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

namespace sbp {

// Keeps the first line for sbp_last_error.
void remember(const char *text);

template <typename Work> int guarded(Work work) {
  try {
    work();
    return 0;
  } catch (const c10::Error &error) {
    // Its what() ends in some 25 lines of frames.
    remember(error.what_without_backtrace());
  } catch (const std::exception &error) {
    remember(error.what());
  } catch (...) {
    remember("an exception that is no std::exception");
  }
  return 1;
}

inline at::Tensor &tensor(void *pointer) { return *static_cast<at::Tensor *>(pointer); }

inline std::vector<at::Tensor> list(size_t count, void **pointers, const char *name) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    tensors.push_back(tensor(pointers[i]));
    TORCH_CHECK(tensors.back().defined(), name, "[", i, "] is undefined");
  }
  return tensors;
}

} // namespace sbp
