//! Echoes: a fixed number of messages under way on each of a fixed set of connections.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll::Event;

use super::{Outcome, PATIENCE, Shape};
use crate::poll::{Poll, READ, WRITE, key};
use crate::wire::{BINARY, Frames, Header, Piece};

/// The bytes read at once.
const SCRATCH_BYTES: usize = 256 * 1024;
/// The bytes at the front of each payload that number the message.
const PREFIX_BYTES: usize = 16;

/// One connection and its messages under way.
#[derive(Debug)]
struct Lane {
    stream: TcpStream,
    frames: Frames,
    /// When each message under way was sent, the oldest first.
    sent: VecDeque<Instant>,
    next_sent: u64,
    next_back: u64,
    seen: usize,
    out: Vec<u8>,
    written: usize,
    is_writing: bool,
}

/// The connections of a load, open from one run to the next.
#[derive(Debug)]
pub(crate) struct Messages {
    poll: Poll,
    lanes: Vec<Lane>,
    shape: Shape,
    /// One payload; each message is it, behind a prefix of its own.
    payload: Vec<u8>,
    scratch: Vec<u8>,
    /// Messages that this run may still send.
    budget: u64,
    nanos: Vec<u32>,
}

impl Messages {
    /// Takes over connections that are past their handshake.
    pub(crate) fn new(streams: Vec<TcpStream>, shape: Shape) -> Result<Self> {
        let poll = Poll::new()?;
        let mut lanes = Vec::with_capacity(streams.len());
        for stream in streams {
            stream.set_nonblocking(true)?;
            poll.add(&stream, lanes.len(), READ)?;
            lanes.push(Lane::new(stream));
        }
        let payload = (0..shape.bytes).map(|i| (i % 251) as u8).collect();
        let scratch = vec![0; SCRATCH_BYTES];
        Ok(Self {
            poll,
            lanes,
            shape,
            payload,
            scratch,
            budget: 0,
            nanos: Vec::new(),
        })
    }

    /// Has `count` messages echoed and checks each.
    pub(crate) fn run(&mut self, count: u64) -> Result<Outcome> {
        let wanted = usize::try_from(count).context("count")?;
        self.nanos = Vec::with_capacity(wanted);
        self.budget = count;
        let begin = Instant::now();
        for index in 0..self.lanes.len() {
            self.send(index, self.shape.depth, begin)?;
        }
        let mut events: Vec<Event> = Vec::with_capacity(self.lanes.len());
        while self.nanos.len() < wanted {
            self.poll.wait(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "no echo within {PATIENCE:?}");
            for event in &events {
                self.handle(key(event))?;
            }
        }
        Outcome::new(begin.elapsed(), &mut self.nanos)
    }

    fn handle(&mut self, index: usize) -> Result<()> {
        let lane = &mut self.lanes[index];
        if lane.is_writing {
            lane.flush()?;
        }
        let count = match lane.stream.read(&mut self.scratch) {
            Ok(0) => bail!("closed while messages were under way"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error).context("read"),
        };
        let now = Instant::now();
        let done = lane.check(&self.scratch[..count], &self.payload, now, &mut self.nanos)?;
        self.send(index, done, now)
    }

    /// Sends up to `count` messages, as far as the budget goes, in one write.
    fn send(&mut self, index: usize, count: usize, now: Instant) -> Result<()> {
        let lane = &mut self.lanes[index];
        for _ in 0..count {
            if self.budget == 0 {
                break;
            }
            self.budget -= 1;
            let length = self.payload.len() as u64;
            Header {
                fin: true,
                opcode: BINARY,
                mask: Some([0; 4]),
                length,
            }
            .write(&mut lane.out);
            lane.out.extend_from_slice(&prefix(lane.next_sent));
            lane.out.extend_from_slice(&self.payload[PREFIX_BYTES..]);
            lane.next_sent += 1;
            lane.sent.push_back(now);
        }
        lane.flush()?;
        let is_writing = lane.written < lane.out.len();
        if is_writing != lane.is_writing {
            lane.is_writing = is_writing;
            let interest = if is_writing { READ | WRITE } else { READ };
            self.poll.change(&lane.stream, index, interest)?;
        }
        Ok(())
    }
}

impl Lane {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            frames: Frames::default(),
            sent: VecDeque::new(),
            next_sent: 0,
            next_back: 0,
            seen: 0,
            out: Vec::new(),
            written: 0,
            is_writing: false,
        }
    }

    /// Checks what came back; gives the number of messages that are now whole.
    fn check(
        &mut self,
        mut input: &[u8],
        payload: &[u8],
        now: Instant,
        nanos: &mut Vec<u32>,
    ) -> Result<usize> {
        let length = payload.len() as u64;
        let wanted = Header {
            fin: true,
            opcode: BINARY,
            mask: None,
            length,
        };
        let mut done = 0;
        while let Some(piece) = self.frames.next(&mut input) {
            let (bytes, left) = match piece {
                Piece::Start(header) => {
                    ensure!(header == wanted, "wanted {wanted:?}, got {header:?}");
                    continue;
                }
                Piece::Payload { bytes, left } => (bytes, left),
            };
            let expected = prefix(self.next_back);
            let expected = expected.get(self.seen..).unwrap_or_default();
            let compared = expected.len().min(bytes.len());
            ensure!(
                bytes[..compared] == expected[..compared],
                "a payload with a wrong prefix"
            );
            self.seen += bytes.len();
            if left == 0 {
                ensure!(bytes.last() == payload.last(), "a payload with a wrong end");
                let sent = self.sent.pop_front().context("an echo of nothing")?;
                let taken = now.saturating_duration_since(sent).as_nanos();
                nanos.push(u32::try_from(taken).unwrap_or(u32::MAX));
                self.seen = 0;
                self.next_back += 1;
                done += 1;
            }
        }
        Ok(done)
    }

    fn flush(&mut self) -> Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(sent) => self.written += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("write"),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}

/// The front of the payload of message `number`.
fn prefix(number: u64) -> [u8; PREFIX_BYTES] {
    (u128::from(number) * 0x9e37_79b9_7f4a_7c15 + 1).to_be_bytes()
}
