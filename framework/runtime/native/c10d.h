// libtorch's own distributed engine as C functions: its store over TCP, and groups of processes over Gloo.
//
// As in shim.h, functions return 0, or 1 with the reason in sbp_last_error(). A store may be used by several threads at
// once; the operations of a group are to be called in the same order by every process.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// Connects to the store at an address, and serves it if asked to.
int sbp_store_open(const char *host, uint16_t port, bool serves, int64_t timeout_ms, void **store);
void sbp_store_close(void *store);
int sbp_store_set(void *store, const char *key, const uint8_t *bytes, size_t count);
// What stands under a key, as a new array; null where nothing does.
int sbp_store_get(void *store, const char *key, uint8_t **bytes, size_t *count);
void sbp_bytes_free(uint8_t *bytes);
// Adds to the number under a key, 0 at first, and gives the sum.
int sbp_store_add(void *store, const char *key, int64_t by, int64_t *sum);

// The processes that opened a group with this prefix in the store; `interface` or `address` may be empty, and say where
// this process listens.
int sbp_group_open(void *store, const char *prefix, int rank, int size, int64_t timeout_ms, const char *interface,
                   const char *address, void **group);
void sbp_group_close(void *group);
// `count` bytes of every process, by rank, into a place for size * count.
int sbp_group_exchange(void *group, int size, const uint8_t *bytes, size_t count, uint8_t *all);
// Numbers for every process, by rank, of which there are as many as `to` says, and into `all` those that every process has for
// this one, as many as `from` says.
int sbp_group_swap(void *group, int size, const float *numbers, const size_t *to, float *all, const size_t *from);
}
