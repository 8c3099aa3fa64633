//! The service behind the hosts: it answers each request with what came in it.

use anyhow::{Context, Result, ensure};

use super::message::read_request;
use crate::wire::{Frames, Header, Piece, TEXT};

const CLOSE: u8 = 8;
/// Pings and pongs, which need no answer here: nobody who asks waits for one within a run.
const OTHER_CONTROL: [u8; 2] = [9, 10];

/// The frames of one connection, and the message that is coming.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    frames: Frames,
    mask: [u8; 4],
    opcode: u8,
    message: Vec<u8>,
}

impl Answers {
    /// Takes what came, and appends what is answered; `false` when the client has closed.
    pub(crate) fn take(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        while let Some(piece) = self.frames.next(&mut input) {
            let is_whole = match piece {
                Piece::Start(header) => {
                    ensure!(header.fin, "a message in several frames");
                    self.mask = header.mask.context("a client's frame without a mask")?;
                    self.opcode = header.opcode;
                    self.message.clear();
                    header.length == 0
                }
                Piece::Payload { bytes, left } => {
                    let at = self.message.len();
                    self.message.extend_from_slice(bytes);
                    unmask(&mut self.message[at..], self.mask, at);
                    left == 0
                }
            };
            if !is_whole || OTHER_CONTROL.contains(&self.opcode) {
                continue;
            }
            if self.opcode == CLOSE {
                return Ok(false);
            }
            ensure!(self.opcode == TEXT, "a frame of kind {}", self.opcode);
            self.answer(out)?;
        }
        Ok(true)
    }

    fn answer(&self, out: &mut Vec<u8>) -> Result<()> {
        let (number, params) =
            read_request(&self.message).context("a message that is no request of ours")?;
        let parts: [&[u8]; 4] = [br#"{"id":"#, number, br#","result":"#, params];
        Header {
            fin: true,
            opcode: TEXT,
            mask: None,
            length: parts.iter().map(|part| part.len() as u64).sum(),
        }
        .write(out);
        parts.iter().for_each(|part| out.extend_from_slice(part));
        Ok(())
    }
}

/// Takes `mask` off bytes that stand at `at` of their payload. A mask of zeros is none.
fn unmask(bytes: &mut [u8], mut mask: [u8; 4], at: usize) {
    if mask == [0; 4] {
        return;
    }
    mask.rotate_left(at % 4);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    rest.iter_mut()
        .zip(mask)
        .for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::message::{INITIALIZE, Messages};

    #[test]
    fn requests_are_answered_however_they_are_masked_and_cut() {
        let messages = Messages::of(300);
        let mut request = Vec::new();
        messages.request(3, &mut request);
        for mask in [[0; 4], [1, 2, 3, 4]] {
            let mut stream = Vec::new();
            for text in [INITIALIZE.as_bytes(), &request] {
                Header {
                    fin: true,
                    opcode: TEXT,
                    mask: Some(mask),
                    length: text.len() as u64,
                }
                .write(&mut stream);
                stream.extend(text.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
            }
            for cut in [1, 7, 64, stream.len()] {
                let (mut answers, mut out) = (Answers::default(), Vec::new());
                for chunk in stream.chunks(cut) {
                    assert!(answers.take(chunk, &mut out).unwrap());
                }
                let text = String::from_utf8_lossy(&out);
                assert!(
                    text.contains(r#"{"id":1,"result":{"clientInfo":"#),
                    "{text}"
                );
                assert!(text.contains(&Messages::answer_start(3)), "{text}");
            }
        }
    }
}
