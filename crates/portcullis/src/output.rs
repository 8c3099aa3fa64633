//! The one place that prints, and the exit codes.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// All went well.
    Clean = 0,
    /// It could not start, or a command failed.
    Failed = 1,
    /// Draining ran out of time or was cut short.
    Forced = 3,
    /// `explain`: the arrival would be refused.
    Refused = 4,
    /// `dial`: refused; a fresher token is needed.
    Refresh = 5,
    /// `dial`: refused; a person has to log in, or a better token is needed.
    Login = 6,
    /// `dial`: refused; come back later.
    Retry = 7,
    /// `dial`: refused; coming back would not help.
    Stop = 8,
    /// `connect`: there is no credential that can be read.
    Denied = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints data. A reader that has gone, as `head` does, is no error.
pub(crate) fn data(text: impl Display) {
    let mut out = io::stdout().lock();
    let _gone: io::Result<()> = write!(out, "{text}").and_then(|()| out.flush());
}

/// Prints bytes, one part after the other.
///
/// # Errors
///
/// Why they cannot be printed; `BrokenPipe` when the reader has gone.
pub(crate) fn bytes(parts: &[&[u8]]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for part in parts {
        out.write_all(part)?;
    }
    out.flush()
}

/// Tells the person at the terminal something.
pub(crate) fn say(text: impl Display) {
    let mut err = io::stderr().lock();
    let _gone: io::Result<()> = write!(err, "{text}").and_then(|()| err.flush());
}

/// Whether a person reads what is told, and nobody keeps it.
pub(crate) fn is_read_by_a_person() -> bool {
    io::stderr().is_terminal()
}

/// Whether what is told to people may have colours.
pub(crate) fn is_coloured() -> bool {
    is_read_by_a_person() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
