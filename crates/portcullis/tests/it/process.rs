//! How the running program ends: by which signal, how soon, with which exit code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_gate_that_is_told_to_end_tells_its_sessions_and_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut gate = Gate::start(&[]);
        let mut client = gate.open_session();
        gate.signal(signal);
        assert_eq!(client.close_code(), 1012);
        client.answer_close();
        assert_eq!(gate.exit_code(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_drain_that_runs_out_of_time_exits_with_3() {
    let mut gate = Gate::start(&["--drain-timeout", "100ms"]);
    let mut client = gate.open_session();
    gate.signal(Signal::TERM);
    // It hears, and has a second to answer: longer than the drain may take.
    assert_eq!(client.close_code(), 1012);
    assert_eq!(gate.exit_code(), Some(3));
}

#[test]
fn a_second_signal_cuts_the_drain_short_and_exits_with_3() {
    let mut gate = Gate::start(&[]);
    let mut client = gate.open_session();
    gate.signal(Signal::TERM);
    assert_eq!(client.close_code(), 1012);
    gate.signal(Signal::TERM);
    assert_eq!(gate.exit_code(), Some(3));
}

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The running program. Dropping it kills it.
struct Gate {
    child: Child,
    address: SocketAddr,
}

impl Gate {
    /// Starts it before an echo, and waits until it says where it listens.
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--listen", "ws://127.0.0.1:0"])
            .args(["--upstream", "builtin:echo"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a program");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("text"), 0, "no banner");
            if let Some((_, address)) = line.trim().split_once("listening on: ws://") {
                break address.parse().expect("an address");
            }
        };
        // What it says later goes nowhere, and must not stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, address }
    }

    fn open_session(&self) -> Client {
        let mut stream = TcpStream::connect_timeout(&self.address, DEADLINE).expect("connected");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        let request = format!(
            "GET / HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
        Client { stream }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}

struct Client {
    stream: TcpStream,
}

impl Client {
    /// The code of the close frame that comes next.
    fn close_code(&mut self) -> u16 {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).expect("a frame");
        let [opcode, length, code @ ..] = head;
        assert_eq!(opcode, 0x88);
        let mut reason = vec![0; usize::from(length) - 2];
        self.stream.read_exact(&mut reason).expect("a reason");
        u16::from_be_bytes(code)
    }

    fn answer_close(&mut self) {
        let masked = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4];
        self.stream.write_all(&masked).expect("written");
    }
}
