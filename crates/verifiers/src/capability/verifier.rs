//! The verifier of capability tokens.

use std::fmt;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Scopes, Verifier};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::token::NamedToken;
use super::tokens_file;
use crate::digest;
use crate::error::ConfigError;

/// Vouches for whoever presents one of a list of tokens.
///
/// A token may have any shape, so it recognises everything: on a route with other verifiers it must
/// stand last.
#[derive(Clone)]
pub struct CapabilityTokens {
    name: Box<str>,
    tokens: Vec<NamedToken>,
    subject: Option<Box<str>>,
    scopes: Scopes,
}

impl CapabilityTokens {
    /// A verifier of these tokens.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoToken`] when there is none, [`ConfigError::DuplicateName`] and
    /// [`ConfigError::DuplicateToken`] when two cannot be told apart.
    pub fn new(
        name: impl Into<Box<str>>,
        tokens: impl IntoIterator<Item = NamedToken>,
    ) -> Result<Self, ConfigError> {
        let mut known: Vec<NamedToken> = Vec::new();
        for token in tokens {
            for other in &known {
                tell_apart(other, &token)?;
            }
            known.push(token);
        }
        if known.is_empty() {
            return Err(ConfigError::NoToken);
        }
        Ok(Self {
            name: name.into(),
            tokens: known,
            subject: None,
            scopes: Scopes::default(),
        })
    }

    /// A verifier of one token, which `text` is without the white space around it. The token's name
    /// is `capability`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TokenEmpty`] when nothing is left.
    pub fn from_token(name: impl Into<Box<str>>, text: &str) -> Result<Self, ConfigError> {
        Self::new(name, [NamedToken::new(SOLE_TOKEN, text)?])
    }

    /// A verifier of one token of which only the SHA-256 is known: 64 hexadecimal characters in any
    /// case. The token's name is `capability`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::DigestMalformed`] when it is something else.
    pub fn from_sha256_hex(name: impl Into<Box<str>>, hex: &str) -> Result<Self, ConfigError> {
        Self::new(name, [NamedToken::from_sha256_hex(SOLE_TOKEN, hex)?])
    }

    /// A verifier of the tokens in the text of a file with lines `name:token`, where blank lines and
    /// lines that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// [`ConfigError::LineMalformed`] or [`ConfigError::TokenEmpty`] for a line, and what
    /// [`CapabilityTokens::new`] says of them together.
    pub fn from_tokens_file(name: impl Into<Box<str>>, text: &str) -> Result<Self, ConfigError> {
        Self::new(name, tokens_file::parse(text)?)
    }

    /// Sets one subject for all of its tokens. Without it, a token's name is the subject.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<Box<str>>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the scopes that each of its tokens gives.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Compares with every digest, whichever matches.
    fn find(&self, token: &str) -> Option<&NamedToken> {
        let presented = digest::sha256(token.as_bytes());
        let mut found = Choice::from(0);
        let mut place = 0;
        for (index, known) in (0_u64..).zip(&self.tokens) {
            let equal = presented.ct_eq(known.digest());
            place.conditional_assign(&index, equal);
            found |= equal;
        }
        bool::from(found)
            .then(|| self.tokens.get(usize::try_from(place).ok()?))
            .flatten()
    }
}

impl Verifier for CapabilityTokens {
    fn name(&self) -> &str {
        &self.name
    }

    async fn verify(&self, credential: &Credential, _: Timestamp) -> Result<Identity, Rejection> {
        let token = self
            .find(credential.expose())
            .ok_or(Rejection::Invalid(InvalidReason::UnknownToken))?;
        let subject = self.subject.as_deref().unwrap_or_else(|| token.name());
        Ok(Identity::new(subject)
            .verified_by(self.name.clone())
            .with_scopes(self.scopes.clone())
            .with_credential_id(token.name())
            .with_key_id(token.key_id()))
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        let named = |token: &NamedToken| {
            let subject = self.subject.as_deref().unwrap_or_else(|| token.name());
            identity.key_id() == Some(token.key_id()) && identity.subject() == subject
        };
        *identity.scopes() == self.scopes && self.tokens.iter().any(named)
    }
}

impl fmt::Debug for CapabilityTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapabilityTokens")
            .field("name", &self.name)
            .field("tokens", &self.tokens)
            .field("subject", &self.subject)
            .field("scopes", &self.scopes)
            .finish()
    }
}

fn tell_apart(first: &NamedToken, second: &NamedToken) -> Result<(), ConfigError> {
    if first.name() == second.name() {
        return Err(ConfigError::DuplicateName {
            name: first.name().into(),
        });
    }
    if bool::from(first.digest().ct_eq(second.digest())) {
        return Err(ConfigError::DuplicateToken {
            first: first.name().into(),
            second: second.name().into(),
        });
    }
    Ok(())
}

/// The name of a token that was given without one.
const SOLE_TOKEN: &str = "capability";
