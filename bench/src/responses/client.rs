//! One client: a socket of the protocol, or the stream itself.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::time::{ClockId, clock_gettime};

use super::Shape;
use crate::wire::{Frames, Header, Piece, TEXT, accept_key, check_response, head_len};

const CLOSE: u8 = 8;
const PING: u8 = 9;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a client goes, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) bearer: String,
    /// By `POST` and events of a stream, to the upstream itself.
    pub(crate) is_direct: bool,
}

/// What a client measured, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// From asking to the first event, of each turn.
    pub(crate) first: Vec<u64>,
    /// From the upstream's writing to our reading, of each delta.
    pub(crate) delay: Vec<u64>,
}

/// One connection, and the turn that is under way on it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    way: Way,
    request: Vec<u8>,
    frames: Frames,
    /// What has come of a message, or of an event.
    partial: Vec<u8>,
    opcode: u8,
    asked: Instant,
    is_first: bool,
    /// Turns that are still to be asked for after this one.
    left: usize,
    deltas: u32,
    shape: Shape,
}

/// Nanoseconds of a clock that all processes share.
pub(crate) fn now_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl Client {
    /// Connects, and is admitted where that is asked for.
    pub(crate) fn open(way: &Way, shape: Shape) -> Result<Self> {
        let mut stream = TcpStream::connect(way.address).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        if !way.is_direct {
            upgrade(&mut stream, way)?;
        }
        Ok(Self {
            stream,
            request: request(way, shape),
            way: way.clone(),
            frames: Frames::default(),
            partial: Vec::new(),
            opcode: TEXT,
            asked: Instant::now(),
            is_first: false,
            left: 0,
            deltas: 0,
            shape,
        })
    }

    /// Asks for the first of this many turns.
    pub(crate) fn begin(&mut self, turns: usize) -> Result<()> {
        self.left = turns - 1;
        self.ask()
    }

    fn ask(&mut self) -> Result<()> {
        self.asked = Instant::now();
        self.is_first = true;
        self.deltas = 0;
        // A request is small, and the last answer has been read.
        self.stream.write_all(&self.request).context("ask")
    }

    /// Reads what is there; `true` when the last turn is over.
    pub(crate) fn progress(&mut self, scratch: &mut [u8], times: &mut Times) -> Result<bool> {
        let count = match self.stream.read(scratch) {
            Ok(0) => bail!("closed in mid-turn"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("read"),
        };
        let now = now_nanos();
        let is_over = if self.way.is_direct {
            self.read_stream(&scratch[..count], now, times)?
        } else {
            self.read_frames(&scratch[..count], now, times)?
        };
        if !is_over {
            return Ok(false);
        }
        ensure!(
            self.deltas == self.shape.events,
            "{} of {} events came",
            self.deltas,
            self.shape.events
        );
        if self.left == 0 {
            return Ok(true);
        }
        self.left -= 1;
        self.ask()?;
        Ok(false)
    }

    fn read_frames(&mut self, mut input: &[u8], now: u64, times: &mut Times) -> Result<bool> {
        let mut is_over = false;
        while let Some(piece) = self.frames.next(&mut input) {
            let is_whole = match piece {
                Piece::Start(header) => {
                    ensure!(header.fin && header.mask.is_none(), "{header:?}");
                    self.opcode = header.opcode;
                    self.partial.clear();
                    header.length == 0
                }
                Piece::Payload { bytes, left } => {
                    self.partial.extend_from_slice(bytes);
                    left == 0
                }
            };
            if is_whole {
                match self.opcode {
                    TEXT => is_over |= self.event(now, times)?,
                    PING => self.pong()?,
                    other => bail!("a frame of kind {other}: {}", shown(&self.partial)),
                }
            }
        }
        Ok(is_over)
    }

    fn read_stream(&mut self, input: &[u8], now: u64, times: &mut Times) -> Result<bool> {
        self.partial.extend_from_slice(input);
        let mut is_over = false;
        while let Some(end) = find(&self.partial, b"\n\n") {
            let rest = self.partial.split_off(end + 2);
            is_over |= self.event(now, times)?;
            self.partial = rest;
        }
        if is_over {
            // The last chunk comes with the last event, or a moment after it.
            while find(&self.partial, b"0\r\n\r\n").is_none() {
                let mut more = [0; 64];
                self.stream.set_nonblocking(false)?;
                let count = self.stream.read(&mut more)?;
                self.stream.set_nonblocking(true)?;
                ensure!(count > 0, "closed before the last chunk");
                self.partial.extend_from_slice(&more[..count]);
            }
            self.partial.clear();
        }
        Ok(is_over)
    }

    /// Takes what `partial` holds; `true` when it ends the turn.
    fn event(&mut self, now: u64, times: &mut Times) -> Result<bool> {
        if std::mem::take(&mut self.is_first) {
            let taken = self.asked.elapsed().as_nanos();
            times.first.push(u64::try_from(taken).unwrap_or(u64::MAX));
        }
        let event = &self.partial;
        if let Some(at) =
            find(event, b"\" t").filter(|_| find(event, b"output_text.delta").is_some())
        {
            let written: u64 =
                std::str::from_utf8(event.get(at + 3..at + 23).context("a short delta")?)?
                    .parse()?;
            times.delay.push(now.saturating_sub(written));
            self.deltas += 1;
            return Ok(false);
        }
        let is_bad = [
            &b"response.failed"[..],
            b"\"error\",",
            b"\"error\":{\"",
            b"\"error\": {\"",
        ];
        ensure!(
            !is_bad.iter().any(|bad| find(event, bad).is_some()),
            "{}",
            shown(event)
        );
        Ok(find(event, b"response.completed").is_some())
    }

    fn pong(&mut self) -> Result<()> {
        let mut frame = Vec::new();
        Header {
            fin: true,
            opcode: 10,
            mask: Some([0; 4]),
            length: self.partial.len() as u64,
        }
        .write(&mut frame);
        frame.extend_from_slice(&self.partial);
        self.stream.write_all(&frame).context("pong")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !self.way.is_direct {
            let mut frame = Vec::new();
            Header {
                fin: true,
                opcode: CLOSE,
                mask: Some([0; 4]),
                length: 2,
            }
            .write(&mut frame);
            frame.extend_from_slice(&1000_u16.to_be_bytes());
            // Who has gone already is told nothing.
            let _ = self.stream.write_all(&frame);
        }
    }
}

fn upgrade(stream: &mut TcpStream, way: &Way) -> Result<()> {
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\nAuthorization: Bearer {}\r\n\r\n",
        way.path, way.address, way.bearer
    );
    stream.write_all(head.as_bytes())?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while head_len(&answer).is_none() {
        ensure!(
            stream.read(&mut byte).context("read the answer")? == 1,
            "closed before an answer"
        );
        answer.push(byte[0]);
    }
    check_response(&answer, 101, &accept_key(&key)).map(drop)
}

/// One turn, as it is asked for.
fn request(way: &Way, shape: Shape) -> Vec<u8> {
    let Shape { events, pace, .. } = shape;
    let fields = format!(
        "\"model\":\"bench\",\"store\":false,\"stream\":true,\"instructions\":\"Count.\",\"input\":[{{\"type\":\"message\",\"role\":\"user\",\
         \"content\":[{{\"type\":\"input_text\",\"text\":\"@bench:{events}:{pace}@\"}}]}}]"
    );
    if way.is_direct {
        let body = format!("{{{fields}}}");
        return format!(
            "POST /v1/responses HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
            way.address,
            body.len()
        )
        .into_bytes();
    }
    let message = format!("{{\"type\":\"response.create\",{fields}}}");
    let mut frame = Vec::new();
    Header {
        fin: true,
        opcode: TEXT,
        mask: Some([0; 4]),
        length: message.len() as u64,
    }
    .write(&mut frame);
    frame.extend_from_slice(message.as_bytes());
    frame
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(600).collect()
}
