//! A token that a program prints.

use std::time::Duration;

use portcullis_client::token::{TokenCommand, TokenSource};
use portcullis_remote::connector::{Credential, CredentialError, Renewal};
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{bearer, unreadable};

/// What a program prints. A connector that waits asks every second; the program runs every five
/// seconds at most, and at once when the relay has refused what it printed.
pub(super) struct PrintedToken {
    command: TokenCommand,
    last: Mutex<Option<Printed>>,
}

struct Printed {
    at: Instant,
    outcome: Result<Credential, CredentialError>,
}

impl PrintedToken {
    /// Of the program and the arguments in `words`.
    pub(super) fn new(words: &[String]) -> Self {
        let mut words = words.iter();
        let program = words.next().map(String::as_str).unwrap_or_default();
        let command = words.fold(TokenCommand::new(program), TokenCommand::argument);
        Self {
            command: command.timeout(LIMIT),
            last: Mutex::new(None),
        }
    }

    pub(super) async fn read(&self) -> Result<Credential, CredentialError> {
        let mut last = self.last.lock().await;
        if let Some(printed) = &*last
            && printed.at.elapsed() < AGAIN_AFTER
        {
            return printed.outcome.clone();
        }
        let outcome = self.run().await;
        *last = Some(Printed {
            at: Instant::now(),
            outcome: outcome.clone(),
        });
        outcome
    }

    /// Runs it anew, for a better credential than it printed last.
    pub(super) async fn renew(&self) -> Renewal {
        let before = self.last.lock().await.take();
        let before = before.and_then(|printed| printed.outcome.ok());
        match self.read().await {
            Ok(credential) if Some(&credential) != before.as_ref() => Renewal::Renewed,
            Ok(_) => Renewal::Impossible,
            Err(error) => Renewal::Failed {
                reason: error.to_string().into(),
            },
        }
    }

    async fn run(&self) -> Result<Credential, CredentialError> {
        match self.command.token().await {
            Ok(token) => bearer(Some(&SecretString::from(token.expose()))),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }
}

const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Before the connector gives it up, so that it is said why.
const LIMIT: Duration = Duration::from_secs(9);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_runs_once_for_all_who_ask_soon_and_anew_for_a_renewal() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("script");
        let text = "n=$(($(cat \"$0.n\" 2>/dev/null) + 1)); echo $n > \"$0.n\"; echo token-$n";
        std::fs::write(&script, text).expect("written");
        let words = ["sh".to_owned(), script.display().to_string()];
        let printed = PrintedToken::new(&words);
        let first = Credential::bearer("token-1");
        for _ in 0..3 {
            assert_eq!(printed.read().await, Ok(first.clone()));
        }
        assert_eq!(printed.renew().await, Renewal::Renewed);
        assert_eq!(printed.read().await, Ok(Credential::bearer("token-2")));
    }

    #[tokio::test]
    async fn a_program_that_prints_the_same_has_no_better_token() {
        let printed = PrintedToken::new(&["echo".to_owned(), "same".to_owned()]);
        printed.read().await.expect("a token");
        assert_eq!(printed.renew().await, Renewal::Impossible);
    }

    #[tokio::test]
    async fn a_program_that_fails_says_why_and_never_what_it_printed() {
        let text = "echo s3cr3t; echo 'log in first' >&2; exit 3";
        let words = ["sh", "-c", text].map(ToOwned::to_owned);
        let error = PrintedToken::new(&words).read().await.expect_err("failed");
        assert!(error.to_string().ends_with("log in first"), "{error}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
    }
}
