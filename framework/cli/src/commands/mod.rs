//! One file a verb.

pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod corpus;
mod devices;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod pairs;
pub(crate) mod plan;
pub(crate) mod plugins;
pub(crate) mod price;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod validate;
