//! A code for tokens (RFC 6749, 4.1.3; RFC 7636, 4.5).

use std::path::PathBuf;
use std::time::Duration;

use form_urlencoded::Serializer;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::error::LoginError;
use crate::error::AskError;
use crate::jwt::strict_json;
use crate::outbound::{Answer, ClientAuth, Endpoint, Outbound, read_secret};
use crate::secret_file::SecretFile;

/// One request to the token endpoint.
pub(super) struct Exchange {
    pub(super) outbound: Outbound,
    pub(super) endpoint: Endpoint,
    pub(super) client_id: Box<str>,
    /// Where the client's secret is, and whether it travels in the body; none for a public client.
    pub(super) secret: Option<(PathBuf, bool)>,
    pub(super) redirect_uri: Box<str>,
    pub(super) code: SecretString,
    pub(super) verifier: SecretString,
    pub(super) timeout: Duration,
}

/// What came for the code.
pub(super) struct Tokens {
    pub(super) id_token: SecretString,
    pub(super) access_token: Option<SecretString>,
    /// What was granted; none when it is what was asked for.
    pub(super) scope: Option<Box<str>>,
}

impl Exchange {
    /// Must be polled on the runtime of `outbound`.
    pub(super) async fn run(self) -> Result<Result<Tokens, LoginError>, AskError> {
        let (auth, in_body) = match &self.secret {
            None => (ClientAuth::none(), None),
            Some((file, true)) => (ClientAuth::none(), Some(read_secret(file).await?)),
            Some((file, false)) => {
                let auth = ClientAuth::basic(self.client_id.clone(), file.clone());
                (auth, None)
            }
        };
        let request = self
            .outbound
            .post(&self.endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(self.form(in_body.as_ref()));
        let request = auth.sign(request).await?;
        let exchanged = self
            .outbound
            .exchange(request, self.timeout, MOST_BYTES)
            .await?;
        Ok(read(&exchanged))
    }

    fn form(&self, secret: Option<&SecretFile>) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", self.code.expose_secret())
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("code_verifier", self.verifier.expose_secret());
        if self.secret.is_none() || secret.is_some() {
            form.append_pair("client_id", &self.client_id);
        }
        if let Some(secret) = secret {
            form.append_pair("client_secret", secret.expose());
        }
        form.finish()
    }
}

fn read(answer: &Answer) -> Result<Tokens, LoginError> {
    let document = strict_json::parse_object(&answer.body);
    let text = |document: &Map<String, Value>, name| {
        document
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if answer.status != 200 {
        let error = document.and_then(|document| text(&document, "error"));
        // "Values for the "error" parameter MUST NOT include characters outside the set
        // %x20-21 / %x23-5B / %x5D-7E" (RFC 6749, 5.2).
        let error = error.filter(|error| error.len() <= 64 && error.bytes().all(is_error_text));
        let status = answer.status;
        return Err(match error {
            Some(error) if matches!(status, 400 | 401) => LoginError::Refused {
                error: error.into(),
            },
            _ => AskError::Status { status }.into(),
        });
    }
    let document = document.ok_or(AskError::Malformed)?;
    Ok(Tokens {
        id_token: text(&document, "id_token")
            .ok_or(LoginError::NoIdToken)?
            .into(),
        access_token: text(&document, "access_token").map(Into::into),
        scope: text(&document, "scope").map(Into::into),
    })
}

const fn is_error_text(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\')
}

/// An ID token with many groups in it, and tokens that nobody reads here.
const MOST_BYTES: usize = 128 * 1024;
