//! A PostgreSQL.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Process, command, find, folder, put, wait_until};

/// A PostgreSQL with a data folder of its own, reached through a Unix socket.
#[derive(Debug)]
pub struct PostgresServer {
    // Before the folder: it ends first.
    process: Process,
    folder: TempDir,
    databases: u32,
    /// Where it listens with TLS.
    port: Option<u16>,
}

impl PostgresServer {
    /// Makes one and waits until it answers.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed or does not start in time.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(made_folder(), None)
    }

    /// One that listens on the loopback interface as well, and there takes TLS alone, with this
    /// certificate and key in PEM.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed or does not start in time.
    #[must_use]
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        let folder = made_folder();
        put(folder.path(), "data/server.crt", certificate);
        put(folder.path(), "data/server.key", key);
        let access = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
        put(folder.path(), "data/pg_hba.conf", access);
        // It cannot choose a port by itself.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.expect("there is a free port").port();
        Self::start_in(folder, Some(port))
    }

    fn start_in(folder: TempDir, port: Option<u16>) -> Self {
        let server = Self {
            process: spawn(folder.path(), port),
            folder,
            databases: 0,
            port,
        };
        server.wait();
        server
    }

    /// Where it listens with TLS, if it does.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub fn new_database(&mut self) -> String {
        self.databases += 1;
        let name = format!("test_{}", self.databases);
        let made = command(&program("createdb"), self.folder.path(), "createdb.log")
            .args(self.place())
            .args(["-U", "postgres", &name])
            .status();
        assert!(made.is_ok_and(|status| status.success()), "createdb works");
        let port = self.port.unwrap_or(5432);
        let mut url = format!("postgres:///{name}?user=postgres&port={port}&host=");
        for byte in self.folder.path().as_os_str().as_encoded_bytes() {
            // A String takes all.
            let _: std::fmt::Result = write!(url, "%{byte:02X}");
        }
        url
    }

    /// Kills it, as a power cut would.
    ///
    /// # Panics
    ///
    /// When it does not die.
    pub fn kill(&mut self) {
        self.process.end("QUIT");
    }

    /// Starts it again with the data that it had.
    ///
    /// # Panics
    ///
    /// When it does not start in time.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), self.port);
        self.wait();
    }

    /// What its tools need to find it.
    fn place(&self) -> [OsString; 4] {
        let port = self.port.unwrap_or(5432).to_string();
        let folder = self.folder.path().into();
        ["-h".into(), folder, "-p".into(), port.into()]
    }

    /// It writes into its lock file when it is ready: its process on the first line, its state on
    /// the eighth.
    fn wait(&self) {
        let file = self.folder.path().join("data/postmaster.pid");
        let process = self.process.id().to_string();
        wait_until("PostgreSQL is ready", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            lines.next() == Some(&process) && lines.nth(6) == Some("ready")
        });
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Without a farewell its processes would go on for a moment, in a folder that is gone.
        self.process.end("QUIT");
    }
}

/// A folder with an empty cluster in `data`.
fn made_folder() -> TempDir {
    let folder = folder();
    let made = command(&program("initdb"), folder.path(), "initdb.log")
        .args(["-D", "data", "-U", "postgres", "--auth=trust"])
        .args(["-E", "UTF8", "--no-locale", "--no-sync"])
        .status();
    assert!(made.is_ok_and(|status| status.success()), "initdb works");
    folder
}

fn spawn(folder: &Path, port: Option<u16>) -> Process {
    let mut command = command(&program("postgres"), folder, "postgres.log");
    command
        .args(["-D", "data", "-c", "fsync=off", "-k"])
        .arg(folder);
    match port {
        None => command.args(["-c", "listen_addresses="]),
        Some(port) => command
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-p"])
            .arg(port.to_string()),
    };
    Process::start(&mut command)
}

/// A program of the newest version that Debian has installed.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<_> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    folders.sort();
    find(name, folders.into_iter().rev())
}
