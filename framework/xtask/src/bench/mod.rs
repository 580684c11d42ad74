//! Benchmarks: this program and its peers on the same job, in turn, on the same machine.

mod contestant;
mod entry;
mod pairs;
mod train;

pub(crate) use pairs::pairs;
pub(crate) use train::train;
