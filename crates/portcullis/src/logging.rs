//! Logs: for people on a terminal, as JSON otherwise. They go to standard error.

mod json;

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::output;

/// How logs are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged where nobody says. What the drivers of databases and buses tell besides, the ledger
/// tells in its own words.
const DEFAULT: &str = "info,async_nats=error,sqlx=warn,sqlx_core=error";

/// Starts logging. What is logged is said by `PORTCULLIS_LOG`, or else `RUST_LOG`; `info` by default.
///
/// # Errors
///
/// The filter that cannot be read.
pub(crate) fn start(format: Option<LogFormat>) -> anyhow::Result<()> {
    let filter = filter()?;
    let format = format.unwrap_or_else(|| {
        if io::stderr().is_terminal() {
            LogFormat::Human
        } else {
            LogFormat::Json
        }
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Lines);
    match format {
        LogFormat::Human => builder.with_ansi(output::is_coloured()).init(),
        LogFormat::Json => builder.event_format(json::JsonLine).init(),
    }
    Ok(())
}

/// Writes what this thread has logged and not written yet, and gathers what it logs from now on
/// until the next call. A thread that calls it whenever it has nothing else to do pays one write
/// for a burst of decisions, and nobody waits for a line longer than the burst lasts. A thread that
/// never calls it writes each line at once.
pub(crate) fn flush() {
    GATHERED.with_borrow_mut(|gathered| gathered.get_or_insert_default().write());
}

/// The most bytes that a thread gathers.
const MAX_GATHERED: usize = 16 * 1024;

thread_local! {
    static GATHERED: RefCell<Option<Gathered>> = const { RefCell::new(None) };
}

/// Whole lines that are not written yet. They are written when the thread ends.
#[derive(Default)]
struct Gathered(Vec<u8>);

impl Gathered {
    fn write(&mut self) {
        if !self.0.is_empty() {
            // Where the log itself cannot be written there is nowhere to say so.
            let _: io::Result<()> = io::stderr().write_all(&self.0);
            self.0.clear();
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.write();
    }
}

/// Where the subscriber writes: one call for each line.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let gathered = GATHERED.try_with(|gathered| {
            let mut gathered = gathered.try_borrow_mut().ok()?;
            let gathered = gathered.as_mut()?;
            gathered.0.extend_from_slice(line);
            if gathered.0.len() > MAX_GATHERED {
                gathered.write();
            }
            Some(())
        });
        match gathered {
            Ok(Some(())) => Ok(line.len()),
            // A thread that does not gather, or is ending.
            Ok(None) | Err(_) => io::stderr().write_all(line).map(|()| line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn filter() -> anyhow::Result<EnvFilter> {
    for name in ["PORTCULLIS_LOG", "RUST_LOG"] {
        match std::env::var(name) {
            Ok(text) if !text.trim().is_empty() => {
                return EnvFilter::try_new(&text).map_err(|error| {
                    anyhow::anyhow!("{name} is `{text}`: {error}; write a level such as `info`, or `target=level`")
                });
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(EnvFilter::new(DEFAULT))
}
