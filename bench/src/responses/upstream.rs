//! The upstream: `POST …/responses`, answered by a stream of events.
//!
//! The request's text says how many deltas are told, and how often: `@bench:EVENTS:PACE@`. Each delta
//! holds the moment at which it was written, so that what relays it can be timed without a second channel.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll::Event;
use rustix::net::{SocketFlags, accept_with, listen, sockopt};

use super::client::now_nanos;
use crate::poll::{Poll, READ, WRITE, key};
use crate::wire::{head_len, header};

/// The bytes read at once, by all connections in turn.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// What may wait for a slow reader before no more is written.
const MOST_WAITING: usize = 256 * 1024;
/// The words before the numbers.
const MARK: &[u8] = b"@bench:";

/// A turn that is told.
#[derive(Clone, Copy, Debug)]
struct Telling {
    events: u32,
    told: u32,
    pace: Duration,
    due: Instant,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    is_writing: bool,
    telling: Option<Telling>,
}

#[derive(Debug)]
struct Server {
    poll: Poll,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    scratch: Vec<u8>,
}

/// Answers on `ports`, until standard input ends.
pub(crate) fn serve(ports: &[u16]) -> Result<()> {
    let mut server = Server {
        poll: Poll::new()?,
        listeners: Vec::new(),
        connections: Vec::new(),
        free: Vec::new(),
        due: BinaryHeap::new(),
        scratch: vec![0; SCRATCH_BYTES],
    };
    for port in ports {
        server.listen(*port)?;
    }
    let stdin = std::io::stdin();
    server.poll.add(&stdin, usize::MAX, READ)?;
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    loop {
        server.tell_what_is_due()?;
        let wait = server.due.peek().map(|Reverse((due, _))| {
            let left = due.saturating_duration_since(Instant::now());
            left.max(Duration::from_micros(50))
        });
        server.poll.wait(&mut events, wait)?;
        for event in &events {
            if key(event) == usize::MAX {
                return Ok(());
            }
            server.handle(key(event))?;
        }
    }
}

impl Server {
    fn listen(&mut self, port: u16) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).with_context(|| format!("bind {address}"))?;
        listen(&listener, BACKLOG).context("listen")?;
        sockopt::set_tcp_nodelay(&listener, true).context("nodelay")?;
        self.poll.add(&listener, self.listeners.len(), READ)?;
        self.listeners.push(listener);
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
            .progress(&mut self.scratch)
            .unwrap_or_else(|error| {
                eprintln!("upstream: {error:#}");
                false
            });
        self.settle(index, alive)
    }

    fn accept(&mut self, listener: usize) -> Result<()> {
        let socket = &self.listeners[listener];
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
        self.connections[index] = Some(Connection::new(stream));
        Ok(())
    }

    fn tell_what_is_due(&mut self) -> Result<()> {
        let now = Instant::now();
        while let Some(&Reverse((due, index))) = self.due.peek() {
            if due > now {
                return Ok(());
            }
            self.due.pop();
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            // Another connection may have taken the place of the one that was meant.
            if connection.telling.is_none_or(|telling| telling.due != due) {
                continue;
            }
            let alive = connection.tell(now);
            self.settle(index, alive)?;
        }
        Ok(())
    }

    /// Forgets a connection that is over, and waits for what the others want.
    fn settle(&mut self, index: usize, alive: bool) -> Result<()> {
        if !alive {
            self.connections[index] = None;
            self.free.push(index);
            return Ok(());
        }
        let Some(connection) = self.connections[index].as_mut() else {
            return Ok(());
        };
        let is_writing = connection.written < connection.out.len();
        if is_writing != connection.is_writing {
            connection.is_writing = is_writing;
            let interest = if is_writing { READ | WRITE } else { READ };
            self.poll
                .change(&connection.stream, self.listeners.len() + index, interest)?;
        }
        if let Some(telling) = connection.telling
            && !is_writing
        {
            self.due.push(Reverse((telling.due, index)));
        }
        Ok(())
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            out: Vec::new(),
            written: 0,
            is_writing: false,
            telling: None,
        }
    }

    /// Does what is possible now; `false` when the connection is over.
    fn progress(&mut self, scratch: &mut [u8]) -> Result<bool> {
        if self.is_writing && !self.flush() {
            return Ok(false);
        }
        match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(count) => self.input.extend_from_slice(&scratch[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error).context("read"),
        }
        if self.telling.is_some() {
            return Ok(true);
        }
        let Some(body) = self.take_request()? else {
            return Ok(true);
        };
        let (events, pace) = asked(&body)?;
        self.out.extend_from_slice(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        for event in ["created", "in_progress"] {
            push(&mut self.out, &response(event, "in_progress", ""));
        }
        push(&mut self.out, ITEM_ADDED);
        push(&mut self.out, PART_ADDED);
        let due = Instant::now() + pace;
        self.telling = Some(Telling {
            events,
            told: 0,
            pace,
            due,
        });
        Ok(self.flush())
    }

    /// The body of the request at the start of the input, once it is complete.
    fn take_request(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(length) = head_len(&self.input) else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&self.input[..length]).context("a head that is not text")?;
        if !head.starts_with("POST ") {
            // What some ask for when they start.
            self.out
                .extend_from_slice(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
            self.input.drain(..length);
            ensure!(self.flush(), "gone");
            return Ok(None);
        }
        let body = &self.input[length..];
        let (body, used) = if let Some(size) = header(head, "content-length") {
            let size: usize = size.parse().context("content-length")?;
            match body.get(..size) {
                Some(whole) => (whole.to_vec(), length + size),
                None => return Ok(None),
            }
        } else {
            ensure!(
                header(head, "transfer-encoding").is_some(),
                "a body without a length"
            );
            match dechunked(body)? {
                Some((whole, size)) => (whole, length + size),
                None => return Ok(None),
            }
        };
        self.input.drain(..used);
        Ok(Some(body))
    }

    /// Tells what is due, and says when more is.
    fn tell(&mut self, now: Instant) -> bool {
        let Some(mut telling) = self.telling else {
            return true;
        };
        let waiting = self.out.len() - self.written;
        if telling.pace.is_zero() {
            // Each in a chunk of its own, as many as fit.
            while telling.told < telling.events && self.out.len() - self.written < 16 * 1024 {
                push(&mut self.out, &delta(telling.told));
                telling.told += 1;
            }
        } else if waiting < MOST_WAITING {
            push(&mut self.out, &delta(telling.told));
            telling.told += 1;
        }
        telling.due = (telling.due + telling.pace).max(now);
        self.telling = Some(telling);
        if telling.told == telling.events {
            self.telling = None;
            push(&mut self.out, ITEM_DONE);
            push(&mut self.out, &response("completed", "completed", OUTPUT));
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        self.flush()
    }

    fn flush(&mut self) -> bool {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(sent) => self.written += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        self.out.clear();
        self.written = 0;
        true
    }
}

/// How many deltas are asked for, and how long apart.
fn asked(body: &[u8]) -> Result<(u32, Duration)> {
    let at = body
        .windows(MARK.len())
        .rposition(|window| window == MARK)
        .context("a request that does not say what it wants")?;
    let rest = &body[at + MARK.len()..];
    let end = rest
        .iter()
        .position(|byte| *byte == b'@')
        .context("no end")?;
    let text = std::str::from_utf8(&rest[..end])?;
    let Some((events, pace)) = text.split_once(':') else {
        bail!("{text:?} says nothing");
    };
    Ok((events.parse()?, Duration::from_micros(pace.parse()?)))
}

/// The body at the start of `bytes` and how long it is, once its last chunk is there.
fn dechunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = bytes[at..].windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + end])?;
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk's size")?;
        at += end + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// Appends `event` in a chunk of its own.
