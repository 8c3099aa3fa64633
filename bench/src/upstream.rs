//! The far end: an echo of WebSocket messages, the service behind hosts, and the verifier that
//! `auth_request` asks.
//!
//! One thread, one epoll set. Clients of a measurement mask with a key of zeros, so an
//! echo is a change of header and no work on the payload.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::hmac;
use rustix::event::epoll::Event;
use rustix::net::{SocketFlags, accept_with, listen, sockopt};

use crate::cli::UpstreamOptions;
use crate::poll::{Poll, READ, WRITE, key};
use crate::remote::Answers;
use crate::token;
use crate::wire::{Frames, Header, Piece, accept_key, head_len, header};

/// The bytes read at once, by all connections in turn.
const SCRATCH_BYTES: usize = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// What a listener serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Echo,
    Answers,
    Verifier,
}

/// One accepted connection.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    role: Role,
    head: Vec<u8>,
    spoken: Option<Spoken>,
    out: Vec<u8>,
    written: usize,
    is_writing: bool,
}

/// What is spoken past the handshake.
#[derive(Debug)]
enum Spoken {
    Echo(Frames),
    Answers(Answers),
}

/// The server: listeners come first in the numbering of the keys, then connections.
#[derive(Debug)]
struct Server {
    poll: Poll,
    key: hmac::Key,
    listeners: Vec<(TcpListener, Role)>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
}

/// Serves each on its ports, until standard input ends.
pub(crate) fn serve(options: &UpstreamOptions) -> Result<()> {
    let mut server = Server {
        poll: Poll::new()?,
        key: hmac::Key::new(hmac::HMAC_SHA256, options.secret.as_bytes()),
        listeners: Vec::new(),
        connections: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; SCRATCH_BYTES],
    };
    for (ports, role) in [
        (&options.echo[..], Role::Echo),
        (&options.answers, Role::Answers),
        (options.verifier.as_slice(), Role::Verifier),
    ] {
        for port in ports {
            server.listen(*port, role)?;
        }
    }
    let stdin = std::io::stdin();
    server.poll.add(&stdin, usize::MAX, READ)?;
    let mut events: Vec<Event> = Vec::with_capacity(256);
    loop {
        server.poll.wait(&mut events, None)?;
        for event in &events {
            if key(event) == usize::MAX {
                return Ok(());
            }
            server.handle(key(event))?;
        }
    }
}

impl Server {
    fn listen(&mut self, port: u16, role: Role) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).with_context(|| format!("bind {address}"))?;
        listen(&listener, BACKLOG).context("listen")?;
        sockopt::set_tcp_nodelay(&listener, true).context("nodelay")?;
        self.poll.add(&listener, self.listeners.len(), READ)?;
        self.listeners.push((listener, role));
        Ok(())
    }

    fn handle(&mut self, key: usize) -> Result<()> {
        let Some(index) = key.checked_sub(self.listeners.len()) else {
            return self.accept(key);
        };
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        let alive = connection
            .progress(&mut self.scratch, &self.key)
            .unwrap_or_else(|error| {
                eprintln!("upstream: {error:#}");
                false
            });
        if !alive {
            self.connections[index] = None;
            self.free.push(index);
            return Ok(());
        }
        let is_writing = connection.written < connection.out.len();
        if is_writing != connection.is_writing {
            connection.is_writing = is_writing;
            let interest = if is_writing { WRITE } else { READ };
            self.poll.change(&connection.stream, key, interest)?;
        }
        Ok(())
    }

    fn accept(&mut self, listener: usize) -> Result<()> {
        let (socket, role) = &self.listeners[listener];
        let stream = match accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(stream) => TcpStream::from(stream),
            Err(rustix::io::Errno::CONNABORTED) => return Ok(()),
            Err(error) => return Err(error).context("accept"),
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.poll.add(&stream, self.listeners.len() + index, READ)?;
        self.connections[index] = Some(Connection::new(stream, *role));
        Ok(())
    }
}

impl Connection {
    fn new(stream: TcpStream, role: Role) -> Self {
        Self {
            stream,
            role,
            head: Vec::new(),
            spoken: None,
            out: Vec::new(),
            written: 0,
            is_writing: false,
        }
    }

    /// Does what is possible now; `false` when the connection is over.
    fn progress(&mut self, scratch: &mut [u8], key: &hmac::Key) -> Result<bool> {
        if self.is_writing {
            return self.flush();
        }
        let count = match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error).context("read"),
        };
        let input = &scratch[..count];
        match &mut self.spoken {
            Some(Spoken::Echo(frames)) if frames.is_inside(count) => {
                frames.next(&mut &*input);
                self.pass(input)
            }
            Some(Spoken::Echo(frames)) => {
                echo(frames, input, &mut self.out)?;
                self.flush()
            }
            Some(Spoken::Answers(answers)) => {
                let is_open = answers.take(input, &mut self.out)?;
                Ok(is_open && self.flush()?)
            }
            None => self.read_head(input, key),
        }
    }

    /// Sends `payload` without a copy, except of what the socket does not take.
    fn pass(&mut self, payload: &[u8]) -> Result<bool> {
        let sent = match self.stream.write(payload) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return Ok(false),
        };
        self.out.extend_from_slice(&payload[sent..]);
        Ok(true)
    }

    fn read_head(&mut self, input: &[u8], key: &hmac::Key) -> Result<bool> {
        self.head.extend_from_slice(input);
        let Some(length) = head_len(&self.head) else {
            return Ok(true);
        };
        ensure!(length == self.head.len(), "bytes after a request head");
        let head = std::str::from_utf8(&self.head).context("a request head that is not text")?;
        match self.role {
            Role::Echo | Role::Answers => {
                let asked = header(head, "sec-websocket-key").context("no websocket key")?;
                let accept = accept_key(asked);
                self.out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
                self.out.extend_from_slice(accept.as_bytes());
                self.out.extend_from_slice(b"\r\n\r\n");
                self.spoken = Some(if self.role == Role::Echo {
                    Spoken::Echo(Frames::default())
                } else {
                    Spoken::Answers(Answers::default())
                });
                self.head = Vec::new();
            }
            Role::Verifier => {
                let bearer = header(head, "authorization").and_then(|v| v.strip_prefix("Bearer "));
                let answer: &[u8] = if bearer.is_some_and(|t| token::is_signed(key, t)) {
                    b"HTTP/1.1 204 No Content\r\n\r\n"
                } else {
                    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
                };
                self.out.extend_from_slice(answer);
                self.head.clear();
            }
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(sent) => self.written += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }
}

/// Appends the echo of `input` to `out`.
fn echo(frames: &mut Frames, mut input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    while let Some(piece) = frames.next(&mut input) {
        match piece {
            Piece::Start(header) => {
                ensure!(
                    header.mask == Some([0; 4]),
                    "a client frame without the mask of zeros"
                );
                Header {
                    mask: None,
                    ..header
                }
                .write(out);
            }
            Piece::Payload { bytes, .. } => out.extend_from_slice(bytes),
        }
    }
    Ok(())
}
