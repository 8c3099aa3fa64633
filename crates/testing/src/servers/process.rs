//! A server's process, and its folder.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

/// Debian's `nobody`: PostgreSQL does not run as root.
const NOBODY: u32 = 65534;

/// How often to look whether something has happened, and how many times.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 2000;

/// A folder that the server's user owns.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    if is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root gives folders away");
    }
    folder
}

/// Puts a file into the folder that only the server's user may read.
pub(super) fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, text).expect("the folder can be written to");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file has a mode");
    if is_root() {
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("root gives files away");
    }
}

/// Runs `program` as a user who is not root, with its output in `folder`.
pub(super) fn command(program: &Path, folder: &Path, log: &str) -> Command {
    let log = fs::File::create(folder.join(log)).expect("the folder can be written to");
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The program with this name in one of `folders`, or in those of `$PATH`.
#[expect(clippy::panic, reason = "a test that cannot run must not pass")]
pub(super) fn find(name: &str, folders: impl IntoIterator<Item = PathBuf>) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("there is no `{name}`; scripts/test-deps installs it"))
}

/// Waits until `is_so`, for twenty seconds.
#[expect(clippy::panic, reason = "a test that cannot run must not pass")]
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so() {
            return;
        }
        sleep(LOOK);
    }
    panic!("{what}: not within twenty seconds");
}

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    pub(super) fn start(command: &mut Command) -> Self {
        Self {
            child: command.spawn().expect("the server can be started"),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal, such as `QUIT`, and waits for its end.
    pub(super) fn end(&mut self, signal: &str) {
        if !self.is_running() {
            return;
        }
        let pid = self.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill works");
        wait_until("the end of a server", || !self.is_running());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
