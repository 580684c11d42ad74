//! Mixers: in which order documents of all origins are trained on.

pub mod joint;
