//! Optimizers: how a gradient changes a parameter.

pub mod adamw;
pub mod muon;
