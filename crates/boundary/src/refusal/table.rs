//! The refusal table.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::{Serialize, Serializer};

use crate::close::{CloseCode, Recovery};

/// How a refusal is told: one row of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The status of the HTTP denial; none for what only happens in mid-session.
    pub status: Option<StatusCode>,
    /// What the `WWW-Authenticate` header says (RFC 6750, 3).
    pub bearer: BearerError,
    /// The close code; none for what is never accepted.
    pub close: Option<CloseCode>,
    /// What the client should do.
    pub recovery: Recovery,
    /// What happened, in words that a client may be shown.
    pub meaning: &'static str,
}

/// What a denial's `WWW-Authenticate` header says (RFC 6750, 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the standard has no more")]
pub enum BearerError {
    /// There is no such header.
    None,
    /// A challenge without an error, as for a request that lacks any credential.
    Challenge,
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_token`
    InvalidToken,
    /// `insufficient_scope`
    InsufficientScope,
}

impl BearerError {
    /// The error's name in the header.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Challenge => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
        }
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)+) => {
        /// What a refused client is told.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[expect(clippy::exhaustive_enums, reason = "what a new one tells must be decided everywhere")]
        pub enum RefusalKind {
            $($(#[doc = $doc])* $variant,)+
        }

        impl RefusalKind {
            /// Every kind, in the order of the table.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name in JSON, logs, metrics and close reasons.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// The host is not one that the listener serves.
    HostForbidden = "host_forbidden",
    /// The origin does not pass the route's rule.
    OriginForbidden = "origin_forbidden",
    /// The request is not a WebSocket handshake.
    BadHandshake = "bad_handshake",
    /// There is no credential in any carrier of the route.
    MissingCredential = "missing_credential",
    /// A carrier holds something that is no credential.
    MalformedCredential = "malformed_credential",
    /// The credential is not true: signature, issuer, audience, unknown token.
    InvalidCredential = "invalid_credential",
    /// The credential was good and has expired.
    Expired = "expired",
    /// The key that signed it is not in the freshly fetched key set.
    KeyUnknown = "key_unknown",
    /// The credential is good and not valid yet.
    NotYetValid = "not_yet_valid",
    /// The key set cannot be fetched and no usable copy is left.
    KeysUnavailable = "keys_unavailable",
    /// The credential was revoked.
    Revoked = "revoked",
    /// The account is disabled.
    AccountDisabled = "account_disabled",
    /// A scope or claim that the route requires is missing.
    InsufficientScope = "insufficient_scope",
    /// The resource belongs to somebody else.
    NotOwner = "not_owner",
    /// There is no such route or resource.
    ResourceUnknown = "resource_unknown",
    /// No first message came in time.
    AuthTimeout = "auth_timeout",
    /// Too many sessions are open.
    SessionLimit = "session_limit",
    /// Too many handshakes or messages came in too short a time.
    RateLimited = "rate_limited",
    /// Too many credentials from this address were refused in too short a time.
    FailedTooOften = "failed_too_often",
    /// A message is larger than the route allows.
    MessageTooBig = "message_too_big",
    /// Nothing was said for too long.
    Idle = "idle",
    /// The session reached its longest allowed life.
    LifetimeReached = "lifetime_reached",
    /// The rules changed, and the session does not pass the new ones.
    PolicyChanged = "policy_changed",
    /// The client does not read what it is sent.
    SlowConsumer = "slow_consumer",
    /// The gate is shutting down.
    Draining = "draining",
    /// The gate has no room, or something that it must ask cannot answer.
    Overloaded = "overloaded",
    /// The upstream cannot be reached, or was lost.
    UpstreamUnreachable = "upstream_unreachable",
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout",
    /// Something went wrong that is not the client's fault.
    Internal = "internal",
}

impl RefusalKind {
    /// The kind called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// How this refusal is told.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one table, to be read as one")]
    pub fn row(self) -> Row {
        use BearerError::{Challenge, InsufficientScope, InvalidRequest, InvalidToken, None as No};
        use Recovery::{Login, Refresh, Retry, Stop};
        match self {
            Self::HostForbidden => row(403, No, 0, Stop, "This host is not served here."),
            Self::OriginForbidden => row(403, No, 0, Stop, "This origin may not connect."),
            Self::BadHandshake => row(400, No, 0, Stop, "This is not a WebSocket handshake."),
            Self::MissingCredential => {
                row(401, Challenge, 1008, Login, "A credential is required.")
            }
            Self::MalformedCredential => row(
                401,
                InvalidRequest,
                1008,
                Login,
                "The credential is malformed.",
            ),
            Self::InvalidCredential => row(
                401,
                InvalidToken,
                1008,
                Login,
                "The credential is not valid.",
            ),
            Self::Expired => row(
                401,
                InvalidToken,
                4001,
                Refresh,
                "The credential has expired.",
            ),
            Self::KeyUnknown => row(
                401,
                InvalidToken,
                4001,
                Refresh,
                "The credential's key is no longer used.",
            ),
            Self::NotYetValid => row(
                401,
                InvalidToken,
                1013,
                Retry,
                "The credential is not valid yet.",
            ),
            Self::KeysUnavailable => row(
                503,
                No,
                1013,
                Retry,
                "Credentials cannot be checked right now.",
            ),
            Self::Revoked => row(
                401,
                InvalidToken,
                4004,
                Login,
                "The credential was revoked.",
            ),
            Self::AccountDisabled => row(403, No, 4004, Login, "The account is disabled."),
            Self::InsufficientScope => row(
                403,
                InsufficientScope,
                4003,
                Stop,
                "The credential does not permit this.",
            ),
            Self::NotOwner => row(403, No, 4003, Stop, "This belongs to somebody else."),
            Self::ResourceUnknown => row(404, No, 4404, Stop, "There is nothing here."),
            Self::AuthTimeout => row(408, No, 1008, Retry, "No credential came in time."),
            Self::SessionLimit => row(429, No, 4029, Retry, "Too many sessions are open."),
            Self::RateLimited => row(429, No, 1013, Retry, "Too many requests or messages."),
            Self::FailedTooOften => row(429, No, 1013, Retry, "Too many refused credentials."),
            Self::MessageTooBig => row(413, No, 1009, Stop, "A message is too big."),
            Self::Idle => row(0, No, 1001, Retry, "Nothing was said for too long."),
            Self::LifetimeReached => row(0, No, 4001, Refresh, "The session has lived its time."),
            Self::PolicyChanged => row(0, No, 4001, Refresh, "The rules have changed."),
            Self::SlowConsumer => row(0, No, 1013, Retry, "The client reads too slowly."),
            Self::Draining => row(503, No, 1012, Retry, "The service is restarting."),
            Self::Overloaded => row(503, No, 1013, Retry, "The service is overloaded."),
            Self::UpstreamUnreachable => row(
                502,
                No,
                1014,
                Retry,
                "The service behind this gate is not reachable.",
            ),
            Self::UpstreamTimeout => row(
                504,
                No,
                1014,
                Retry,
                "The service behind this gate did not answer in time.",
            ),
            Self::Internal => row(500, No, 1011, Retry, "Something went wrong here."),
        }
    }

    /// The `Retry-After` of a refusal that must carry one and was given none.
    pub(super) fn default_wait(self) -> Option<Duration> {
        let waits = [
            Self::Draining,
            Self::FailedTooOften,
            Self::KeysUnavailable,
            Self::Overloaded,
            Self::RateLimited,
        ];
        waits.contains(&self).then_some(Duration::from_secs(1))
    }
}

fn row(
    status: u16,
    bearer: BearerError,
    close: u16,
    recovery: Recovery,
    meaning: &'static str,
) -> Row {
    let status = StatusCode::from_u16(status).ok();
    Row {
        status,
        bearer,
        close: CloseCode::new(close).ok(),
        recovery,
        meaning,
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RefusalKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
