//! Dropout (Srivastava et al. 2014) of what a layer adds to the residual stream.
//!
//! Masks come from a named stream of the step and the place, not from libtorch's generator: a resumed job draws what
//! a straight one would, and a layer that is computed twice draws the same.

use sbp_core::RootSeed;
use tch::Tensor;

use crate::error::Result;

/// Which numbers of a part of a step are dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout {
    /// Share that is dropped, rounded to 1/65,536.
    pub(crate) share: f64,
    pub(crate) seed: RootSeed,
    /// The training step, and the part of it.
    pub(crate) part: [u64; 2],
}

impl Dropout {
    /// Nothing is dropped.
    pub(crate) const NONE: Self = Self { share: 0.0, seed: RootSeed(0), part: [0, 0] };

    /// Drops numbers at a place in a layer, and scales what stays by 1 / (1 - share).
    pub(crate) fn of(&self, x: Tensor, [layer, place]: [i64; 2]) -> Result<Tensor> {
        if self.share == 0.0 {
            return Ok(x);
        }
        let [step, part] = self.part;
        let mut stream = self.seed.stream("dropout", &[step, part, layer as u64, place as u64]);
        let (dropped_below, kept) =
            ((self.share * 65_536.0).round() as u64, (1.0 / (1.0 - self.share)) as f32);
        let mut mask = Vec::with_capacity(x.numel() + 3);
        while mask.len() < x.numel() {
            let bits = stream.next_u64();
            mask.extend(
                [0, 16, 32, 48].map(
                    |shift| {
                        if (bits >> shift & 0xFFFF) < dropped_below { 0.0 } else { kept }
                    },
                ),
            );
        }
        mask.truncate(x.numel());
        let mask = Tensor::f_from_slice(&mask)?.f_view(x.size().as_slice())?;
        Ok(x.f_mul(&mask.f_to_device(x.device())?.f_to_kind(x.kind())?)?)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn drops_the_share_keeps_the_mean_and_repeats_itself() {
        let x = Tensor::ones([300, 301], (Kind::Float, Device::Cpu));
        let dropout = Dropout { share: 0.25, seed: RootSeed(1), part: [3, 0] };
        let drop = |dropout: &Dropout, place| dropout.of(x.shallow_clone(), place).unwrap();
        let once = drop(&dropout, [2, 1]);
        let dropped = 1.0 - once.count_nonzero(None).double_value(&[]) / x.numel() as f64;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        assert!((once.mean(Kind::Float).double_value(&[]) - 1.0).abs() < 0.02);
        assert!(once.equal(&drop(&dropout, [2, 1])));
        for other in [drop(&dropout, [2, 0]), drop(&Dropout { part: [4, 0], ..dropout }, [2, 1])] {
            assert!(!once.equal(&other));
        }
        assert!(drop(&Dropout::NONE, [0, 0]).equal(&x));
    }
}
