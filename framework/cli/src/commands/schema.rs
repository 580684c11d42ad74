//! `sbp schema`: the JSON Schema of recipes for the plugins of this program.

use crate::exit::{Done, Failure};
use crate::say::say;

/// Prints the schema.
pub(crate) fn run() -> Result<Done, Failure> {
    say(format_args!("{:#}", sbp_recipe::recipe_schema()));
    Ok(Done::Fully)
}
