//! Handshakes: one alone, and many with sixteen under way.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Outcome, PATIENCE, Target};
use crate::poll::{Poll, READ, key};
use crate::token::Minter;
use crate::wire::{accept_key, check_response, head_len};

/// Handshakes under way at the same time.
const WORKERS: usize = 16;

/// A request and what must answer it.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    accept: String,
}

impl Request {
    fn new(address: SocketAddr, minter: &mut Minter) -> Result<Self> {
        let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
        let token = minter.mint()?;
        let bytes = format!(
            "GET /echo HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        Ok(Self {
            bytes: bytes.into_bytes(),
            accept: accept_key(&key),
        })
    }
}

/// One handshake under way.
#[derive(Debug)]
struct Attempt {
    stream: TcpStream,
    request: usize,
    answer: Vec<u8>,
    started: Instant,
}

/// Opens one admitted connection.
pub(crate) fn open(target: &mut Target) -> Result<TcpStream> {
    let request = Request::new(target.address, &mut target.good)?;
    let mut stream = TcpStream::connect(target.address).context("connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream
        .write_all(&request.bytes)
        .context("send the request")?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 2048]);
    loop {
        let count = stream.read(&mut chunk).context("read the answer")?;
        ensure!(count > 0, "closed before an answer");
        answer.extend_from_slice(&chunk[..count]);
        if let Some(length) = head_len(&answer) {
            check_response(&answer[..length], 101, &request.accept)?;
            ensure!(length == answer.len(), "bytes after the answer");
            return Ok(stream);
        }
    }
}

/// Makes `count` handshakes, each admitted or, with a wrong signature, each refused.
pub(crate) fn run(target: &mut Target, is_refused: bool, count: u64) -> Result<Outcome> {
    let address = target.address;
    let (minter, status) = if is_refused {
        (&mut target.bad, 401)
    } else {
        (&mut target.good, 101)
    };
    let requests = (0..count)
        .map(|_| Request::new(address, minter))
        .collect::<Result<Vec<_>>>()?;
    let mut nanos = Vec::with_capacity(requests.len());
    let poll = Poll::new()?;
    let mut slots: Vec<Option<Attempt>> = Vec::new();
    let mut next = 0;
    let begin = Instant::now();
    for slot in 0..WORKERS.min(requests.len()) {
        slots.push(Some(Attempt::start(
            &poll,
            slot,
            address,
            &requests[next],
            next,
        )?));
        next += 1;
    }
    let mut events = Vec::with_capacity(WORKERS);
    while nanos.len() < requests.len() {
        poll.wait(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "no answer within {PATIENCE:?}");
        for event in &events {
            let slot = key(event);
            let attempt = slots[slot]
                .as_mut()
                .context("an event without an attempt")?;
            if !attempt.read(status, &requests[attempt.request].accept)? {
                continue;
            }
            let taken = attempt.started.elapsed().as_nanos();
            nanos.push(u32::try_from(taken).unwrap_or(u32::MAX));
            slots[slot] = None;
            if next < requests.len() {
                slots[slot] = Some(Attempt::start(&poll, slot, address, &requests[next], next)?);
                next += 1;
            }
        }
    }
    Outcome::new(begin.elapsed(), &mut nanos)
}

impl Attempt {
    fn start(
        poll: &Poll,
        slot: usize,
        address: SocketAddr,
        request: &Request,
        index: usize,
    ) -> Result<Self> {
        let started = Instant::now();
        let mut stream = TcpStream::connect(address).context("connect")?;
        stream
            .write_all(&request.bytes)
            .context("send the request")?;
        poll.add(&stream, slot, READ)?;
        Ok(Self {
            stream,
            request: index,
            answer: Vec::new(),
            started,
        })
    }

    /// Reads once; `true` when the answer is whole and as it must be.
    fn read(&mut self, status: u16, accept: &str) -> Result<bool> {
        let mut chunk = [0; 2048];
        let count = self.stream.read(&mut chunk).context("read the answer")?;
        ensure!(count > 0, "closed before the answer was whole");
        self.answer.extend_from_slice(&chunk[..count]);
        let Some(length) = head_len(&self.answer) else {
            return Ok(false);
        };
        let body = check_response(&self.answer[..length], status, accept)?;
        ensure!(self.answer.len() <= length + body, "bytes after the answer");
        Ok(self.answer.len() == length + body)
    }
}
