//! Objectives: what the synthesizer learns from a pair, and what sampling starts from.

pub mod conditional;
pub mod joint;
pub mod multi_seed;
pub mod reverse;
pub mod unconditional;
