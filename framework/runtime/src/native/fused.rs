//! Operations of a transformer that libtorch makes of many: fused, differentiable, for `f32` on the CPU.
//!
//! What a step does between its matrix products is bound by memory; here every operand is read and written once.
#![expect(unsafe_code, reason = "calls into the C++ shim, whose functions throw nothing and keep no pointer")]

use std::ffi::c_int;
use std::ptr;

use tch::Tensor;

use super::{Pointer, checked};
use crate::error::Result;

unsafe extern "C" {
    fn sbp_add_rms_norm(
        x: Pointer,
        update: Pointer,
        gain: Pointer,
        eps: f64,
        sum: *mut Pointer,
        y: *mut Pointer,
    ) -> c_int;
    fn sbp_rotate_heads(
        qkv: Pointer,
        q_gain: Pointer,
        k_gain: Pointer,
        cos_sin: Pointer,
        positions: Pointer,
        queries: i64,
        keys: i64,
        eps: f64,
        q: *mut Pointer,
        k: *mut Pointer,
        v: *mut Pointer,
    ) -> c_int;
    fn sbp_swiglu(gate: Pointer, up: Pointer, y: *mut Pointer) -> c_int;
    fn sbp_cross_entropy(logits: Pointer, targets: Pointer, weights: Pointer, losses: *mut Pointer) -> c_int;
    fn sbp_attend_cached(
        q: Pointer,
        keys: Pointer,
        values: Pointer,
        positions: Pointer,
        y: *mut Pointer,
    ) -> c_int;
    fn sbp_greatest(logits: Pointer, places: *mut i64, log_probs: *mut f32) -> c_int;
    fn sbp_add_rows(table: Pointer, ids: Pointer, rows: Pointer) -> c_int;
    fn sbp_backward(
        num_outputs: usize,
        outputs: *const Pointer,
        output_grads: *const Pointer,
        num_inputs: usize,
        inputs: *const Pointer,
        input_grads: *mut Pointer,
    ) -> c_int;
}

pub(super) fn pointer(tensor: &Tensor) -> Pointer {
    tensor.as_ptr().cast_mut().cast()
}

/// Takes over a tensor that the shim made.
pub(super) fn owned(pointer: Pointer) -> Tensor {
    // SAFETY: called for pointers that a successful call has just set, each to a new tensor that nobody else owns.
    unsafe { Tensor::from_ptr(pointer.cast()) }
}

/// `x + update`, and `rms_norm` of it times `gain`, for rows `[n, d]`.
pub(crate) fn add_rms_norm(
    x_nd: &Tensor,
    update_nd: &Tensor,
    gain_d: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor)> {
    let (mut sum, mut y) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: live tensors, and places for the results.
    checked(unsafe {
        sbp_add_rms_norm(pointer(x_nd), pointer(update_nd), pointer(gain_d), eps, &raw mut sum, &raw mut y)
    })?;
    Ok((owned(sum), owned(y)))
}

/// What [`rotate_heads`] needs beside the projections.
pub(crate) struct Heads<'a> {
    /// Gain of the query norm, `[k]`.
    pub(crate) q_gain: &'a Tensor,
    /// Gain of the key norm, `[k]`.
    pub(crate) k_gain: &'a Tensor,
    /// k/2 cosines and k/2 sines a position, `[t, 2, k/2]`.
    pub(crate) cos_sin: &'a Tensor,
    /// Position of each row, `[n]`, within the table.
    pub(crate) positions_n: &'a Tensor,
    /// Number of query heads.
    pub(crate) queries: i64,
    /// Number of key heads, and of value heads.
    pub(crate) keys: i64,
    /// Added to the mean square.
    pub(crate) eps: f64,
}

