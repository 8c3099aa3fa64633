//! A token that a program prints.

use std::ffi::OsString;
use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::error::TokenError;
use super::source::TokenSource;
use super::token::Token;
use crate::refused::one_line;

/// The first line that a program prints on its standard output. It runs at every attempt, once for
/// all clients that ask at one time, and never in a shell: what looks like a variable or a pipe is an
/// argument like any other.
///
/// The program has [`TokenCommand::DEFAULT_TIMEOUT`], its output a size; it is killed beyond either. When it
/// fails, the first line of its standard error is part of the text, for it is where programs say what
/// to do.
pub struct TokenCommand {
    program: OsString,
    arguments: Vec<OsString>,
    timeout: Duration,
}

impl TokenCommand {
    /// How long a program may take, unless told otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Runs `program`, which is found on the path where it is no path itself.
    #[must_use]
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            timeout: Self::DEFAULT_TIMEOUT,
        }
    }

    /// With one more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// It may take this long.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn run(&self) -> Result<Token, TokenError> {
        let limit = self.timeout;
        tokio::time::timeout(limit, self.output())
            .await
            .map_err(|_| self.failed(&format!("did not end within {limit:?}")))?
    }

    async fn output(&self) -> Result<Token, TokenError> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.failed(&format!("cannot be run: {error}")))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err) = tokio::join!(read(out, LONGEST_OUTPUT), read(err, LONGEST_COMPLAINT));
        let out: SecretString = match out {
            Ok(text) => text.into(),
            Err(why) => return Err(self.failed(why)),
        };
        let status = child
            .wait()
            .await
            .map_err(|error| self.failed(&format!("cannot be waited for: {error}")))?;
        if !status.success() {
            let said = err.unwrap_or_default();
            let said = said.lines().next().and_then(one_line);
            let said = said.map(|line| format!(": {line}")).unwrap_or_default();
            return Err(self.failed(&format!("ended with {status}{said}")));
        }
        match out.expose_secret().lines().next().map(str::trim) {
            None | Some("") => Err(self.failed("printed no token")),
            Some(token) => Ok(Token::new(token.into())),
        }
    }

    fn failed(&self, why: &str) -> TokenError {
        let program = self.program.display();
        TokenError::unavailable(format!("the token command `{program}` {why}"))
    }
}

impl TokenSource for TokenCommand {
    async fn token(&self) -> Result<Token, TokenError> {
        self.run().await
    }

    async fn refresh(&self, _: &Token) -> Result<Token, TokenError> {
        self.run().await
    }
}

/// Without the arguments, in which some have a secret.
impl fmt::Debug for TokenCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCommand")
            .field("program", &self.program)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>, most: u64) -> Result<String, &'static str> {
    let mut text = String::new();
    if let Some(stream) = stream {
        let mut bounded = stream.take(most + 1);
        let read = bounded.read_to_string(&mut text).await;
        read.map_err(|_| "printed what is no text")?;
    }
    if text.len() as u64 > most {
        return Err("printed too much for a token");
    }
    Ok(text)
}

const LONGEST_OUTPUT: u64 = 64 * 1024;

const LONGEST_COMPLAINT: u64 = 64 * 1024;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// `sh` is a program that prints what it is told to; a token command is not run by one.
    fn script(text: &str) -> TokenCommand {
        TokenCommand::new("sh").argument("-c").argument(text)
    }

    async fn said(command: TokenCommand) -> String {
        match command.run().await {
            Ok(token) => format!("token {}", token.expose()),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn the_first_line_that_is_printed_is_the_token() {
        assert_eq!(said(script("echo ' tok '; echo more")).await, "token tok");
        let shell = TokenCommand::new("echo").argument("$HOME | cat");
        assert_eq!(said(shell).await, "token $HOME | cat");
    }

    #[tokio::test]
    async fn what_fails_says_why_and_never_what_it_printed() {
        for (text, expected) in [
            ("exit 0", "printed no token"),
            (
                "echo s3cr3t; echo 'log in first' >&2; exit 3",
                "exit status: 3: log in first",
            ),
            (
                "head -c 70000 /dev/zero | tr '\\0' s",
                "printed too much for a token",
            ),
            ("printf '\\377'", "printed what is no text"),
        ] {
            let said = said(script(text)).await;
            assert!(said.ends_with(expected), "{said}");
            assert!(!said.contains("s3cr3t"), "{said}");
        }
        let absent = said(TokenCommand::new("/no/such/program")).await;
        assert!(absent.contains("cannot be run"), "{absent}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        let text = format!("echo $$ > {}; exec sleep 600", path.display());
        let slow = script(&text).timeout(Duration::from_millis(500));
        assert!(said(slow).await.ends_with("did not end within 500ms"));
        let pid = std::fs::read_to_string(&path).expect("it has run");
        let gone = async {
            while is_alive(pid.trim()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone)
            .await
            .expect("it is killed");
    }

    fn is_alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn debug_shows_no_arguments() {
        let shown = format!("{:?}", script("--password=s3cr3t"));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
