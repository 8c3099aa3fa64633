//! Upstreams that are processes: a JSON object a line, both ways.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::upstream::UpstreamError;
use crate::connector::config::GuestLimits;
use crate::wire::Message;

pub(super) struct LineReader {
    /// Killed when nobody reads any more.
    _process: Process,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
    most: usize,
}

pub(super) struct LineWriter(BufWriter<ChildStdin>);

/// A process and all that it started, as far as that stayed in its group.
struct Process {
    child: Child,
}

/// Starts `command`, with our environment but for the variable `hidden`. What it says to its standard
/// error goes to ours.
pub(super) fn open(
    command: &str,
    hidden: Option<&OsStr>,
    limits: &GuestLimits,
) -> Result<(LineReader, LineWriter), UpstreamError> {
    let mut shell = Command::new("/bin/sh");
    if let Some(hidden) = hidden {
        shell.env_remove(hidden);
    }
    let mut child = shell
        .arg("-c")
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("its pipes are gone").into());
    };
    let reader = LineReader {
        _process: Process { child },
        output: BufReader::new(output),
        line: Vec::new(),
        most: limits.message,
    };
    Ok((reader, LineWriter(BufWriter::new(input))))
}

impl LineReader {
    /// Cancel-safe: what was read of a line is kept.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, UpstreamError> {
        loop {
            let read = self.output.fill_buf().await?;
            if read.is_empty() {
                return Ok(None);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = end.map_or(read, |end| read.get(..end).unwrap_or_default());
            self.line.extend_from_slice(part);
            let taken = end.map_or(read.len(), |end| end + 1);
            self.output.consume(taken);
            if self.line.len() > self.most {
                return Err(UpstreamError::LongLine);
            }
            if end.is_none() {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            match std::str::from_utf8(&line).map(Message::parse) {
                Ok(Ok(message)) => return Ok(Some(message)),
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(bytes = line.len(), "a line of an upstream is passed over");
                }
            }
        }
    }
}

impl LineWriter {
    pub(super) async fn feed(&mut self, message: &Message) -> Result<(), UpstreamError> {
        // A message was written by somebody else, and may be spread over lines. Within JSON a line ends
        // only where white space does as well.
        let mut lines = message.as_str().split(['\n', '\r']);
        if let Some(first) = lines.next() {
            self.0.write_all(first.as_bytes()).await?;
        }
        for line in lines {
            self.0.write_all(b" ").await?;
            self.0.write_all(line.as_bytes()).await?;
        }
        Ok(self.0.write_all(b"\n").await?)
    }

    pub(super) async fn flush(&mut self) -> Result<(), UpstreamError> {
        Ok(self.0.flush().await?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody has waited for it, so that its number is still its own, even if it has ended.
        let group = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group.and_then(Pid::from_raw) {
            // It may be gone, and all of its group with it.
            let _: rustix::io::Result<()> = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_has_our_environment_but_for_what_is_hidden() {
        let command = r#"echo "{\"$CARGO_PKG_NAME\": \"$CARGO_PKG_VERSION\"}""#;
        let limits = GuestLimits::default();
        for (hidden, name) in [(None, env!("CARGO_PKG_NAME")), (Some("CARGO_PKG_NAME"), "")] {
            let opened = open(command, hidden.map(OsStr::new), &limits);
            let (mut reader, _writer) = opened.expect("a shell");
            let said = reader.next().await.expect("it lives").expect("a line");
            let expected = format!(r#"{{"{name}": "{}"}}"#, env!("CARGO_PKG_VERSION"));
            assert_eq!(said.as_str(), expected);
        }
    }
}
