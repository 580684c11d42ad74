//! Benchmarks: this program and its peers on the same job, in turn, on the same machine.

mod contestant;
mod entry;
mod eval;
mod generate;
mod pairs;
mod scale;
mod train;

pub(crate) use eval::eval;
pub(crate) use generate::generate;
pub(crate) use pairs::pairs;
pub(crate) use scale::scale;
pub(crate) use train::train;
