//! A world of concepts: a corpus whose truth is known.
//!
//! Concepts have names, kinds and attributes; documents are drawn from a concept in many genres and phrasings and
//! reveal some of its attributes. So there is an unlimited supply of documents, and whether a text is true, and
//! what it is about, can be computed.

mod chance;
mod language;
pub mod questions;
pub mod read;
pub mod render;
mod template;
pub mod world;
