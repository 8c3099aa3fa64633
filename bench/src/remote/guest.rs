//! One guest, and its requests under way.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::{INITIALIZE, Messages};
use crate::wire::{Frames, Header, Piece, TEXT, accept_key, check_response, head_len};

/// How long a handshake, or the first answer, may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a guest goes, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) path: &'static str,
    pub(super) bearer: &'static str,
}

/// A connection on which the guest has begun.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) stream: TcpStream,
    frames: Frames,
    /// When each request under way was sent, the oldest first.
    sent: VecDeque<Instant>,
    next_sent: u64,
    next_back: u64,
    seen: usize,
    last: u8,
    out: Vec<u8>,
    written: usize,
}

impl Guest {
    /// Connects, begins with an `initialize`, and hears its answer.
    pub(super) fn open(door: &Door) -> Result<Self> {
        let mut stream = TcpStream::connect(door.address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        upgrade(&mut stream, door)?;
        let mut guest = Self {
            stream,
            frames: Frames::default(),
            sent: VecDeque::new(),
            next_sent: 0,
            next_back: 0,
            seen: 0,
            last: 0,
            out: Vec::new(),
            written: 0,
        };
        guest.begin().context("begin")?;
        guest.stream.set_nonblocking(true)?;
        Ok(guest)
    }

    fn begin(&mut self) -> Result<()> {
        header(INITIALIZE.len()).write(&mut self.out);
        self.out.extend_from_slice(INITIALIZE.as_bytes());
        self.flush()?;
        let (mut answer, mut chunk) = (Vec::new(), [0; 1024]);
        loop {
            let count = self.stream.read(&mut chunk)?;
            ensure!(count > 0, "closed before the first answer");
            let mut input = &chunk[..count];
            while let Some(piece) = self.frames.next(&mut input) {
                match piece {
                    Piece::Start(header) => ensure!(header.opcode == TEXT, "{header:?}"),
                    Piece::Payload { bytes, left } => {
                        answer.extend_from_slice(bytes);
                        if left == 0 {
                            ensure!(
                                answer.starts_with(br#"{"id":1,"result":{"#),
                                "a wrong first answer"
                            );
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Puts a request among what is to be written.
    pub(super) fn ask(&mut self, messages: &Messages, now: Instant) {
        header(messages.request_len()).write(&mut self.out);
        messages.request(self.next_sent, &mut self.out);
        self.next_sent += 1;
        self.sent.push_back(now);
    }

    /// Writes what the socket takes; whether some is left.
    pub(super) fn flush(&mut self) -> Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(sent) => self.written += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error).context("write"),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(false)
    }

    /// Reads what is there, and notes how long each answer took, in nanoseconds; their number.
    pub(super) fn hear(
        &mut self,
        messages: &Messages,
        scratch: &mut [u8],
        nanos: &mut Vec<u32>,
    ) -> Result<usize> {
        let count = match self.stream.read(scratch) {
            Ok(0) => bail!("closed while requests were under way"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error).context("read"),
        };
        let (now, mut input, mut answers) = (Instant::now(), &scratch[..count], 0);
        while let Some(piece) = self.frames.next(&mut input) {
            let (bytes, left) = match piece {
                Piece::Start(header) => {
                    ensure!(
                        header.opcode == TEXT && header.length == messages.answer_len() as u64,
                        "not the answer: {header:?}"
                    );
                    continue;
                }
                Piece::Payload { bytes, left } => (bytes, left),
            };
            self.check(bytes)?;
            if left == 0 {
                ensure!(self.last == b'}', "an answer with a wrong end");
                let sent = self.sent.pop_front().context("an answer to nothing")?;
                let taken = now.saturating_duration_since(sent).as_nanos();
                nanos.push(u32::try_from(taken).unwrap_or(u32::MAX));
                self.seen = 0;
                self.next_back += 1;
                answers += 1;
            }
        }
        Ok(answers)
    }

    /// Checks that a part of an answer is of the one that is due.
    fn check(&mut self, bytes: &[u8]) -> Result<()> {
        let start = Messages::answer_start(self.next_back);
        let expected = start.as_bytes().get(self.seen..).unwrap_or_default();
        let compared = expected.len().min(bytes.len());
        ensure!(bytes[..compared] == expected[..compared], "a wrong answer");
        self.seen += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
        Ok(())
    }
}

/// With a mask of zeros, which costs us nothing, and others what any mask does.
fn header(bytes: usize) -> Header {
    Header {
        fin: true,
        opcode: TEXT,
        mask: Some([0; 4]),
        length: bytes as u64,
    }
}

fn upgrade(stream: &mut TcpStream, door: &Door) -> Result<()> {
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nAuthorization: Bearer {}\r\n\r\n",
        door.path, door.address, door.bearer
    );
    stream.write_all(head.as_bytes())?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while head_len(&answer).is_none() {
        let count = stream.read(&mut byte).context("read the answer")?;
        ensure!(count == 1, "closed before an answer");
        answer.push(byte[0]);
    }
    check_response(&answer, 101, &accept_key(&key)).map(drop)
}
