//! The report: made only from results, small on purpose.

pub mod compare;
pub mod curves;
pub mod results;
pub mod table;

pub use crate::stages::quality::Sample;
