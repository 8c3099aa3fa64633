//! Logins of people in browsers: those that have begun, and those that lead to a cookie.

use std::fmt;

use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::secret::SecretHash;
use crate::tickets::TooMany;
use crate::{Answer, LedgerError, text};

/// Somebody who has logged in, without the cookie.
#[derive(Clone, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct Login {
    /// The digest of the cookie.
    pub hash: SecretHash,
    /// Its public name, unique: the credential id of the identities that rest on it.
    pub id: Box<str>,
    /// Who it is.
    pub subject: Box<str>,
    /// Who says so.
    pub issuer: Box<str>,
    /// The issuer's name for the login (`sid`), by which it can log it out.
    pub sid: Option<Box<str>>,
    /// The identity, in the maker's own form, at most 8 KiB.
    pub identity: Box<str>,
    /// The ID token, as a hint for logging out at the issuer, at most 8 KiB. Kept in clear, since
    /// it must be shown.
    pub id_token: Option<Box<str>>,
    /// When they logged in.
    pub created_at: Timestamp,
    /// From when on it does not count.
    pub expires_at: Timestamp,
}

impl Login {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::name("a login's id", &self.id)?;
        text::name("a login's subject", &self.subject)?;
        text::name("a login's issuer", &self.issuer)?;
        text::optional("a login's sid", self.sid.as_deref())?;
        text::at_most("a login's identity", &self.identity, text::MAX_DOCUMENT)?;
        let id_token = self.id_token.as_deref().unwrap_or_default();
        text::at_most("an ID token", id_token, text::MAX_DOCUMENT)
    }
}

/// Without the ID token.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("id", &self.id)
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A login that has begun: somebody was sent to the issuer and has not come back.
#[derive(Clone, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct LoginState {
    /// The digest of `state`.
    pub hash: SecretHash,
    /// The nonce that the ID token must have.
    pub nonce: Box<str>,
    /// The PKCE verifier. Kept in clear, since it must be shown to the issuer.
    pub verifier: Box<str>,
    /// Where they wanted to go, at most 4 KiB.
    pub return_path: Box<str>,
    /// When it began.
    pub created_at: Timestamp,
    /// From when on it does not count.
    pub expires_at: Timestamp,
}

impl LoginState {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::optional("a nonce", Some(&self.nonce))?;
        text::optional("a PKCE verifier", Some(&self.verifier))?;
        text::at_most("a return path", &self.return_path, text::MAX_NOTE)
    }
}

/// Without the nonce and the verifier.
impl fmt::Debug for LoginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginState")
            .field("return_path", &self.return_path)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Whose logins end.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is a query of its own")]
pub enum LogoutOf {
    /// The one that the issuer calls so.
    Sid {
        /// Who calls it so.
        issuer: Box<str>,
        /// Its name there.
        sid: Box<str>,
    },
    /// All of a subject.
    Subject {
        /// Who vouches for the subject.
        issuer: Box<str>,
        /// Who it is.
        subject: Box<str>,
    },
}

/// The logins of a ledger.
pub trait Logins {
    /// Remembers that a login has begun, unless `most` have. Strangers cause these: keep `most` and
    /// their life small.
    fn begin_login(
        &self,
        state: LoginState,
        most: u32,
        now: Timestamp,
    ) -> Answer<Result<(), TooMany>>;

    /// Takes the begun login away and answers with it, if it is live. One asker gets it.
    fn take_login_state(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<LoginState>>;

    /// Keeps a login.
    fn create_login(&self, login: Login) -> Answer<()>;

    /// The login of this cookie, if it is live.
    fn find_login(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<Login>>;

    /// Lets a login live until `expires_at`; the answer is whether there is a live one.
    fn extend_login(&self, hash: SecretHash, expires_at: Timestamp, now: Timestamp)
    -> Answer<bool>;

    /// Removes the login of this cookie and answers with it.
    fn end_login(&self, hash: SecretHash) -> Answer<Option<Login>>;

    /// Removes up to 1000 logins and answers with them; call it until it answers with none. Live
    /// sessions are not ended by this alone: revoke the credentials named by [`Login::id`].
    fn end_logins(&self, of: LogoutOf) -> Answer<Vec<Login>>;

    /// Live logins by id; only of `subject`, when given.
    fn list_logins(
        &self,
        subject: Option<&str>,
        page: Page,
        now: Timestamp,
    ) -> Answer<Listed<Login>>;
}