fn push(out: &mut Vec<u8>, event: &str) {
    out.extend_from_slice(format!("{:x}\r\n", event.len()).as_bytes());
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn delta(number: u32) -> String {
    let (number, now) = (number + 4, now_nanos());
    format!(
        "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"content_index\":0,\
         \"delta\":\" t{now:020} \",\"item_id\":\"msg_68a2f3c4d5e6f7a8b9c0d1e2f3a4b5c6\",\"logprobs\":[],\
         \"obfuscation\":\"7Kd93kQm\",\"output_index\":0,\"sequence_number\":{number}}}\n\n"
    )
}

const ITEM_ADDED: &str = "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"item\":{\"id\":\"msg_68a2f3c4d5e6f7a8b9c0d1e2f3a4b5c6\",\"type\":\"message\",\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"},\"output_index\":0,\"sequence_number\":2}\n\n";
const PART_ADDED: &str = "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"content_index\":0,\"item_id\":\"msg_68a2f3c4d5e6f7a8b9c0d1e2f3a4b5c6\",\"output_index\":0,\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"},\"sequence_number\":3}\n\n";
const ITEM_DONE: &str = "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"item\":{\"id\":\"msg_68a2f3c4d5e6f7a8b9c0d1e2f3a4b5c6\",\"type\":\"message\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"done\"}],\"role\":\"assistant\"},\"output_index\":0,\"sequence_number\":900001}\n\n";
const OUTPUT: &str = "{\"id\":\"msg_68a2f3c4d5e6f7a8b9c0d1e2f3a4b5c6\",\"type\":\"message\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"done\"}],\"role\":\"assistant\"}";

/// An event about the whole response.
fn response(event: &str, status: &str, output: &str) -> String {
    let number = match event {
        "created" => 0,
        "in_progress" => 1,
        _ => 900_002,
    };
    let usage = if output.is_empty() {
        "null"
    } else {
        r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":0},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":15}"#
    };
    format!(
        "event: response.{event}\ndata: {{\"type\":\"response.{event}\",\"response\":{{\"id\":\"resp_68a2f3c4d5e6f7a8b9c0d1e2f3a4b5c6\",\
         \"object\":\"response\",\"created_at\":1755500000,\"status\":\"{status}\",\"background\":false,\"error\":null,\"incomplete_details\":null,\
         \"instructions\":null,\"max_output_tokens\":null,\"model\":\"bench\",\"output\":[{output}],\"parallel_tool_calls\":true,\
         \"previous_response_id\":null,\"reasoning\":{{\"effort\":null,\"summary\":null}},\"store\":false,\"temperature\":1.0,\
         \"text\":{{\"format\":{{\"type\":\"text\"}}}},\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\",\
         \"usage\":{usage},\"user\":null,\"metadata\":{{}}}},\"sequence_number\":{number}}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_it_wants_whatever_stands_around_it() {
        let (events, pace) = asked(br#"{"input":[{"content":"@bench:12:50@"}]}"#).unwrap();
        assert_eq!((events, pace), (12, Duration::from_micros(50)));
        assert!(asked(b"{}").is_err());
    }

    #[test]
    fn chunks_are_one_body_once_the_last_is_there() {
        let whole = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest";
        let (body, used) = dechunked(whole).unwrap().unwrap();
        assert_eq!(
            (body.as_slice(), &whole[used..]),
            (&b"abcde"[..], &b"rest"[..])
        );
        assert!(dechunked(&whole[..18]).unwrap().is_none());
    }
}
