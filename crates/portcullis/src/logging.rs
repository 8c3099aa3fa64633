//! Logs: for people on a terminal, as JSON otherwise. They go to standard error.

use std::io::IsTerminal;

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

/// Starts logging. What is logged is said by `PORTCULLIS_LOG`, or else `RUST_LOG`; `info` by default.
///
/// # Errors
///
/// The filter that cannot be read.
pub(crate) fn start(format: Option<LogFormat>) -> anyhow::Result<()> {
    let filter = filter()?;
    let format = format.unwrap_or_else(|| {
        if std::io::stderr().is_terminal() {
            LogFormat::Human
        } else {
            LogFormat::Json
        }
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => builder.with_ansi(output::is_coloured()).init(),
        LogFormat::Json => builder
            .json()
            .with_current_span(false)
            .with_span_list(false)
            .init(),
    }
    Ok(())
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
    Ok(EnvFilter::new("info"))
}
