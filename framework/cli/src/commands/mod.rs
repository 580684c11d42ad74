//! One file a verb.

pub(crate) mod corpus;
pub(crate) mod doctor;
pub(crate) mod pairs;
pub(crate) mod plan;
pub(crate) mod plugins;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod validate;
