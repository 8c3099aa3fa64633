//! What was taken back: credentials, keys, issuers, subjects and sessions that no longer count.
//!
//! Rule 6 asks a [`RevocationSet`] about an arrival's identity; live sessions are asked about each
//! [`Revocation`] when it becomes known. Both go through [`Revocation::covers`], so that nobody can
//! be cut and yet come back, or be kept out and yet stay.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::refusal::RefusalKind;

/// The name of one session, unique over all gates: 128 random bits, written as 32 hexadecimal
/// digits. It is no secret, but it cannot be guessed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The id with these bits, which must come from a good source of randomness.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bits.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for SessionId {
    type Err = BadSessionId;

    fn from_str(text: &str) -> Result<Self, BadSessionId> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.len() != 32 || !is_hex {
            return Err(BadSessionId);
        }
        let bits = u128::from_str_radix(text, 16).map_err(|_| BadSessionId)?;
        Ok(Self(bits.to_be_bytes()))
    }
}

/// A text that is no session's id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a session's id is 32 hexadecimal digits")]
#[non_exhaustive]
pub struct BadSessionId;

/// Whom a revocation covers.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "each must be matched and stored")]
pub enum Target {
    /// Every credential of this subject.
    Subject(Box<str>),
    /// The credential with this id, such as a JWT's `jti` or an API key's id.
    Credential(Box<str>),
    /// Every credential that this key or secret verified.
    Key(Box<str>),
    /// Every credential of this issuer.
    Issuer(Box<str>),
    /// One live session.
    Session(SessionId),
    /// Every credential.
    Everything,
}

impl Target {
    /// The word for its kind, in the ledger and in the admin API.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Subject(_) => "subject",
            Self::Credential(_) => "credential",
            Self::Key(_) => "key",
            Self::Issuer(_) => "issuer",
            Self::Session(_) => "session",
            Self::Everything => "everything",
        }
    }

    /// What it names; empty for everything.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Subject(value)
            | Self::Credential(value)
            | Self::Key(value)
            | Self::Issuer(value) => value.to_string(),
            Self::Session(id) => id.to_string(),
            Self::Everything => String::new(),
        }
    }

    /// The target of this kind that names `value`; the reverse of [`Target::kind`] and
    /// [`Target::value`].
    ///
    /// # Errors
    ///
    /// [`BadTarget`] for a kind that is unknown, and for a value that the kind cannot have.
    pub fn parse(kind: &str, value: &str) -> Result<Self, BadTarget> {
        let target = match kind {
            "everything" if value.is_empty() => return Ok(Self::Everything),
            "session" => return value.parse().map(Self::Session).map_err(|_| BadTarget),
            "subject" => Self::Subject,
            "credential" => Self::Credential,
            "key" => Self::Key,
            "issuer" => Self::Issuer,
            _ => return Err(BadTarget),
        };
        if value.is_empty() {
            return Err(BadTarget);
        }
        Ok(target(value.into()))
    }
}

/// A kind and a value that make no target.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a revocation names a subject, credential, key, issuer or session, or everything without a name"
)]
#[non_exhaustive]
pub struct BadTarget;

/// Why it was taken back, and so what is told.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "what each tells must be decided")]
pub enum Cause {
    /// It does not count any more: [`RefusalKind::Revoked`].
    Revoked,
    /// The account behind it is disabled: [`RefusalKind::AccountDisabled`].
    AccountDisabled,
}

impl Cause {
    /// The refusal that it leads to.
    #[must_use]
    pub const fn refusal(self) -> RefusalKind {
        match self {
            Self::Revoked => RefusalKind::Revoked,
            Self::AccountDisabled => RefusalKind::AccountDisabled,
        }
    }
}

/// Something that was taken back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revocation {
    target: Target,
    issued_before: Option<Timestamp>,
    cause: Cause,
}

