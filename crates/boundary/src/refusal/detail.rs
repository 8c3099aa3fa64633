//! What operators are told of a refusal, and strangers are not.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

/// The private side of a refusal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the texts of each must be decided")]
pub enum Detail {
    /// Nothing beyond the kind.
    #[default]
    None,
    /// What is wrong with the handshake's shape.
    Handshake(HandshakeFault),
    /// Which check the credential failed.
    Invalid(InvalidReason),
    /// In words.
    Text(Cow<'static, str>),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Handshake(fault) => fault.fmt(f),
            Self::Invalid(reason) => reason.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Why a request is not a WebSocket handshake (RFC 6455, 4.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the status and text of each must be decided"
)]
pub enum HandshakeFault {
    /// The request has a body, or says that it has.
    #[error("a handshake has no body")]
    Body,
    /// `Connection` has no `upgrade`.
    #[error("`Connection` does not include `upgrade`")]
    Connection,
    /// The key is not 16 bytes in base64, or there are several.
    #[error("`Sec-WebSocket-Key` is not 16 bytes in base64")]
    Key,
    /// There is no key.
    #[error("`Sec-WebSocket-Key` is missing")]
    KeyMissing,
    /// The method is not GET.
    #[error("the method is not `GET`")]
    Method,
    /// The protocol is not HTTP/1.1, so that there is nothing to upgrade.
    #[error("an upgrade needs HTTP/1.1")]
    Protocol,
    /// `Upgrade` has no `websocket`.
    #[error("`Upgrade` does not include `websocket`")]
    Upgrade,
    /// The version is not 13.
    #[error("`Sec-WebSocket-Version` is not 13")]
    Version,
}

impl HandshakeFault {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Body | Self::Connection | Self::Key | Self::KeyMissing | Self::Upgrade => {
                StatusCode::BAD_REQUEST
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Protocol | Self::Version => StatusCode::UPGRADE_REQUIRED,
        }
    }
}

/// Which check a credential failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "the text of each must be decided")]
pub enum InvalidReason {
    /// The algorithm is none that the verifier takes.
    #[error("the algorithm is not allowed")]
    Algorithm,
    /// The audience is another.
    #[error("the audience is another")]
    Audience,
    /// The claims are not of the form that the standard and the verifier ask for.
    #[error("the claims are malformed")]
    Claims,
    /// Whoever issued it says that it does not count.
    #[error("its issuer says that it is not active")]
    Inactive,
    /// The issuer is another.
    #[error("the issuer is another")]
    Issuer,
    /// It is not a token of the form that the verifier reads.
    #[error("it is not a token of this verifier's form")]
    Form,
    /// It does not say which key signed it, or the key is of another kind.
    #[error("its key is not named, or is of another kind")]
    Key,
    /// The signature does not match.
    #[error("the signature does not match")]
    Signature,
    /// The type in its header is another.
    #[error("the type is another")]
    Type,
    /// The token is not one that the verifier knows.
    #[error("the token is unknown")]
    UnknownToken,
    /// No verifier of the route reads a credential of this shape.
    #[error("no verifier of this route reads a credential of this shape")]
    Unread,
}
