//! Safe wrappers of the C++ shim: what libtorch has and tch does not wrap.
//!
//! Each call crosses the language border once for a whole list of tensors, which is what makes the optimizer
//! cheap: some 20 ms for 26M parameters, against 75-130 ms for an optimizer made of single operations.
#![expect(unsafe_code, reason = "calls into the C++ shim, whose functions throw nothing and keep no pointer")]

pub(crate) mod c10d;
pub(crate) mod fused;
pub(crate) mod products;

use crate::error::{Error, Result};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use tch::Tensor;

type Pointer = *mut c_void;

unsafe extern "C" {
    fn sbp_last_error() -> *const c_char;
    fn sbp_torch_version() -> *const c_char;
    fn sbp_fused_adamw(
        count: usize,
        params: *const Pointer,
        grads: *const Pointer,
        exp_avgs: *const Pointer,
        exp_avg_sqs: *const Pointer,
        steps: *const Pointer,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> c_int;
    fn sbp_norms(count: usize, tensors: *const Pointer, norms: *mut f32) -> c_int;
    fn sbp_norm_of_norms(count: usize, norms: *const f32, norm: *mut f64) -> c_int;
    fn sbp_scale(count: usize, tensors: *const Pointer, factor: f64) -> c_int;
    fn sbp_set_deterministic(on: bool) -> c_int;
    fn sbp_set_flush_denormal(on: bool, supported: *mut bool) -> c_int;
    fn sbp_generator_state(state: *mut Pointer) -> c_int;
    fn sbp_set_generator_state(state: Pointer) -> c_int;
    fn sbp_tune_allocator() -> bool;
}

/// The numbers of one AdamW step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
    /// Added to the denominator.
    pub eps: f64,
}

/// The tensors of one AdamW step; entry i of each list belongs to parameter i.
#[derive(Debug, Clone, Copy)]
pub struct AdamWTensors<'a> {
    /// Changed in place.
    pub params: &'a [Tensor],
    /// As the backward pass left them; all must be defined.
    pub grads: &'a [Tensor],
    /// First moments, changed in place.
    pub exp_avgs: &'a [Tensor],
    /// Second moments, changed in place.
    pub exp_avg_sqs: &'a [Tensor],
    /// Steps done so far, one float32 each; this call counts its own before it uses them.
    pub steps: &'a [Tensor],
}

/// One step of AdamW over all parameters, in one fused kernel per device.
pub fn fused_adamw_(tensors: &AdamWTensors<'_>, how: &AdamW) -> Result<()> {
    let count = tensors.params.len();
    let others = [tensors.grads, tensors.exp_avgs, tensors.exp_avg_sqs, tensors.steps];
    if let Some(other) = others.iter().find(|it| it.len() != count) {
        let found = other.len();
        return Err(Error::Invalid(format!("an AdamW step over {count} parameters got a list of {found}")));
    }
    let params = pointers(tensors.params);
    let [grads, exp_avgs, exp_avg_sqs, steps] = others.map(pointers);
    // SAFETY: five lists of `count` live tensors.
    checked(unsafe {
        sbp_fused_adamw(
            count,
            params.as_ptr(),
            grads.as_ptr(),
            exp_avgs.as_ptr(),
            exp_avg_sqs.as_ptr(),
            steps.as_ptr(),
            how.lr,
            how.beta1,
            how.beta2,
            how.weight_decay,
            how.eps,
        )
    })
}

/// The Euclidean norm of each tensor. Waits for the device.
pub fn norms(tensors: &[Tensor]) -> Result<Vec<f32>> {
    let mut norms = vec![0.0; tensors.len()];
    // SAFETY: a list of live tensors, and places for as many results.
    checked(unsafe { sbp_norms(tensors.len(), pointers(tensors).as_ptr(), norms.as_mut_ptr()) })?;
    Ok(norms)
}

/// The Euclidean norm over all elements of tensors with these norms.
pub fn norm_of_norms(norms: &[f32]) -> Result<f64> {
    let mut norm = 0.0;
    // SAFETY: numbers that live through the call, and a place for the result.
    checked(unsafe { sbp_norm_of_norms(norms.len(), norms.as_ptr(), &raw mut norm) })?;
    Ok(norm)
}

/// Multiplies every tensor by `factor`, in place.
pub fn scale_(tensors: &[Tensor], factor: f64) -> Result<()> {
    // SAFETY: a list of live tensors.
    checked(unsafe { sbp_scale(tensors.len(), pointers(tensors).as_ptr(), factor) })
}

/// Asks libtorch for deterministic kernels only; operations that have none then fail.
///
/// To be called while the program has one thread: for cuBLAS it sets an environment variable.
pub fn set_deterministic(on: bool) -> Result<()> {
    // SAFETY: no pointers.
    checked(unsafe { sbp_set_deterministic(on) })
}

/// Makes numbers too small for full precision count as zero; false if the processor cannot.
///
/// Acts on the calling thread and on threads that start after, so it goes before the first tensor operation.
/// Such numbers appear in the tails of softmax and are up to a hundred times slower to compute with.
pub fn set_flush_denormal(on: bool) -> Result<bool> {
    let mut supported = false;
    // SAFETY: a place for the result.
    checked(unsafe { sbp_set_flush_denormal(on, &raw mut supported) })?;
    Ok(supported)
}

/// The state of the default CPU generator, some 5 KB of bytes.
pub fn generator_state() -> Result<Tensor> {
    let mut state = ptr::null_mut();
    // SAFETY: a place for the result.
    checked(unsafe { sbp_generator_state(&raw mut state) })?;
    // SAFETY: on success it is a new tensor that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(state.cast()) })
}

