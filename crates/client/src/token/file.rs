//! A token in a file, or in the environment.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::error::TokenError;
use super::source::TokenSource;
use super::token::Token;

/// The token in a file, which is read again at every attempt. White space around it does not count.
///
/// While a client waits, the file is looked at twice a second; when it is another than before, the
/// client wakes. Replace the file by renaming a new one onto it: of one that is written in place, half
/// may be read.
pub struct TokenFile {
    path: PathBuf,
    /// Whoever has the lock looks; the others hear of it here.
    looking: tokio::sync::Mutex<()>,
    seen: watch::Sender<Option<Trace>>,
}

/// What tells one version of a file from the next. None when there is no file.
type Trace = (SystemTime, u64, u64);

impl TokenFile {
    /// The token in the file at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            looking: tokio::sync::Mutex::new(()),
            seen: watch::Sender::new(None),
        }
    }

    async fn read(&self) -> Result<Token, TokenError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let trace = trace(&path);
            (trace, read(&path))
        });
        let (trace, text) = read
            .await
            .map_err(|_| TokenError::unavailable("the token file was not read to its end"))?;
        self.sees(trace);
        let shown = self.path.display();
        let text = text.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                TokenError::login_needed(format!("there is no token file {shown}; write one"))
            }
            _ => TokenError::unavailable(format!("cannot read the token file {shown}: {error}")),
        })?;
        let token = text.expose_secret().trim();
        if token.is_empty() {
            let text = format!("the token file {shown} is empty; write a token into it");
            return Err(TokenError::login_needed(text));
        }
        Ok(Token::new(token.into()))
    }

    /// Looks until the file is another than the one that was last seen.
    async fn look(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let path = self.path.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || trace(&path)).await else {
                continue;
            };
            if self.sees(now) {
                return;
            }
        }
    }

    /// Tells those who wait when the file is another than the one that was last seen, by whoever saw
    /// it.
    fn sees(&self, now: Option<Trace>) -> bool {
        self.seen.send_if_modified(|seen| {
            let is_new = *seen != now;
            *seen = now;
            is_new
        })
    }
}

impl TokenSource for TokenFile {
    async fn token(&self) -> Result<Token, TokenError> {
        self.read().await
    }

    async fn refresh(&self, _: &Token) -> Result<Token, TokenError> {
        // If it is the same, whoever asked says so.
        self.read().await
    }

    async fn changed(&self) {
        let mut seen = self.seen.subscribe();
        tokio::select! {
            heard = seen.changed() => heard.unwrap_or_default(),
            _turn = async { let turn = self.looking.lock().await; self.look().await; turn } => {}
        }
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn trace(path: &Path) -> Option<Trace> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some((metadata.modified().ok()?, metadata.len(), inode))
}

fn read(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(LONGEST_TOKEN + 1);
    file.read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_TOKEN {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is too long for a token",
        ));
    }
    Ok(text.into())
}

/// The token in a variable of the environment, as it is at each attempt.
#[derive(Clone, Debug)]
pub struct TokenVariable {
    name: OsString,
}

impl TokenVariable {
    /// The token in the variable `name`.
    #[must_use]
    pub fn new(name: impl Into<OsString>) -> Self {
        Self { name: name.into() }
    }

    fn read(&self) -> Result<Token, TokenError> {
        let name = self.name.display();
        let text = std::env::var_os(&self.name).unwrap_or_default();
        let text = text.into_string().map_err(|_| {
            TokenError::login_needed(format!(
                "the variable {name} is not text; put a token into it"
            ))
        })?;
        match text.trim() {
            "" => {
                let text = format!("the variable {name} has no token; set it");
                Err(TokenError::login_needed(text))
            }
            token => Ok(Token::new(token.into())),
        }
    }
}

impl TokenSource for TokenVariable {
    async fn token(&self) -> Result<Token, TokenError> {
        self.read()
    }

    async fn refresh(&self, stale: &Token) -> Result<Token, TokenError> {
        let now = self.read()?;
        if now.is_same(stale) {
            let text = format!(
                "the token in the variable {} is stale; start again with a fresh one",
                self.name.display()
            );
            return Err(TokenError::login_needed(text));
        }
        Ok(now)
    }
}

/// More than any header could carry.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// How often a file is looked at while somebody waits for it to change.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{TokenErrorKind, Tokens};

    #[tokio::test]
    async fn a_file_is_read_again_each_time_and_trimmed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let tokens = Tokens::new(TokenFile::new(&path));
        let error = tokens.current().await.expect_err("no file");
        assert_eq!(error.kind(), TokenErrorKind::LoginNeeded);
        assert!(error.to_string().contains("write one"), "{error}");
        std::fs::write(&path, "  \n").expect("written");
        let error = tokens.current().await.expect_err("an empty file");
        assert_eq!(error.kind(), TokenErrorKind::LoginNeeded);
        for text in ["one", "two"] {
            std::fs::write(&path, format!(" {text}\n")).expect("written");
            let issued = tokens.current().await.expect("a token");
            assert_eq!(issued.token().expose(), text);
        }
        std::fs::write(&path, "x".repeat(70_000)).expect("written");
        let error = tokens.current().await.expect_err("too long");
        assert_eq!(error.kind(), TokenErrorKind::Unavailable);
        assert!(!error.to_string().contains("xxx"));
    }

    #[tokio::test]
    async fn all_who_wait_wake_when_the_file_changes_or_appears() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let tokens = Tokens::new(TokenFile::new(&path));
        assert!(tokens.current().await.is_err());
        let deadline = Duration::from_secs(5);
        for text in ["one", "two", "three"] {
            let all = futures_util::future::join_all((0..50).map(|_| tokens.changed()));
            let write = async {
                // The first of them looks already.
                tokio::task::yield_now().await;
                let fresh = folder.path().join("fresh");
                std::fs::write(&fresh, text).expect("written");
                std::fs::rename(fresh, &path).expect("renamed");
            };
            let both = async { tokio::join!(all, write) };
            tokio::time::timeout(deadline, both)
                .await
                .expect("they wake");
            let issued = tokens.current().await.expect("a token");
            assert_eq!(issued.token().expose(), text);
        }
    }

    #[tokio::test]
    async fn a_change_between_the_reading_and_the_wait_is_not_missed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        std::fs::write(&path, "one").expect("written");
        let tokens = Tokens::new(TokenFile::new(&path));
        tokens.current().await.expect("a token");
        std::fs::write(&path, "another").expect("written");
        tokio::time::timeout(Duration::from_secs(5), tokens.changed())
            .await
            .expect("it wakes");
    }

    #[tokio::test]
    async fn the_environment_is_read_and_its_absence_names_the_mend() {
        let there = Tokens::new(TokenVariable::new("PATH"));
        let issued = there.current().await.expect("a token");
        let error = there.fresher(&issued).await.expect_err("the same");
        assert_eq!(error.kind(), TokenErrorKind::LoginNeeded);
        let absent = Tokens::new(TokenVariable::new("PORTCULLIS_NO_SUCH_VARIABLE"));
        let error = absent.current().await.expect_err("no token");
        assert!(
            error.to_string().ends_with("has no token; set it"),
            "{error}"
        );
    }
}
