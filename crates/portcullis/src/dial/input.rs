//! Standard input, as messages.

use std::io::{self, BufRead, Read as _};
use std::thread;

use anyhow::{Context, anyhow};
use portcullis_client::Message;
use tokio::sync::mpsc;

/// What was read.
pub(super) type Read = anyhow::Result<Message>;

/// Reads standard input on a thread of its own, as bytes or as lines.
///
/// # Errors
///
/// That there can be no more threads.
pub(super) fn read(is_raw: bool) -> anyhow::Result<mpsc::Receiver<Read>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let read = move || {
        let mut input = io::stdin().lock();
        let mut number = 0;
        loop {
            let read = if is_raw {
                chunk(&mut input)
            } else {
                number += 1;
                line(&mut input, number)
            };
            let Some(read) = read.transpose() else {
                return;
            };
            let is_over = read.is_err();
            if sender.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("input".into())
        .spawn(read)
        .context("cannot start a thread")?;
    Ok(receiver)
}

/// What there is, up to a chunk. None at the end.
fn chunk(input: &mut impl BufRead) -> anyhow::Result<Option<Message>> {
    let mut bytes = vec![0; CHUNK];
    let read = loop {
        match input.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read.context(UNREADABLE)?,
        }
    };
    bytes.truncate(read);
    Ok((read > 0).then(|| Message::binary(bytes)))
}

/// The next line, without its end. None at the end.
fn line(input: &mut impl BufRead, number: u64) -> anyhow::Result<Option<Message>> {
    let mut bytes = Vec::new();
    let mut bounded = input.take(LONGEST_LINE + 1);
    bounded.read_until(b'\n', &mut bytes).context(UNREADABLE)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() as u64 > LONGEST_LINE {
        return Err(anyhow!("line {number} of standard input is too long"));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow!("line {number} of standard input is no text; use --raw for bytes"))?;
    Ok(Some(Message::text(text)))
}

const UNREADABLE: &str = "cannot read standard input";

/// How many messages are read ahead.
const QUEUE: usize = 16;

/// The most bytes of a message in raw mode.
const CHUNK: usize = 64 * 1024;

/// The most bytes of a line.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_without_its_end() {
        let mut input = "one\r\n\ntwo\nthree".as_bytes();
        let mut lines = Vec::new();
        while let Some(message) = line(&mut input, 1).expect("text") {
            lines.push(message);
        }
        assert_eq!(lines, ["one", "", "two", "three"].map(Message::text));
    }

    #[test]
    fn a_line_that_is_no_text_is_told_with_its_number() {
        let error = line(&mut &b"\xff\n"[..], 7).expect_err("no text");
        assert!(error.to_string().starts_with("line 7 "), "{error}");
        assert!(
            error.to_string().ends_with("use --raw for bytes"),
            "{error}"
        );
    }

    #[test]
    fn bytes_are_messages_as_they_come() {
        let mut input = &[7; CHUNK + 1][..];
        let first = chunk(&mut input).expect("bytes").expect("some");
        let second = chunk(&mut input).expect("bytes").expect("some");
        assert_eq!(first.as_bytes().len() + second.as_bytes().len(), CHUNK + 1);
        assert_eq!(chunk(&mut input).expect("the end"), None);
    }
}
