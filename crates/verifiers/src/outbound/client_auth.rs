//! Who asks.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::RequestBuilder;

use crate::error::{AskError, ConfigError};
use crate::secret_file::SecretFile;

/// How a verifier proves to others who it is. The secret stays in its file and is read for each
/// request, so that what renews it need not tell anybody.
#[derive(Clone)]
pub struct ClientAuth(Kind);

#[derive(Clone)]
enum Kind {
    None,
    Basic { id: Box<str>, secret: PathBuf },
    Bearer { token: PathBuf },
}

impl ClientAuth {
    /// Nothing: whom it asks lets anybody ask.
    #[must_use]
    pub const fn none() -> Self {
        Self(Kind::None)
    }

    /// `Authorization: Bearer`, with the token in the file `token`.
    ///
    /// # Errors
    ///
    /// What [`SecretFile::read`] says of the file as it is now.
    pub fn bearer_file(token: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let token = token.into();
        SecretFile::read(&token)?;
        Ok(Self(Kind::Bearer { token }))
    }

    /// `Authorization: Basic`, with the secret in the file `secret`; both are encoded as OAuth asks
    /// (RFC 6749, 2.3.1).
    ///
    /// # Errors
    ///
    /// What [`SecretFile::read`] says of the file as it is now.
    pub fn basic_file(
        id: impl Into<Box<str>>,
        secret: impl Into<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let secret = secret.into();
        SecretFile::read(&secret)?;
        let id = id.into();
        Ok(Self(Kind::Basic { id, secret }))
    }

    /// The same for a file that was read before.
    pub(crate) const fn basic(id: Box<str>, secret: PathBuf) -> Self {
        Self(Kind::Basic { id, secret })
    }

    pub(crate) async fn sign(&self, request: RequestBuilder) -> Result<RequestBuilder, AskError> {
        Ok(match &self.0 {
            Kind::None => request,
            Kind::Basic { id, secret } => {
                let secret = read_secret(secret).await?;
                request.basic_auth(encode(id), Some(encode(secret.expose())))
            }
            Kind::Bearer { token } => request.bearer_auth(read_secret(token).await?.expose()),
        })
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::None => f.write_str("None"),
            Kind::Basic { id, secret } => f
                .debug_struct("Basic")
                .field("id", id)
                .field("secret_file", secret)
                .finish(),
            Kind::Bearer { token } => f.debug_struct("Bearer").field("file", token).finish(),
        }
    }
}

/// A disk may be slow: not on the thread that all requests share.
pub(crate) async fn read_secret(path: &Path) -> Result<SecretFile, AskError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || SecretFile::read(path))
        .await
        .map_err(|_| AskError::Stopped)?
        .map_err(|error| AskError::Secret {
            reason: error.to_string().into(),
        })
}

fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
