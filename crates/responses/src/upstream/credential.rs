//! The gate's own credential for an upstream.

use std::fmt;

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::error::ConfigError;

/// A header with the gate's own credential. It takes the place of any that the client sent.
#[derive(Clone)]
pub struct UpstreamCredential {
    name: HeaderName,
    value: HeaderValue,
}

impl UpstreamCredential {
    /// `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Secret`] when the secret has characters that a header cannot have.
    pub fn bearer(secret: &SecretString) -> Result<Self, ConfigError> {
        let text = SecretString::from(format!("Bearer {}", secret.expose_secret()));
        Self::header(AUTHORIZATION, &text)
    }

    /// The header `name` with the secret as it is, such as `api-key`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Secret`] when the secret has characters that a header cannot have.
    pub fn header(name: HeaderName, secret: &SecretString) -> Result<Self, ConfigError> {
        let mut value =
            HeaderValue::from_str(secret.expose_secret()).map_err(|_| ConfigError::Secret)?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    pub(super) fn add(&self, headers: &mut HeaderMap) {
        headers.insert(self.name.clone(), self.value.clone());
    }
}

/// Whether an answer with `status` says something of the credential that was sent.
pub(super) fn is_about_the_credential(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

impl fmt::Debug for UpstreamCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamCredential")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
