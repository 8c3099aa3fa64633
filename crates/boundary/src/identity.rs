//! Who it is.

mod record;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::revocation::SessionId;

/// The subject of every arrival in no-auth mode. They all share its limits.
pub const LOCAL_SUBJECT: &str = "local";

/// The subject of an arrival at a public route.
pub const PUBLIC_SUBJECT: &str = "public";

/// The subject of an arrival about which the upstream decides, so that nobody was asked here.
pub const UNASKED_SUBJECT: &str = "unasked";

/// Who an arrival is, as a verifier vouches for it.
///
/// Nothing in it is secret: it goes to logs, to the audit record and to the upstream. As JSON it goes
/// to a ledger and to other gates.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    subject: Box<str>,
    verifier: Option<Box<str>>,
    issuer: Option<Box<str>>,
    scopes: Scopes,
    credential_id: Option<Box<str>>,
    key_id: Option<Box<str>>,
    audience: Option<Box<str>>,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    claims: Option<Box<Map<String, Value>>>,
    session: Option<SessionId>,
}

impl Identity {
    /// An identity of which only the subject is known. It has no scopes and does not expire.
    #[must_use]
    pub fn new(subject: impl Into<Box<str>>) -> Self {
        Self {
            subject: subject.into(),
            verifier: None,
            issuer: None,
            scopes: Scopes::default(),
            credential_id: None,
            key_id: None,
            audience: None,
            issued_at: None,
            expires_at: None,
            ends_at: None,
            claims: None,
            session: None,
        }
    }

    /// The one synthetic identity of no-auth mode.
    #[must_use]
    pub fn local() -> Self {
        Self::new(LOCAL_SUBJECT)
    }

    /// Names the verifier that vouches for it.
    #[must_use]
    pub fn verified_by(mut self, verifier: impl Into<Box<str>>) -> Self {
        self.verifier = Some(verifier.into());
        self
    }

    /// Sets the issuer.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<Box<str>>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the scopes.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the id of the credential, such as a JWT's `jti` or the name of a token.
    #[must_use]
    pub fn with_credential_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.credential_id = Some(id.into());
        self
    }

    /// Sets the id of the key or secret with which the credential was verified.
    #[must_use]
    pub fn with_key_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.key_id = Some(id.into());
        self
    }

    /// Sets the audience that the verifier asked for, and that the credential named.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets when the credential was issued.
    #[must_use]
    pub const fn issued_at(mut self, at: Timestamp) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// Sets when the credential expires, and until when the verifier's clock skew still admits it.
    /// A session ends at `ends_at`.
    #[must_use]
    pub const fn expires_at(mut self, at: Timestamp, ends_at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self.ends_at = Some(ends_at);
        self
    }

    /// Keeps the credential's claims, for rules that require some of them.
    #[must_use]
    pub fn with_claims(mut self, claims: Map<String, Value>) -> Self {
        self.claims = Some(Box::new(claims));
        self
    }

    /// Names the session that will rest on it, when its name was given away before.
    #[must_use]
    pub const fn for_session(mut self, id: SessionId) -> Self {
        self.session = Some(id);
        self
    }

    pub(crate) const fn without_session(mut self) -> Self {
        self.session = None;
        self
    }

    /// The name that a session which rests on it must have, if it must have one.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Who it is, unique per issuer.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The name of the verifier that vouches for it; none in no-auth mode and on public routes.
    #[must_use]
    pub fn verifier(&self) -> Option<&str> {
        self.verifier.as_deref()
    }

    /// Who issued the credential.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// What it may do.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The id of the credential.
    #[must_use]
    pub fn credential_id(&self) -> Option<&str> {
        self.credential_id.as_deref()
    }

    /// The id of the key or secret that verified the credential.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The audience that the verifier asked for.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// When the credential was issued.
    #[must_use]
    pub const fn issue_time(&self) -> Option<Timestamp> {
        self.issued_at
    }

    /// When the credential expires, by its own word.
    #[must_use]
    pub const fn expiry(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// When a session that rests on it must end: its expiry plus the verifier's clock skew.
    #[must_use]
    pub const fn end(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// Whether both are the same subject of the same issuer. Without an issuer, and an empty one is
    /// none, two verifiers may mean two people by one name: then the verifier counts.
    #[must_use]
    pub fn is_same_person_as(&self, other: &Self) -> bool {
        let issuers = [self, other].map(|one| one.issuer.as_deref().unwrap_or_default());
        let [issuer, others] = issuers;
        self.subject == other.subject
            && issuer == others
            && (!issuer.is_empty() || self.verifier == other.verifier)
    }

    /// The value of a claim, when the verifier kept claims.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.as_ref()?.get(name)
    }

    /// This identity with those of its claims that `is_needed`, for those who keep it as long as a
    /// session lives.
    #[must_use]
    pub fn with_needed_claims(mut self, is_needed: impl Fn(&str) -> bool) -> Self {
        if let Some(claims) = &mut self.claims {
            claims.retain(|name, _| is_needed(name));
        }
        self.claims = self.claims.filter(|claims| !claims.is_empty());
        self
    }
}

/// A set of scopes, as in OAuth's `scope` (RFC 6749, 3.3): case-sensitive, without order.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Scopes(BTreeSet<Box<str>>);

impl Scopes {
    /// Reads a space-delimited list. Empty parts are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        text.split_ascii_whitespace().collect()
    }

    /// Whether each of `required` is in this set.
    #[must_use]
    pub fn include(&self, required: &Self) -> bool {
        required.0.is_subset(&self.0)
    }

    /// The first of `required`, in alphabetical order, that is not in this set.
    #[must_use]
    pub fn first_missing<'a>(&'a self, required: &'a Self) -> Option<&'a str> {
        required.0.difference(&self.0).next().map(|scope| &**scope)
    }

    /// Those of this set that are in `limit` too: no credential gives more than its owner has.
    #[must_use]
    pub fn clamped_to(&self, limit: &Self) -> Self {
        Self(self.0.intersection(&limit.0).cloned().collect())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }
}

/// The space-delimited list.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_a_set_that_reads_and_writes_oauth_lists() {
        let scopes = Scopes::parse(" write  read read ");
        assert_eq!(scopes.to_string(), "read write");
        assert!(scopes.include(&Scopes::parse("read")));
        assert!(scopes.include(&Scopes::default()));
        assert!(!scopes.include(&Scopes::parse("Read")));
        assert_eq!(
            scopes.first_missing(&Scopes::parse("read admin")),
            Some("admin")
        );
        let clamped = scopes.clamped_to(&Scopes::parse("admin read"));
        assert_eq!(clamped, Scopes::parse("read"));
        assert!(scopes.clamped_to(&Scopes::default()).is_empty());
    }
}
