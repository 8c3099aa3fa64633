//! A verifier whose answers stand in a table.

use std::collections::HashMap;
use std::future;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};

/// A verifier that knows some tokens by heart.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    name: Box<str>,
    answers: HashMap<Box<str>, Answer>,
    shape: Option<Box<str>>,
    is_polled: bool,
}

#[derive(Clone, Debug)]
enum Answer {
    At(Box<Result<Identity, Rejection>>),
    Never,
}

impl TokenVerifier {
    /// A verifier that knows no token. It stands in logs as `tokens`.
    #[must_use]
    pub fn new() -> Self {
        Self::named("tokens")
    }

    /// A verifier that stands in logs as `name`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            answers: HashMap::new(),
            shape: None,
            is_polled: false,
        }
    }

    /// One that knows a token for each answer that a verifier can give: `good` is the subject
    /// `ada`; `expired`, `not-yet-valid`, `key-unknown`, `revoked-token`, `disabled-account` and
    /// `unavailable` are what they say; every other is invalid.
    #[must_use]
    pub fn of_each_kind() -> Self {
        let unavailable = Rejection::Unavailable {
            retry_after: Duration::from_secs(7),
        };
        Self::new()
            .knows("good", Ok(Identity::new("ada")))
            .knows("expired", Err(Rejection::Expired))
            .knows("not-yet-valid", Err(Rejection::NotYetValid))
            .knows("key-unknown", Err(Rejection::KeyUnknown))
            .knows("revoked-token", Err(Rejection::Revoked))
            .knows("disabled-account", Err(Rejection::AccountDisabled))
            .knows("unavailable", Err(unavailable))
    }

    /// Answers `answer` to `token`.
    #[must_use]
    pub fn knows(mut self, token: &str, answer: Result<Identity, Rejection>) -> Self {
        self.answers
            .insert(token.into(), Answer::At(Box::new(answer)));
        self
    }

    /// Knows `token` as the credential of `subject`, who has no scopes.
    #[must_use]
    pub fn admits(self, token: &str, subject: &str) -> Self {
        self.knows(token, Ok(Identity::new(subject)))
    }

    /// Never answers to `token`, as one whose key server is silent.
    #[must_use]
    pub fn is_silent_on(mut self, token: &str) -> Self {
        self.answers.insert(token.into(), Answer::Never);
        self
    }

    /// Can only be asked: its answers may come to be others.
    #[must_use]
    pub const fn polled(mut self) -> Self {
        self.is_polled = true;
        self
    }

    /// Recognises only tokens that begin with `prefix`.
    #[must_use]
    pub fn reads_only(mut self, prefix: &str) -> Self {
        self.shape = Some(prefix.into());
        self
    }
}

impl Verifier for TokenVerifier {
    fn name(&self) -> &str {
        &self.name
    }

    fn recognises(&self, credential: &Credential) -> bool {
        self.shape
            .as_deref()
            .is_none_or(|prefix| credential.expose().starts_with(prefix))
    }

    fn is_polled(&self) -> bool {
        self.is_polled
    }

    /// `now` counts where the identity expires.
    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        match self.answers.get(credential.expose()) {
            Some(Answer::At(answer)) => match &**answer {
                Ok(identity) if identity.end().is_some_and(|end| end < now) => {
                    Err(Rejection::Expired)
                }
                answer => answer.clone(),
            },
            Some(Answer::Never) => future::pending().await,
            None => Err(Rejection::Invalid(InvalidReason::UnknownToken)),
        }
    }
}
