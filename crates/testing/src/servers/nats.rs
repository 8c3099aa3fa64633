//! A NATS server.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use tempfile::TempDir;

use super::process::{Process, command, find, folder, put, wait_until};

/// A NATS server on a free port of the loopback interface, which it keeps when it is restarted.
#[derive(Debug)]
pub struct NatsServer {
    // Before the folder: it ends first.
    process: Process,
    folder: TempDir,
    arguments: Vec<String>,
    port: u16,
}

impl NatsServer {
    /// Starts one and waits until it listens.
    ///
    /// # Panics
    ///
    /// When `nats-server` is not installed or does not listen in time.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments, such as `--user` and `--pass`.
    ///
    /// # Panics
    ///
    /// When `nats-server` is not installed or does not listen in time.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(folder(), arguments)
    }

    /// One that asks for TLS, with this certificate and key in PEM.
    ///
    /// # Panics
    ///
    /// When `nats-server` is not installed or does not listen in time.
    #[must_use]
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        let folder = folder();
        put(folder.path(), "server.crt", certificate);
        put(folder.path(), "server.key", key);
        let files = ["--tlscert", "server.crt", "--tlskey", "server.key"];
        Self::start_in(folder, &[&["--tls"][..], &files].concat())
    }

    fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
        let mut process = spawn(folder.path(), -1, &arguments);
        let mut port = 0;
        wait_until("the ports of a NATS server", || {
            assert!(process.is_running(), "the NATS server starts");
            port = port_in(folder.path()).unwrap_or_default();
            port != 0
        });
        Self {
            process,
            folder,
            arguments,
            port,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a power cut would.
    ///
    /// # Panics
    ///
    /// When it does not die.
    pub fn kill(&mut self) {
        self.process.end("KILL");
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    ///
    /// When it does not listen in time.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), i32::from(self.port), &self.arguments);
        wait_until("a NATS server", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }
}

fn spawn(folder: &Path, port: i32, arguments: &[String]) -> Process {
    let program = find("nats-server", ["/usr/sbin".into(), "/usr/local/bin".into()]);
    Process::start(
        command(&program, folder, "nats.log")
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .arg("--ports_file_dir")
            .arg(folder)
            .args(arguments),
    )
}

/// The port in the file that the server writes when it listens: `{"nats":["nats://127.0.0.1:N"]}`,
/// or `tls:` instead of the second `nats:`.
fn port_in(folder: &Path) -> Option<u16> {
    let mut files = fs::read_dir(folder).ok()?.flatten();
    let file = files.find(|file| file.path().extension().is_some_and(|end| end == "ports"))?;
    let text = fs::read_to_string(file.path()).ok()?;
    let (_, rest) = text.split_once("://127.0.0.1:")?;
    let end = rest.find(|digit: char| !digit.is_ascii_digit())?;
    rest.get(..end)?.parse().ok()
}