/// From `[n, (h + 2 g) k]`: queries `[n, h, k]` and keys `[n, g, k]`, normalised and turned, and values `[n, g, k]`.
pub(crate) fn rotate_heads(qkv_no: &Tensor, heads: &Heads<'_>) -> Result<[Tensor; 3]> {
    let mut made = [ptr::null_mut(); 3];
    let [q, k, v] = made.each_mut();
    // SAFETY: live tensors, and places for the results.
    checked(unsafe {
        sbp_rotate_heads(
            pointer(qkv_no),
            pointer(heads.q_gain),
            pointer(heads.k_gain),
            pointer(heads.cos_sin),
            pointer(heads.positions_n),
            heads.queries,
            heads.keys,
            heads.eps,
            q,
            k,
            v,
        )
    })?;
    Ok(made.map(owned))
}

/// `silu(gate) * up`.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let mut y = ptr::null_mut();
    // SAFETY: live tensors, and a place for the result.
    checked(unsafe { sbp_swiglu(pointer(gate), pointer(up), &raw mut y) })?;
    Ok(owned(y))
}

/// `-log softmax(logits)[target]` of each row; the logits become its gradient times the row's weight.
pub(crate) fn cross_entropy_(logits_cv: &Tensor, targets_c: &Tensor, weights_c: &Tensor) -> Result<Tensor> {
    let mut losses = ptr::null_mut();
    // SAFETY: live tensors, and a place for the result.
    checked(unsafe {
        sbp_cross_entropy(pointer(logits_cv), pointer(targets_c), pointer(weights_c), &raw mut losses)
    })?;
    Ok(owned(losses))
}

/// What one new token of each of the first `n` rows of a cache attends to: queries `[n, h, k]`, keys and values
/// `[rows, t, g, k]`, each row up to and with its position. A row's result does not depend on the others'.
pub(crate) fn attend_cached(
    q_nhk: &Tensor,
    keys_rtgk: &Tensor,
    values_rtgk: &Tensor,
    positions_n: &Tensor,
) -> Result<Tensor> {
    let mut y = ptr::null_mut();
    // SAFETY: live tensors, and a place for the result.
    checked(unsafe {
        sbp_attend_cached(
            pointer(q_nhk),
            pointer(keys_rtgk),
            pointer(values_rtgk),
            pointer(positions_n),
            &raw mut y,
        )
    })?;
    Ok(owned(y))
}

/// The first greatest of each row of logits `[n, v]`, and its log-probability.
pub(crate) fn greatest(logits_nv: &Tensor) -> Result<(Vec<i64>, Vec<f32>)> {
    let rows = usize::try_from(logits_nv.size()[0]).unwrap_or(0);
    let (mut places, mut log_probs) = (vec![0; rows], vec![0.0; rows]);
    // SAFETY: a live tensor, and as many places as it has rows.
    checked(unsafe { sbp_greatest(pointer(logits_nv), places.as_mut_ptr(), log_probs.as_mut_ptr()) })?;
    Ok((places, log_probs))
}

/// `table[ids[i]] += rows[i]`, always in the same order for the same number of threads.
pub(crate) fn add_rows_(table_vd: &Tensor, ids_n: &Tensor, rows_nd: &Tensor) -> Result<()> {
    // SAFETY: live tensors.
    checked(unsafe { sbp_add_rows(pointer(table_vd), pointer(ids_n), pointer(rows_nd)) })
}

/// Gradients of `inputs`, given those of `outputs`. On any device.
pub(crate) fn backward(outputs: &[&Tensor], grads: &[&Tensor], inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let list = |tensors: &[&Tensor]| tensors.iter().map(|it| pointer(it)).collect::<Vec<_>>();
    debug_assert_eq!(outputs.len(), grads.len());
    let mut found = vec![ptr::null_mut(); inputs.len()];
    // SAFETY: lists of live tensors of the given lengths, and places for the results.
    checked(unsafe {
        sbp_backward(
            outputs.len(),
            list(outputs).as_ptr(),
            list(grads).as_ptr(),
            inputs.len(),
            list(inputs).as_ptr(),
            found.as_mut_ptr(),
        )
    })?;
    Ok(found.into_iter().map(owned).collect())
}
