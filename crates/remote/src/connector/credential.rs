//! Who the host is to the relay, and where that is read.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// What the host shows to the relay when it enrols and refreshes. Redacted in `Debug`, wiped when
/// dropped.
#[derive(Clone)]
pub struct Credential {
    bearer: SecretString,
    account: Option<Box<str>>,
}

impl Credential {
    /// A bearer token that names no account.
    #[must_use]
    pub fn bearer(token: impl Into<String>) -> Self {
        Self {
            bearer: SecretString::from(token.into()),
            account: None,
        }
    }

    /// The same of the account `id`.
    #[must_use]
    pub fn of_account(mut self, id: impl Into<Box<str>>) -> Self {
        let id = id.into();
        self.account = (!id.is_empty()).then_some(id);
        self
    }

    /// The account that it names.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The token.
    pub(crate) fn expose(&self) -> &str {
        self.bearer.expose_secret()
    }
}

/// Whether they are the same to the relay. Both are the host's own, so the comparison need not hide
/// how long it takes.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose() && self.account == other.account
    }
}

impl Eq for Credential {}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Why there is no credential. Each of them may be over at the next reading.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CredentialError {
    /// There is none.
    #[error("the relay asks for a credential, and there is none")]
    Missing,
    /// There is one, of a kind that relays do not take.
    #[error("{kind} is not supported by the relay; it asks for the credential of an account")]
    Unsupported {
        /// What it is, such as `an API key`.
        kind: Box<str>,
    },
    /// It cannot be read.
    #[error("the credential cannot be read: {reason}")]
    Unreadable {
        /// Why. It must not hold any of the secret.
        reason: Box<str>,
    },
}

/// What came of an effort to get a better credential.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Renewal {
    /// The next reading gives a new one.
    Renewed,
    /// There is nothing that this source can do by itself.
    Impossible,
    /// It tried, and failed.
    Failed {
        /// Why. It must not hold any of the secret.
        reason: Box<str>,
    },
}

/// Where the credential comes from: a file, a command, the environment, a ledger.
///
/// It is read again on every attempt, and about once a second while the connector waits for a
/// better one.
///
/// # What a wrong source does
///
/// One that gives a new credential at each reading has the relay asked about each of them, up to the
/// connector's bound. One whose [`changed`](Self::changed) never resolves makes the connector find a
/// change by its next reading only, up to a second later; one whose `changed` resolves without a
/// change is read again, ten times a second at most.
pub trait CredentialSource: Send + Sync + 'static {
    /// Reads the credential as it is now. It need not be cancel-safe; it is given ten seconds.
    fn read(&self) -> impl Future<Output = Result<Credential, CredentialError>> + Send;

    /// Resolves when what [`read`](Self::read) would give may have changed since the last reading
    /// began. Must be cancel-safe: it is dropped and called again all the time.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Tries to get a better credential than `refused`, which the relay did not take: asks a token
    /// endpoint, say. Called rarely, within the connector's bound, and given thirty seconds.
    fn renew(&self, refused: &Credential) -> impl Future<Output = Renewal> + Send {
        let _ = refused;
        async { Renewal::Impossible }
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`CredentialSource`], of any type.
pub(crate) trait DynCredentialSource: Send + Sync {
    fn read(&self) -> Boxed<'_, Result<Credential, CredentialError>>;
    fn changed(&self) -> Boxed<'_, ()>;
    fn renew<'a>(&'a self, refused: &'a Credential) -> Boxed<'a, Renewal>;
}

impl<S: CredentialSource> DynCredentialSource for S {
    fn read(&self) -> Boxed<'_, Result<Credential, CredentialError>> {
        Box::pin(CredentialSource::read(self))
    }

    fn changed(&self) -> Boxed<'_, ()> {
        Box::pin(CredentialSource::changed(self))
    }

    fn renew<'a>(&'a self, refused: &'a Credential) -> Boxed<'a, Renewal> {
        Box::pin(CredentialSource::renew(self, refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_token() {
        let credential = Credential::bearer("s3cr3t").of_account("acme");
        let text = format!("{credential:?}");
        assert!(!text.contains("s3cr3t") && text.contains("acme"), "{text}");
    }

    #[test]
    fn a_credential_is_another_when_its_token_or_its_account_is() {
        let one = Credential::bearer("a").of_account("x");
        assert_eq!(one, Credential::bearer("a").of_account("x"));
        assert_ne!(one, Credential::bearer("b").of_account("x"));
        assert_ne!(one, Credential::bearer("a").of_account("y"));
        assert_ne!(one, Credential::bearer("a"));
    }

    #[test]
    fn an_empty_account_is_none() {
        assert_eq!(Credential::bearer("a").of_account("").account(), None);
    }
}
