#define USE_C10D_GLOO

#include "c10d.h"

#include "guarded.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstring>
#include <numeric>

using sbp::guarded;

namespace {

using Store = c10::intrusive_ptr<c10d::Store>;
using Group = c10::intrusive_ptr<c10d::ProcessGroupGloo>;

Store &store_of(void *pointer) { return *static_cast<Store *>(pointer); }
Group &group_of(void *pointer) { return *static_cast<Group *>(pointer); }

// Memory that belongs to somebody else, who keeps it until the work on it is done. Never written to where it is const.
template <typename T> at::Tensor view(const T *numbers, size_t count, at::ScalarType kind) {
  return at::from_blob(const_cast<T *>(numbers), {static_cast<int64_t>(count)}, kind);
}

std::vector<at::Tensor> rows(const at::Tensor &all, int size, size_t count) {
  std::vector<at::Tensor> rows;
  for (int rank = 0; rank < size; ++rank) {
    rows.push_back(all.narrow(0, static_cast<int64_t>(rank * count), static_cast<int64_t>(count)));
  }
  return rows;
}

} // namespace

int sbp_store_open(const char *host, uint16_t port, bool serves, int64_t timeout_ms, void **store) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    // Who is there is counted by name, so that those who are missing can be named.
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    *store = new Store(c10::make_intrusive<c10d::TCPStore>(host, options));
  });
}

void sbp_store_close(void *store) { delete static_cast<Store *>(store); }

int sbp_store_set(void *store, const char *key, const uint8_t *bytes, size_t count) {
  return guarded([&] { store_of(store)->set(key, std::vector<uint8_t>(bytes, bytes + count)); });
}

int sbp_store_get(void *store, const char *key, uint8_t **bytes, size_t *count) {
  return guarded([&] {
    *bytes = nullptr;
    *count = 0;
    // Would wait for it, and keep other threads from the store meanwhile.
    if (!store_of(store)->check({key})) {
      return;
    }
    auto found = store_of(store)->get(key);
    *bytes = new uint8_t[found.size() + 1];
    *count = found.size();
    std::memcpy(*bytes, found.data(), found.size());
  });
}

void sbp_bytes_free(uint8_t *bytes) { delete[] bytes; }

int sbp_store_add(void *store, const char *key, int64_t by, int64_t *sum) {
  return guarded([&] { *sum = store_of(store)->add(key, by); });
}

int sbp_group_open(void *store, const char *prefix, int rank, int size, int64_t timeout_ms, const char *interface,
                   const char *address, void **group) {
  return guarded([&] {
    auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::milliseconds(timeout_ms));
    if (*interface != '\0') {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(interface));
    } else if (*address != '\0') {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
    } else {
      options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    }
    Store inside = c10::make_intrusive<c10d::PrefixStore>(prefix, store_of(store));
    *group = new Group(c10::make_intrusive<c10d::ProcessGroupGloo>(inside, rank, size, options));
  });
}

void sbp_group_close(void *group) { delete static_cast<Group *>(group); }

int sbp_group_exchange(void *group, int size, const uint8_t *bytes, size_t count, uint8_t *all) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    std::vector<at::Tensor> inputs{view(bytes, count, at::kByte)};
    std::vector<std::vector<at::Tensor>> outputs{rows(view(all, size * count, at::kByte), size, count)};
    group_of(group)->allgather(outputs, inputs, c10d::AllgatherOptions())->wait();
  });
}

int sbp_group_swap(void *group, int size, const float *numbers, const size_t *to, float *all, const size_t *from) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    c10d::ProcessGroupGloo &gloo = *group_of(group);
    const int rank = gloo.getRank();
    // Where each process's numbers begin.
    std::vector<size_t> given(size), taken(size);
    std::exclusive_scan(to, to + size, given.begin(), size_t{0});
    std::exclusive_scan(from, from + size, taken.begin(), size_t{0});
    // All say what they wait for before they send anything. In Gloo's own all-to-all a process that knows that the other waits sends
    // all it has before it says so itself, and two processes send one after the other instead of at once.
    std::vector<c10::intrusive_ptr<c10d::Work>> work;
    for (int turn = 1; turn < size; ++turn) {
      const int other = (rank + size - turn) % size;
      if (from[other] > 0) {
        std::vector<at::Tensor> into{view(all + taken[other], from[other], at::kFloat)};
        work.push_back(gloo.recv(into, other, 0));
      }
    }
    for (int turn = 1; turn < size; ++turn) {
      const int other = (rank + turn) % size;
      if (to[other] > 0) {
        std::vector<at::Tensor> what{view(numbers + given[other], to[other], at::kFloat)};
        work.push_back(gloo.send(what, other, 0));
      }
    }
    std::memcpy(all + taken[rank], numbers + given[rank], to[rank] * sizeof(float));
    for (auto &one : work) {
      one->wait();
    }
  });
}
