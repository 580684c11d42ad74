//! For tests: everything the method needs, small enough to check by hand and fast enough to run always.
//!
//! - [`BigramRuntime`]: the ports of the tensor world on counted bigrams, so that the whole pipeline runs in
//!   milliseconds without libtorch;
//! - [`ByteTokenizer`], [`ByteEncoder`], [`TinyCorpus`], [`NaiveTopK`]: the smallest honest version of each;
//! - [`ThreadTeam`]: several processes as threads of one;
//! - [`contract`]: a suite for every slot, which authors of plugins run over theirs.

mod bigram;
pub mod contract;
mod corpus;
mod embedding;
mod encoder;
mod memory;
mod optimizer;
mod runtime;
mod search;
mod team;
mod tokenizer;

pub use bigram::BigramModel;
pub use corpus::{TinyConfig, TinyCorpus, synthetic};
pub use embedding::embed;
pub use encoder::ByteEncoder;
pub use memory::peak_mib;
pub use optimizer::PlainAdamW;
pub use runtime::BigramRuntime;
pub use search::{NaiveTopK, random_embeddings, search, search_in_calls};
pub use team::ThreadTeam;
pub use tokenizer::ByteTokenizer;
