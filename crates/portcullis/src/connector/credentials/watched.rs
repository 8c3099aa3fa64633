//! A file that is read again, and looked at in between.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use portcullis_remote::connector::CredentialError;
use secrecy::SecretString;
use tokio::time::Instant;

use super::unreadable;

/// The file at a path. It need not be there.
///
/// It is looked at five times a second while somebody waits for a change. A change is one against
/// what was last read, so that none is missed between a reading and the wait after it.
pub(super) struct WatchedFile {
    path: PathBuf,
    looks: Mutex<Looks>,
}

struct Looks {
    /// What the file was when it was last read.
    read: Option<Trace>,
    /// Waits are given up and begun again all the time, and the file is looked at all the same.
    next: Instant,
}

/// What tells one version of a file from the next. None when there is no file.
type Trace = (SystemTime, u64, u64);

impl WatchedFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            looks: Mutex::new(Looks {
                read: None,
                next: Instant::now(),
            }),
        }
    }

    /// What stands in it; none when there is no such file.
    pub(super) async fn read(&self) -> Result<Option<SecretString>, CredentialError> {
        let path = self.path.clone();
        let work = move || (trace(&path), read(&path));
        let (trace, text) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| unreadable("it was not read to its end"))?;
        self.looks().read = trace;
        match text {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(format!("{}: {error}", self.path.display()))),
        }
    }

    /// Resolves when the file is another than the one that was last read. Cancel-safe.
    pub(super) async fn changed(&self) {
        loop {
            let next = self.looks().next;
            tokio::time::sleep_until(next).await;
            let path = self.path.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || trace(&path)).await else {
                continue;
            };
            let mut looks = self.looks();
            looks.next = Instant::now() + LOOK_EVERY;
            if looks.read != now {
                return;
            }
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trace(path: &Path) -> Option<Trace> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some((metadata.modified().ok()?, metadata.len(), inode))
}

fn read(path: &Path) -> io::Result<SecretString> {
    // A pipe would hold whoever opens it, and gives what it has only once.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file that can be read again"));
    }
    let mut text = String::new();
    File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    let text = SecretString::from(text);
    if secrecy::ExposeSecret::expose_secret(&text).len() as u64 > MOST {
        return Err(io::Error::other("it is too long"));
    }
    Ok(text)
}

/// More than any login has.
const MOST: u64 = 256 * 1024;

const LOOK_EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_file_that_appears_changes_or_goes_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let file = WatchedFile::new(path.clone());
        assert!(file.read().await.expect("no file").is_none());
        for text in [Some("one"), Some("two"), None, Some("three")] {
            match text {
                Some(text) => replace(&path, text),
                None => fs::remove_file(&path).expect("removed"),
            }
            let changed = tokio::time::timeout(DEADLINE, file.changed());
            changed.await.expect("it is seen");
            assert_eq!(file.read().await.expect("read").is_some(), text.is_some());
        }
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_again_and_again_still_sees_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let file = WatchedFile::new(path.clone());
        assert!(file.read().await.expect("no file").is_none());
        replace(&path, "one");
        let begun = Instant::now();
        let seen = async {
            while tokio::time::timeout(LOOK_EVERY / 4, file.changed())
                .await
                .is_err()
            {}
        };
        tokio::time::timeout(DEADLINE, seen).await.expect("seen");
        assert!(begun.elapsed() < DEADLINE);
    }

    #[tokio::test]
    async fn what_can_be_read_only_once_is_not_read_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = WatchedFile::new(folder.path().to_owned());
        let error = file.read().await.expect_err("a folder");
        assert!(error.to_string().contains("read again"), "{error}");
    }

    fn replace(path: &Path, text: &str) {
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, text).expect("written");
        fs::rename(fresh, path).expect("renamed");
    }
}
