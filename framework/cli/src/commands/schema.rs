//! `sbp schema`: the JSON Schema of recipes for the plugins of this program.

use crate::exit::{Done, Failure};

/// Prints the schema.
#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(crate) fn run() -> Result<Done, Failure> {
    println!("{:#}", sbp_recipe::recipe_schema());
    Ok(Done::Fully)
}
