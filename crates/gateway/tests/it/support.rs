//! A gate before an upstream of the test's choice, and clients that look at bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::limits::Limits;
use portcullis_boundary::policy::{Auth, HostRule};
use portcullis_boundary::revocation::RevocationSet;
use portcullis_boundary::session::Terms;
use portcullis_boundary::{DynVerifier, Policy};
use portcullis_gateway::config::{
    Builtin, GateConfig, ListenAddress, Listener, Pattern, Room, Route, Target, Timeouts, Upstream,
};
use portcullis_gateway::{BoundAddress, Gate, Services, StartOptions};
use portcullis_verifiers::CapabilityTokens;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const TOKEN: &str = "let-me-in";

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn tokens(text: &str) -> Arc<dyn DynVerifier> {
    Arc::new(CapabilityTokens::from_token("tokens", text).expect("a token"))
}

pub(crate) fn required() -> Auth {
    required_with(tokens(TOKEN), Carriers::default())
}

pub(crate) fn required_with(verifier: Arc<dyn DynVerifier>, carriers: Carriers) -> Auth {
    Auth::Required {
        verifiers: vec![verifier],
        carriers,
    }
}

/// A gate of one route, as a test changes it.
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) terms: Terms,
    pub(crate) login: Option<Box<str>>,
    pub(crate) upstream: Upstream,
    pub(crate) limits: Limits,
    pub(crate) room: Room,
    pub(crate) timeouts: Timeouts,
}

impl Setup {
    pub(crate) fn new(auth: Auth) -> Self {
        Self {
            policy: Policy::new("all", auth),
            terms: Terms::default(),
            login: None,
            upstream: Upstream::new(Target::Builtin(Builtin::Echo)),
            limits: Limits::default(),
            room: Room::default(),
            timeouts: Timeouts::default(),
        }
    }

    /// The route's upstream is at `address`.
    pub(crate) fn before(mut self, address: SocketAddr) -> Self {
        let authority = address.to_string().parse().expect("an authority");
        self.upstream = Upstream::new(Target::Tcp {
            authority,
            tls: None,
        });
        self
    }