impl Revocation {
    /// Takes back all that `target` names, whenever it was issued.
    #[must_use]
    pub const fn of(target: Target) -> Self {
        Self {
            target,
            issued_before: None,
            cause: Cause::Revoked,
        }
    }

    /// Only what was issued before `time`. A credential that does not say when it was issued counts
    /// as issued before any time.
    #[must_use]
    pub const fn issued_before(mut self, time: Timestamp) -> Self {
        self.issued_before = Some(time);
        self
    }

    /// For this cause.
    #[must_use]
    pub const fn because(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// Whom it covers.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The time before which a credential must have been issued to be covered; none covers all.
    #[must_use]
    pub const fn issue_limit(&self) -> Option<Timestamp> {
        self.issued_before
    }

    /// Why.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether it covers `identity`, or the live session `session` of it.
    #[must_use]
    pub fn covers(&self, identity: &Identity, session: Option<SessionId>) -> bool {
        let is_named = match &self.target {
            Target::Subject(subject) => identity.subject() == &**subject,
            Target::Credential(id) => identity.credential_id() == Some(id),
            Target::Key(id) => identity.key_id() == Some(id),
            Target::Issuer(issuer) => identity.issuer() == Some(issuer),
            Target::Session(id) => session == Some(*id),
            Target::Everything => true,
        };
        let is_old = self
            .issued_before
            .is_none_or(|limit| identity.issue_time().is_none_or(|issued| issued < limit));
        is_named && is_old
    }
}

/// The revocations in force, found by what an identity is.
///
/// It holds what the ledger holds: one entry for each target and cause, of which the widest counts.
#[derive(Clone, Debug, Default)]
pub struct RevocationSet {
    by_target: HashMap<Target, Vec<Revocation>>,
}

impl RevocationSet {
    /// Adds `revocation`. One that is no wider than what is there changes nothing.
    pub fn insert(&mut self, revocation: Revocation) {
        let known = self.by_target.entry(revocation.target.clone()).or_default();
        let same_cause = known
            .iter_mut()
            .find(|other| other.cause == revocation.cause);
        match same_cause {
            Some(other) => {
                // None is the widest of all.
                other.issued_before = match (other.issued_before, revocation.issued_before) {
                    (Some(one), Some(two)) => Some(one.max(two)),
                    (None, _) | (_, None) => None,
                };
            }
            None => known.push(revocation),
        }
    }

    /// How many targets are revoked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_target.len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_target.is_empty()
    }

    /// Why `identity` may not enter, or the live session `session` of it not stay; none when nothing
    /// covers it. A disabled account is told before a revoked credential.
    #[must_use]
    pub fn covering(&self, identity: &Identity, session: Option<SessionId>) -> Option<&Revocation> {
        if self.is_empty() {
            return None;
        }
        let named = |name: Option<&str>, target: fn(Box<str>) -> Target| {
            name.and_then(|name| self.by_target.get(&target(name.into())))
        };
        let found = [
            named(Some(identity.subject()), Target::Subject),
            named(identity.credential_id(), Target::Credential),
            named(identity.key_id(), Target::Key),
            named(identity.issuer(), Target::Issuer),
            session.and_then(|id| self.by_target.get(&Target::Session(id))),
            self.by_target.get(&Target::Everything),
        ];
        found
            .into_iter()
            .flatten()
            .flatten()
            .filter(|revocation| revocation.covers(identity, session))
            .min_by_key(|revocation| revocation.cause == Cause::Revoked)
    }
}

