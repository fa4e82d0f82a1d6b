//! Talking to the person at the terminal.

use std::io::{self, Write as _};

/// Prints a line of progress or complaint to standard error.
pub(super) fn say(line: &str) {
    // A terminal that went away is no reason to stop governing traffic.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Prints a result to standard output.
pub(super) fn answer(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}