    pub(crate) fn config(self) -> GateConfig {
        let route = Route {
            pattern: Pattern::parse("/*").expect("a pattern"),
            policy: Arc::new(self.policy),
            terms: Arc::new(self.terms),
            authority: None,
            login: self.login,
            upstream: self.upstream,
        };
        GateConfig {
            routes: vec![route],
            limits: self.limits,
            room: self.room,
            timeouts: self.timeouts,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn start(self) -> TestGate {
        self.start_with(Services::default())
    }

    /// Starts it, with these whom it asks and tells.
    pub(crate) fn start_with(self, services: Services) -> TestGate {
        let listener = Listener {
            address: ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            tls: None,
            hosts: Arc::new(HostRule::Loopback),
            health_routes: true,
        };
        let gate = Gate::start(
            self.config(),
            vec![listener],
            StartOptions {
                workers: 1,
                before_idle: || {},
                services,
                revoked: RevocationSet::default(),
            },
        )
        .expect("a gate");
        let BoundAddress::Tcp { address, .. } = gate.addresses()[0] else {
            panic!("TCP")
        };
        TestGate { gate, address }
    }
}

pub(crate) struct TestGate {
    pub(crate) gate: Gate,
    pub(crate) address: SocketAddr,
}

impl TestGate {
    /// A handshake with these header lines, and what the gate answered.
    pub(crate) async fn handshake(&self, lines: &[(&str, &str)]) -> (Answer, Socket) {
        let mut text = format!(
            "GET /x HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            self.address
        );
        for (name, value) in lines {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        self.send(&text).await
    }

    /// A handshake that is admitted.
    pub(crate) async fn enter(&self) -> Socket {
        let (answer, socket) = self.handshake(&[("authorization", &bearer())]).await;
        assert_eq!(answer.status, 101, "{}", answer.text);
        socket
    }

    /// Sends `text` on a connection of its own, and reads the head of the answer.
    pub(crate) async fn send(&self, text: &str) -> (Answer, Socket) {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(text.as_bytes()).await.expect("written");
        let mut socket = Socket {
            stream,
            buffer: Vec::new(),
        };
        let answer = within(socket.head()).await;
        (answer, socket)
    }

    /// Waits until `count` sessions are live.
    pub(crate) async fn sessions(&self, count: usize) {
        within(async {
            while self.gate.sessions() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

pub(crate) fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A frame as it was on the wire.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Seen {
    /// The code and reason of a close frame.
    pub(crate) fn close(&self) -> (u16, String) {
        assert_eq!(self.opcode, 8, "{self:?}");
        let code = u16::from_be_bytes([self.payload[0], self.payload[1]]);
        (
            code,
            String::from_utf8(self.payload[2..].to_vec()).expect("UTF-8"),
        )
    }
}

/// A connection whose bytes the test reads and writes itself.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
}

impl Socket {
    async fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let read = self.stream.read_buf(&mut self.buffer).await.expect("read");
            assert_ne!(
                read,
                0,
                "ended: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let text = String::from_utf8(self.buffer.drain(..end).collect()).expect("UTF-8");
        let status = text[9..12].parse().expect("a status");
        Answer { status, text }
    }

    pub(crate) async fn body(&mut self, answer: &Answer) -> String {
        let length: usize = answer
            .header("content-length")
            .expect("a length")
            .parse()
            .expect("a number");
        within(async {
            while self.buffer.len() < length {
                assert_ne!(
                    self.stream.read_buf(&mut self.buffer).await.expect("read"),
                    0
                );
            }
        })
        .await;
        String::from_utf8(self.buffer.drain(..length).collect()).expect("UTF-8")
    }

    /// Sends a masked frame.
    pub(crate) async fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let frame = masked(0x80 | opcode, payload);
        self.stream.write_all(&frame).await.expect("written");
    }

    /// The next frame from the gate; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        within(async {
            loop {
                if let Some(seen) = self.take() {
                    return Some(seen);
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    fn take(&mut self) -> Option<Seen> {
        let (&[first, second], rest) = self.buffer.split_first_chunk::<2>()?;
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, header) = match second {
            126 => (
                usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?)),
                4,
            ),
            127 => (
                usize::try_from(u64::from_be_bytes(*rest.first_chunk::<8>()?)).expect("small"),
                10,
            ),
            short => (usize::from(short), 2),
        };
        let payload = self.buffer.get(header..header + length)?.to_vec();
        self.buffer.drain(..header + length);
        Some(Seen {
            opcode: first & 0xf,
            payload,
        })
    }
}

pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).expect("short")),
        middle @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(middle).expect("two bytes").to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let key = [1, 2, 3, 4];
    frame.extend_from_slice(&key);
    frame.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    assert!(length <= 125);
    [&[first, length], payload].concat()
}

/// An upstream that a test plays by hand: it accepts one connection, reads its head, and answers
/// 101.
pub(crate) struct Played {
    listener: TcpListener,
}

impl Played {
    pub(crate) async fn new() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        (Self { listener }, address)
    }

    /// The head that the gate sent, and the connection.
    pub(crate) async fn accept(&self) -> (String, Socket) {
        within(async {
            let (stream, _) = self.listener.accept().await.expect("accepted");
            let mut socket = Socket {
                stream,
                buffer: Vec::new(),
            };
            let end = loop {
                if let Some(end) = socket
                    .buffer
                    .windows(4)
                    .position(|four| four == b"\r\n\r\n")
                {
                    break end + 4;
                }
                assert_ne!(
                    socket
                        .stream
                        .read_buf(&mut socket.buffer)
                        .await
                        .expect("read"),
                    0
                );
            };
            let head = String::from_utf8(socket.buffer.drain(..end).collect()).expect("UTF-8");
            (head, socket)
        })
        .await
    }

    /// Accepts and switches protocols.
    pub(crate) async fn switch(&self) -> (String, Socket) {
        let (head, mut socket) = self.accept().await;
        self.answer(&mut socket).await;
        (head, socket)
    }

    /// Answers 101 to the handshake of [`TestGate::handshake`].
    pub(crate) async fn answer(&self, socket: &mut Socket) {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                      upgrade: websocket\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        socket
            .stream
            .write_all(answer.as_bytes())
            .await
            .expect("written");
    }
}
