//! The tensors of an encoder's folder on their way into its model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::hub;

/// Tensors by their names in the folder, without the prefix that models with a head put before them.
pub(super) struct Weights {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    kind: Kind,
    device: Device,
}

impl Weights {
    pub(super) fn read(folder: &Path, prefix: &str, kind: Kind, device: Device) -> Result<Self> {
        // A table of positions 0, 1, 2, ... that older writers kept.
        let read = hub::read_some_tensors(folder, &|name| !name.ends_with("position_ids"))?;
        let plain = |name: String| name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
        let tensors = read.into_iter().map(|(name, tensor)| (plain(name), tensor)).collect();
        Ok(Self { path: folder.to_owned(), tensors, kind, device })
    }

    /// Takes a tensor out.
    pub(super) fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let refuse = |reason: String| Error::NotACheckpoint { path: self.path.clone(), reason };
        let tensor = self
            .tensors
            .remove(name)
            .ok_or_else(|| refuse(format!("tensor {name} with shape {shape:?} is missing")))?;
        if tensor.size() != shape {
            return Err(refuse(format!(
                "tensor {name} has shape {:?}, config.json says {shape:?}",
                tensor.size()
            )));
        }
        Ok(tensor.f_to_device(self.device)?.f_to_kind(self.kind)?.f_contiguous()?)
    }

    /// All tensors.
    pub(super) fn into_all(self) -> BTreeMap<String, Tensor> {
        self.tensors
    }
}
