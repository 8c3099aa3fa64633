//! A PostgreSQL.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Process, command, find, folder, wait_until};

/// A PostgreSQL with a data folder of its own, reached through a Unix socket.
#[derive(Debug)]
pub struct PostgresServer {
    // Before the folder: it ends first.
    process: Process,
    folder: TempDir,
    databases: u32,
}

impl PostgresServer {
    /// Makes one and waits until it answers.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed or does not start within ten seconds.
    #[must_use]
    pub fn start() -> Self {
        let folder = folder();
        let made = command(&program("initdb"), folder.path(), "initdb.log")
            .args(["-D", "data", "-U", "postgres", "--auth=trust"])
            .args(["-E", "UTF8", "--no-locale", "--no-sync"])
            .status();
        assert!(made.is_ok_and(|status| status.success()), "initdb works");
        let process = spawn(folder.path());
        let server = Self {
            process,
            folder,
            databases: 0,
        };
        server.wait();
        server
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
            .arg("-h")
            .arg(self.folder.path())
            .args(["-U", "postgres", &name])
            .status();
        assert!(made.is_ok_and(|status| status.success()), "createdb works");
        let mut url = format!("postgres:///{name}?user=postgres&host=");
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
    /// When it does not start within ten seconds.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path());
        self.wait();
    }

    fn wait(&self) {
        wait_until("PostgreSQL answers", || {
            command(&program("pg_isready"), self.folder.path(), "isready.log")
                .args(["-q", "-U", "postgres", "-h"])
                .arg(self.folder.path())
                .status()
                .is_ok_and(|status| status.success())
        });
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Without a farewell its processes would go on for a moment, in a folder that is gone.
        self.process.end("QUIT");
    }
}

fn spawn(folder: &Path) -> Process {
    Process::start(
        command(&program("postgres"), folder, "postgres.log")
            .args([
                "-D",
                "data",
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-k",
            ])
            .arg(folder),
    )
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
