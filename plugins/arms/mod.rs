//! Arms: the sides of the comparison.

pub mod oracle;
pub mod related_context;
pub mod repetition;
pub mod sbp;
