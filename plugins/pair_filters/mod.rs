//! Pair filters: which neighbor pairs the synthesizer is tuned on.

pub mod length;
pub mod near_duplicate;
pub mod same_source;
pub mod similarity_band;