/// Puts the default CPU generator back to a state of `generator_state`.
pub fn set_generator_state(state: &Tensor) -> Result<()> {
    // SAFETY: a live tensor, which is only read.
    checked(unsafe { sbp_set_generator_state(state.as_ptr().cast_mut().cast()) })
}

/// Makes the C library keep the memory of large tensors for the next ones; false where it cannot.
///
/// By default glibc maps each from the kernel and gives it back, which costs a page fault per 4 KiB at every
/// use. To be called first thing in `main`. The program then keeps its peak of memory until it ends.
pub fn tune_allocator() -> bool {
    // SAFETY: no pointers; mallopt takes the allocator's own lock.
    unsafe { sbp_tune_allocator() }
}

/// The version of the libtorch that this program is built against.
pub fn torch_version() -> &'static str {
    // SAFETY: a string literal of the shim.
    let text = unsafe { CStr::from_ptr(sbp_torch_version()) };
    text.to_str().unwrap_or("unknown")
}

fn pointers(tensors: &[Tensor]) -> Vec<Pointer> {
    tensors.iter().map(|it| it.as_ptr().cast_mut().cast()).collect()
}

fn checked(status: c_int) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: a string of this thread, copied before the next call can change it.
    let text = unsafe { CStr::from_ptr(sbp_last_error()) };
    Err(Error::Tensor(text.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const HOW: AdamW = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.95, weight_decay: 0.1, eps: 1e-8 };

    fn random(seed: u64, shape: &[i64]) -> Tensor {
        let count = shape.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|i| ((i as f32 + 1.0) * (seed as f32 + 0.7)).sin()).collect();
        Tensor::from_slice(&values).view(shape)
    }

    fn zeros(like: &[Tensor]) -> Vec<Tensor> {
        like.iter().map(Tensor::zeros_like).collect()
    }

    fn step_counts(count: usize) -> Vec<Tensor> {
        (0..count).map(|_| Tensor::zeros([] as [i64; 0], (Kind::Float, Device::Cpu))).collect()
    }

    #[test]
    fn fused_adamw_is_adamw() {
        let shapes: [&[i64]; 2] = [&[7, 5], &[11]];
        let params: Vec<_> = shapes.iter().map(|shape| random(1, shape)).collect();
        let (exp_avgs, exp_avg_sqs) = (zeros(&params), zeros(&params));
        let steps = step_counts(2);
        let flat =
            |tensor: &Tensor| Vec::<f64>::try_from(tensor.flatten(0, -1).to_kind(Kind::Double)).unwrap();
        let mut by_hand: Vec<_> =
            params.iter().map(|p| (flat(p), vec![0.0; p.numel()], vec![0.0; p.numel()])).collect();
        for step in 1..=5_u64 {
            let grads: Vec<_> = shapes.iter().map(|shape| random(step + 1, shape)).collect();
            let tensors = AdamWTensors {
                params: &params,
                grads: &grads,
                exp_avgs: &exp_avgs,
                exp_avg_sqs: &exp_avg_sqs,
                steps: &steps,
            };
            fused_adamw_(&tensors, &HOW).unwrap();
            for ((p, m, v), grad) in by_hand.iter_mut().zip(&grads) {
                for (i, g) in flat(grad).into_iter().enumerate() {
                    m[i] = HOW.beta1 * m[i] + (1.0 - HOW.beta1) * g;
                    v[i] = HOW.beta2 * v[i] + (1.0 - HOW.beta2) * g * g;
                    let m_hat = m[i] / (1.0 - HOW.beta1.powi(step as i32));
                    let v_hat = v[i] / (1.0 - HOW.beta2.powi(step as i32));
                    p[i] -= HOW.lr * (m_hat / (v_hat.sqrt() + HOW.eps) + HOW.weight_decay * p[i]);
                }
            }
        }
        for (param, (expected, ..)) in params.iter().zip(&by_hand) {
            let worst = flat(param).iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-6, "differs by {worst}");
        }
        assert_eq!(steps[0].double_value(&[]), 5.0);
    }

    #[test]
    fn norm_and_scale_are_their_formulas() {
        let tensors = [random(1, &[3, 4]), random(2, &[5])];
        let squares: f64 = tensors.iter().map(|it| (it * it).sum(Kind::Double).double_value(&[])).sum();
        let norm = |tensors: &[Tensor]| norm_of_norms(&norms(tensors).unwrap()).unwrap();
        assert!((norm(&tensors) - squares.sqrt()).abs() < 1e-6);
        scale_(&tensors, 0.5).unwrap();
        assert!((norm(&tensors) - squares.sqrt() / 2.0).abs() < 1e-6);
        assert_eq!(norm(&[]), 0.0);
    }

    #[test]
    fn misuse_comes_back_as_one_line() {
        let undefined = norms(&[Tensor::new()]).unwrap_err().to_string();
        assert!(undefined.contains("tensors[0] is undefined"), "{undefined}");
        let params = [random(1, &[4])];
        let tensors = AdamWTensors {
            params: &params,
            grads: &[random(1, &[5])],
            exp_avgs: &zeros(&params),
            exp_avg_sqs: &zeros(&params),
            steps: &step_counts(1),
        };
        let shapes = fused_adamw_(&tensors, &HOW).unwrap_err().to_string();
        assert!(shapes.contains("must have its shape [4]") && shapes.lines().count() == 1, "{shapes}");
        let fewer = fused_adamw_(&AdamWTensors { grads: &[], ..tensors }, &HOW).unwrap_err().to_string();
        assert!(fewer.contains("got a list of 0"), "{fewer}");
        let state = set_generator_state(&random(1, &[4])).unwrap_err().to_string();
        assert_eq!(state.lines().count(), 1, "{state}");
    }

    #[test]
    fn the_version_is_the_wanted_one() {
        assert_eq!(torch_version(), crate::device::WANTED_TORCH_VERSION);
    }
}
