// What libtorch has and tch does not wrap, as C functions.
//
// A tensor is a pointer to an at::Tensor, as torch-sys has it. Functions that return int return 0, or 1 with the
// reason in sbp_last_error(); no exception leaves them.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// The first line of the last failure in this thread. Valid until the next call in it.
const char *sbp_last_error();

// The version of the headers that this was compiled against, which is that of the library it is linked to.
const char *sbp_torch_version();

int sbp_fused_adamw(size_t count, void **params, void **grads, void **exp_avgs, void **exp_avg_sqs, void **steps,
                    double lr, double beta1, double beta2, double weight_decay, double eps);
// The Euclidean norm of each tensor, into places for as many; and the norm of all from those of each.
int sbp_norms(size_t count, void **tensors, float *norms);
int sbp_norm_of_norms(size_t count, const float *norms, double *norm);
int sbp_scale(size_t count, void **tensors, double factor);

// Differentiable, on contiguous float32 rows of the CPU; see kernels.h.
int sbp_add_rms_norm(void *x, void *update, void *gain, double eps, void **sum, void **y);
int sbp_rotate_heads(void *qkv, void *q_gain, void *k_gain, void *cos_sin, void *positions, int64_t queries,
                     int64_t keys, double eps, void **q, void **k, void **v);
int sbp_swiglu(void *gate, void *up, void **y);

// Matrix products on any device: x times the transpose of a weight, differentiable; a times b; sum += a times b.
int sbp_linear(void *x, void *weight, void **y);
int sbp_product(void *a, void *b, void **result);
int sbp_add_product(void *sum, void *a, void *b);

// Not differentiable: logits become their gradient. Losses are a new tensor, one a row.
int sbp_cross_entropy(void *logits, void *targets, void *weights, void **losses);
// Not differentiable, see kernels.h: q [n, h, k], keys and values [rows, t, g, k], n positions; y is new.
int sbp_attend_cached(void *q, void *keys, void *values, void *positions, void **y);
// Of each row of logits, into places for as many.
int sbp_greatest(void *logits, int64_t *places, float *log_probs);
// table[ids[i]] += rows[i], in an order that only the number of threads decides.
int sbp_add_rows(void *table, void *ids, void *rows);

// Gradients of the inputs, given those of the outputs; new tensors.
int sbp_backward(size_t num_outputs, void **outputs, void **output_grads, size_t num_inputs, void **inputs,
                 void **input_grads);

int sbp_set_deterministic(bool on);
int sbp_set_flush_denormal(bool on, bool *supported);

// The state is a new tensor, owned by the caller.
int sbp_generator_state(void **state);
int sbp_set_generator_state(void *state);

// False where the allocator cannot be tuned.
bool sbp_tune_allocator();
}
