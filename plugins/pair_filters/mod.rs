//! Pair filters: which neighbor pairs the synthesizer is tuned on.

pub mod near_duplicate;
pub mod similarity_band;
