//! Standard output, whose reader may have gone away (`sbp plan … | head`): that is no reason to panic.

use std::fmt::Display;
use std::io::Write as _;

/// Prints a line to standard output.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
