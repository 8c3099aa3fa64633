//! Why nobody was logged in or out.

use portcullis_boundary::Rejection;

use crate::error::AskError;

/// Why a step of a login did not succeed. For the log: people are told less, and no text of it holds a
/// secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The provider does not answer, or not as asked.
    #[error("the provider cannot be asked: {0}")]
    Ask(#[from] AskError),
    /// What the provider says of itself is of no use.
    #[error("the provider's metadata {0}")]
    Metadata(&'static str),
    /// An answer, or the metadata, is another provider's.
    #[error("it is of another issuer")]
    OtherIssuer,
    /// The provider does not take the code, or this client.
    #[error("the provider refuses the code: `{error}`")]
    Refused {
        /// The error's code (RFC 6749, 5.2).
        error: Box<str>,
    },
    /// The provider's answer has no ID token.
    #[error("the provider gave no ID token")]
    NoIdToken,
    /// A token is not true, not for this client, or not in time.
    #[error("the token is not good: {0:?}")]
    Token(Rejection),
    /// An ID token of another login.
    #[error("the ID token has another nonce")]
    OtherNonce,
    /// An ID token that was issued to another client.
    #[error("the ID token was issued to another party")]
    OtherParty,
    /// An ID token of another access token.
    #[error("the ID token belongs to another access token")]
    OtherAccessToken,
    /// A logout token that is none, or that says nothing of use.
    #[error("the logout token {0}")]
    LogoutToken(&'static str),
}

impl LoginError {
    /// Whether the provider could not be asked: neither the browser nor what it brought is to blame.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Ask(_) | Self::Metadata(_) | Self::Token(Rejection::Unavailable { .. })
        )
    }
}
