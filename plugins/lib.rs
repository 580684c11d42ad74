//! What a recipe can choose from: one folder a slot, one file a plugin.

pub mod corpora;
