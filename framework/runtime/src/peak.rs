//! How fast a device computes at best: what model FLOPs are measured against (MFU; Chowdhery et al., arXiv 2204.02311).

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use crate::device::ResolvedDevice;
use crate::error::Result;

/// Dense bfloat16 FLOP/s by the makers' data sheets; the first name that is part of the device's counts.
const KNOWN_BF16: [(&str, f64); 4] =
    [("H100 PCIe", 756e12), ("H100", 989.4e12), ("H200", 989.4e12), ("A100", 312e12)];

/// FLOP/s of a device: known, or the best of some large matrix products.
pub(crate) fn peak_flops(device: &ResolvedDevice, kind: Kind) -> Result<f64> {
    let name = device.name.as_deref().unwrap_or_default();
    let known = KNOWN_BF16.iter().find(|(part, _)| kind == Kind::BFloat16 && name.contains(part));
    match known {
        Some((_, flops)) => Ok(*flops),
        None => measure(device.device, kind),
    }
}

fn measure(device: Device, kind: Kind) -> Result<f64> {
    // Large enough to be bound by arithmetic, small enough to be over soon.
    let (n, at_least) = match device {
        Device::Cuda(_) => (8192_i64, Duration::from_millis(500)),
        _ => (1024, Duration::from_millis(100)),
    };
    let matrix = Tensor::f_ones([n, n], (kind, device))?;
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    while begun.elapsed() < at_least {
        let start = Instant::now();
        let _product = matrix.f_matmul(&matrix)?;
        if let Device::Cuda(index) = device {
            tch::Cuda::synchronize(index as i64);
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * (n as f64).powi(3) / best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_measured_and_a_known_gpu_is_not() {
        let measured = measure(Device::Cpu, Kind::Float).unwrap();
        assert!(measured > 1e8 && measured.is_finite(), "{measured}");
        let device = ResolvedDevice {
            // Would fail if it were asked.
            device: Device::Cuda(99),
            name: Some("NVIDIA H100 80GB HBM3".to_owned()),
            ..crate::device::init(crate::device::Device::Cpu, None).unwrap()
        };
        assert_eq!(peak_flops(&device, Kind::BFloat16).unwrap(), 989.4e12);
    }
}
