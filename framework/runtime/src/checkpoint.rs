//! Files that are whole or absent: tensors by name, JSON, and folders that appear by rename.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};
use tch::{Kind, Tensor};

use crate::error::{Error, Result, at};

/// A tensor on its way into a file, copied to the processor's memory when its turn comes.
struct Outgoing<'a> {
    shape: Vec<usize>,
    tensor: &'a Tensor,
}

impl View for Outgoing<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(bytes_of(self.tensor).expect("copying a tensor to the processor's memory"))
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * size_of::<f32>()
    }
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let plain = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut bytes = vec![0; plain.numel() * size_of::<f32>()];
    plain.f_copy_data_u8(&mut bytes, plain.numel())?;
    Ok(bytes)
}

/// Writes `f32` tensors by name as a safetensors file, one after another, and returns the blake3 hash of its bytes.
pub(crate) fn write_tensors<'a, N: AsRef<str> + Ord + std::fmt::Display>(
    path: &Path,
    tensors: impl IntoIterator<Item = (N, &'a Tensor)>,
) -> Result<blake3::Hash> {
    let outgoing = tensors.into_iter().map(|(name, tensor)| {
        (name, Outgoing { shape: tensor.size().iter().map(|&size| size as usize).collect(), tensor })
    });
    // What Hugging Face's readers ask for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // The writer makes a file for its owner alone and renames it over this one.
    let permissions = File::create(path).and_then(|file| file.metadata()).map_err(at(path))?.permissions();
    safetensors::serialize_to_file(outgoing, Some(metadata), path)
        .map_err(|error| at(path)(std::io::Error::other(error)))?;
    fs::set_permissions(path, permissions).map_err(at(path))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))?;
    hash_of(path).map_err(at(path))
}

/// The blake3 hash of a file, read piece by piece.
pub(crate) fn hash_of(path: &Path) -> std::io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize())
}

/// Reads a safetensors file: floating-point tensors of any width.
pub(crate) fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    read_some_tensors(path, &|_| true)
}

/// Reads those tensors of a safetensors file whose names are wanted.
pub(crate) fn read_some_tensors(
    path: &Path,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Tensor>> {
    let broken = |reason: String| Error::NotACheckpoint { path: path.to_owned(), reason };
    let file = File::open(path).map_err(at(path))?;
    #[expect(
        unsafe_code,
        reason = "a mapped file: whoever changes a checkpoint while it is read gets what that gives"
    )]
    // SAFETY: the map is read only while this function runs, and every tensor is a copy.
    let bytes = unsafe { memmap2::Mmap::map(&file) }.map_err(at(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| broken(error.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter().filter(|(name, _)| is_wanted(name)) {
        let kind = match view.dtype() {
            Dtype::F64 => Kind::Double,
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            other => {
                return Err(broken(format!("tensor {name} holds {other:?}, not floating-point numbers")));
            }
        };
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        tensors.insert(name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, kind)?);
        let_go(&bytes, view.data());
    }
    Ok(tensors)
}

/// Has pages of a mapped file no longer count as this process's memory, where the system knows how.
fn let_go(map: &memmap2::Mmap, part: &[u8]) {
    #[cfg(unix)]
    {
        let start = part.as_ptr() as usize - map.as_ptr() as usize;
        #[expect(unsafe_code, reason = "a model that is opened would take its memory twice")]
        // SAFETY: what is read of these pages later comes from the file again, since nothing was written to them.
        let _advice =
            unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, part.len()) };
    }
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::Invalid(format!("{} cannot be written as JSON: {error}", path.display())))?;
    text.push(b'\n');
    write_whole(path, &text)
}

/// Writes a new file and waits until it is on the disk.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(bytes).map_err(at(path))?;
    file.sync_all().map_err(at(path))
}

/// Starts a folder that nobody reads yet, without what an interrupted attempt left in it.
pub(crate) fn start_folder(path: &Path) -> Result<()> {
    remove_folder(path)?;
    fs::create_dir_all(path).map_err(at(path))
}

/// Gives a finished folder its name. Its files are on the disk already; afterwards so is the name.
pub(crate) fn publish_folder(unfinished: &Path, path: &Path) -> Result<()> {
    sync_folder(unfinished)?;
    fs::rename(unfinished, path).map_err(at(path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Removes a folder, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_bit_by_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let a = Tensor::randn([3, 5], (Kind::Float, tch::Device::Cpu));
        // A view with strides, as transposed weights are.
        let b = a.tr();
        let hash = write_tensors(&path, [("a".to_owned(), &a), ("b".to_owned(), &b)]).unwrap();
        let back = read_tensors(&path).unwrap();
        assert!(back["a"].equal(&a) && back["b"].equal(&b));
        assert_eq!(hash, blake3::hash(&fs::read(&path).unwrap()));
    }

    #[test]
    fn a_cut_file_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let a = Tensor::randn([64], (Kind::Float, tch::Device::Cpu));
        write_tensors(&path, [("a".to_owned(), &a)]).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read_tensors(&path).unwrap_err().to_string().contains("x.safetensors"));
    }
}