impl FromIterator<Revocation> for RevocationSet {
    fn from_iter<I: IntoIterator<Item = Revocation>>(revocations: I) -> Self {
        let mut set = Self::default();
        for revocation in revocations {
            set.insert(revocation);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Identity {
        Identity::new("ada")
            .with_issuer("https://issuer.example")
            .with_credential_id("jti-1")
            .with_key_id("k1")
            .issued_at(Timestamp::from_secs(100))
    }

    fn target(kind: &str, value: &str) -> Target {
        Target::parse(kind, value).expect("a target")
    }

    #[test]
    fn each_target_covers_what_it_names_and_nothing_else() {
        for (kind, own, other) in [
            ("subject", "ada", "bob"),
            ("credential", "jti-1", "jti-2"),
            ("key", "k1", "k2"),
            ("issuer", "https://issuer.example", "https://other.example"),
        ] {
            for (value, is_covered) in [(own, true), (other, false)] {
                let revocation = Revocation::of(target(kind, value));
                assert_eq!(
                    revocation.covers(&ada(), None),
                    is_covered,
                    "{kind} {value}"
                );
                let set: RevocationSet = [revocation].into_iter().collect();
                assert_eq!(
                    set.covering(&ada(), None).is_some(),
                    is_covered,
                    "{kind} {value}"
                );
            }
        }
        assert!(Revocation::of(Target::Everything).covers(&ada(), None));
    }

    #[test]
    fn a_session_is_covered_by_its_id_alone_and_its_credential_is_not() {
        let (one, other) = (
            SessionId::from_bytes([1; 16]),
            SessionId::from_bytes([2; 16]),
        );
        let revocation = Revocation::of(Target::Session(one));
        assert!(revocation.covers(&ada(), Some(one)));
        assert!(!revocation.covers(&ada(), Some(other)));
        assert!(!revocation.covers(&ada(), None));
        let set: RevocationSet = [revocation].into_iter().collect();
        assert!(set.covering(&ada(), None).is_none());
        assert!(set.covering(&ada(), Some(one)).is_some());
    }

    #[test]
    fn what_was_issued_at_the_limit_or_later_is_not_covered() {
        let everything =
            |secs| Revocation::of(Target::Everything).issued_before(Timestamp::from_secs(secs));
        assert!(everything(101).covers(&ada(), None));
        assert!(!everything(100).covers(&ada(), None));
        let undated = Identity::new("ada");
        assert!(everything(0).covers(&undated, None));
    }

    #[test]
    fn the_widest_of_two_counts_in_either_order() {
        let at = |secs| {
            Revocation::of(target("subject", "ada")).issued_before(Timestamp::from_secs(secs))
        };
        let forever = Revocation::of(target("subject", "ada"));
        for revocations in [
            [at(50), at(150)],
            [at(150), at(50)],
            [forever.clone(), at(1)],
            [at(1), forever],
        ] {
            let set: RevocationSet = revocations.into_iter().collect();
            assert!(set.covering(&ada(), None).is_some());
            assert_eq!(set.len(), 1);
        }
    }

    #[test]
    fn a_disabled_account_is_told_before_a_revoked_credential() {
        let disabled = Revocation::of(target("subject", "ada")).because(Cause::AccountDisabled);
        for revocations in [
            [disabled.clone(), Revocation::of(target("subject", "ada"))],
            [Revocation::of(target("key", "k1")), disabled],
        ] {
            let set: RevocationSet = revocations.into_iter().collect();
            assert_eq!(
                set.covering(&ada(), None).map(Revocation::cause),
                Some(Cause::AccountDisabled)
            );
        }
    }

    #[test]
    fn targets_and_ids_are_read_as_they_are_written() {
        let id = SessionId::from_bytes([0x0f; 16]);
        for written in [
            Target::Subject("a b".into()),
            Target::Credential("c".into()),
            Target::Key("k".into()),
            Target::Issuer("i".into()),
            Target::Session(id),
            Target::Everything,
        ] {
            assert_eq!(Target::parse(written.kind(), &written.value()), Ok(written));
        }
        for (kind, value) in [
            ("subject", ""),
            ("everything", "x"),
            ("session", "0f"),
            ("person", "x"),
        ] {
            assert_eq!(Target::parse(kind, value), Err(BadTarget), "{kind} {value}");
        }
        assert_eq!(
            "+0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0".parse::<SessionId>(),
            Err(BadSessionId)
        );
    }
}
