//! Keys and values of tokens already seen, so that a new token costs one row and not a whole sequence.
//!
//! `[rows, t, g, k]`: a token's keys lie together, so writing is one indexed copy at row x t + position, and
//! attention reads a view. Rows hold sequences of different length; what lies behind a row's end is masked, and
//! overwritten when the row grows.

use tch::{Device, Kind, Tensor};

use super::Dims;
use crate::error::Result;
use crate::native::fused;

/// The cache of one layer.
pub(crate) struct LayerCache {
    keys_rtgk: Tensor,
    values_rtgk: Tensor,
}

impl LayerCache {
    fn new(dims: &Dims, rows: i64, t: i64, kind: Kind, device: Device) -> Result<Self> {
        // Zeros, since a masked value that is not a number would still spoil the product.
        let zeros = || Tensor::f_zeros([rows, t, dims.g, dims.k], (kind, device));
        Ok(Self { keys_rtgk: zeros()?, values_rtgk: zeros()? })
    }

    /// Stores keys and values of flat tokens at their slots.
    pub(crate) fn write(&mut self, slots_n: &Tensor, k_ngk: &Tensor, v_ngk: &Tensor) -> Result<()> {
        let (r, t, g, k) = self.keys_rtgk.size4()?;
        for (cache, new) in [(&self.keys_rtgk, k_ngk), (&self.values_rtgk, v_ngk)] {
            let _same = cache.f_view([r * t, g, k])?.f_index_copy_(0, slots_n, new)?;
        }
        Ok(())
    }

    /// What the new tokens of the first rows attend to, each at its position.
    pub(crate) fn attend(&self, q_nhk: &Tensor, positions_n: &Tensor) -> Result<Tensor> {
        fused::attend_cached(q_nhk, &self.keys_rtgk, &self.values_rtgk, positions_n)
    }

    /// Views of the first `rows` rows and `t` positions, heads first.
    pub(crate) fn read(&self, rows: i64, t: i64) -> Result<(Tensor, Tensor)> {
        let view = |cache: &Tensor| cache.f_narrow(0, 0, rows)?.f_narrow(1, 0, t)?.f_transpose(1, 2);
        Ok((view(&self.keys_rtgk)?, view(&self.values_rtgk)?))
    }
}

/// The cache of all layers.
pub(crate) struct Cache {
    /// One for each layer.
    pub(crate) layers: Vec<LayerCache>,
    /// Positions of each row.
    pub(crate) positions: usize,
}

impl Cache {
    /// Room for `rows` sequences of up to `positions` tokens, in numbers of a kind.
    pub(crate) fn new(
        dims: &Dims,
        rows: usize,
        positions: usize,
        kind: Kind,
        device: Device,
    ) -> Result<Self> {
        let layer = |_| LayerCache::new(dims, rows as i64, positions as i64, kind, device);
        Ok(Self { layers: (0..dims.layers).map(layer).collect::<Result<_>>()?, positions })
    }

    /// Copies one row over another, so that rows in use stay together at the front.
    pub(crate) fn copy_row(&mut self, from: usize, to: usize) -> Result<()> {
        for layer in &self.layers {
            for cache in [&layer.keys_rtgk, &layer.values_rtgk] {
                cache.f_narrow(0, to as i64, 1)?.f_copy_(&cache.f_narrow(0, from as i64, 1)?)?;
            }
        }
        Ok(())
    }

    /// Slot of a position in a row.
    pub(crate) fn slot(&self, row: usize, position: usize) -> i64 {
        (row * self.positions + position) as i64
    }
}
