//! The slots, one file each: the trait, its contract in prose, its marker type.

pub mod arm;
pub mod corpus;
pub mod document_filter;
pub mod embedder;
pub mod evaluator;
pub mod judge;
pub mod mixer;
pub mod objective;
pub mod optimizer;
pub mod pair_filter;
pub mod retriever;
pub mod schedule;
pub mod synthesizer;
pub mod tracker;

/// Defines a slot's marker type and gathers its plugins.
macro_rules! slot {
    ($marker:ident, $name:literal, $object:ty, $summary:literal) => {
        #[doc = $summary]
        #[derive(Debug, Clone, Copy)]
        pub struct $marker;

        impl $crate::registry::Slot for $marker {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            type Object = $object;
            fn linked() -> Vec<&'static $crate::registry::Entry<Self>> {
                inventory::iter::<$crate::registry::Entry<Self>>.into_iter().collect()
            }
            fn guard(object: $crate::Guarded<$object>) -> Box<$object> {
                Box::new(object)
            }
        }

        inventory::collect!($crate::registry::Entry<$marker>);
    };
}

slot!(
    Arm,
    "arm",
    dyn arm::Arm,
    "One side of the comparison: which documents it may see, never how much compute."
);
slot!(Corpus, "corpus", dyn corpus::Corpus, "Where documents come from.");
slot!(
    DocumentFilter,
    "document_filter",
    dyn document_filter::DocumentFilter,
    "Judges synthetic documents before they are trained on."
);
slot!(Embedder, "embedder", dyn embedder::Embedder, "Maps a document to a unit-norm row of numbers.");
slot!(Evaluator, "evaluator", dyn evaluator::Evaluator, "Scores a trained model.");
slot!(Judge, "judge", dyn judge::Judge, "Gives an opinion of synthetic documents, for the report.");
slot!(Mixer, "mixer", dyn mixer::Mixer, "Decides the order and origin of training documents.");
slot!(
    Objective,
    "objective",
    dyn objective::Objective,
    "Turns a pair into a training sequence and a seed document into a prompt."
);
slot!(Optimizer, "optimizer", dyn optimizer::Optimizer, "Says how every parameter of a model is updated.");
slot!(
    PairFilter,
    "pair_filter",
    dyn pair_filter::PairFilter,
    "Judges neighbor pairs before the synthesizer is tuned."
);
slot!(Retriever, "retriever", dyn retriever::Retriever, "Finds the neighbors of each document.");
slot!(
    Schedule,
    "schedule",
    dyn schedule::Schedule,
    "Learning rate over the course of training, as a share of its peak."
);
slot!(
    Synthesizer,
    "synthesizer",
    dyn synthesizer::Synthesizer,
    "Samples synthetic documents from the tuned model."
);
slot!(Tracker, "tracker", dyn tracker::Tracker, "Receives metrics as they happen.");
