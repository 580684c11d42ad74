//! Arms: the sides of the comparison.

pub mod oracle;
pub mod repetition;
pub mod sbp;
