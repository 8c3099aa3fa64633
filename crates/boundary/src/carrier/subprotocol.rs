//! A credential among the offered subprotocols: the one place that a browser's script can write to.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::{Malformed, Unattachable};

/// A way of writing a credential as a subprotocol.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one means must be decided everywhere"
)]
pub enum Dialect {
    /// `base64url.bearer.authorization.k8s.io.…`, as the Kubernetes API server reads it.
    Kubernetes,
    /// `base64url.bearer.phx.…`, as Phoenix reads it.
    Phoenix,
    /// `portcullis.bearer.…`
    Portcullis,
    /// `openai-insecure-api-key.…`, the key itself.
    OpenAi,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 4] = [
        Self::Kubernetes,
        Self::Phoenix,
        Self::Portcullis,
        Self::OpenAi,
    ];

    /// What stands before the credential.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Kubernetes => "base64url.bearer.authorization.k8s.io.",
            Self::Phoenix => "base64url.bearer.phx.",
            Self::Portcullis => "portcullis.bearer.",
            Self::OpenAi => "openai-insecure-api-key.",
        }
    }

    /// Adds `secret`, in this dialect, to the subprotocols that a request offers. At least one that
    /// is not a credential must be offered besides, or the server has none to select.
    ///
    /// # Errors
    ///
    /// [`Unattachable`] when the dialect cannot write the secret's characters.
    pub fn attach(self, secret: &str, headers: &mut HeaderMap) -> Result<(), Unattachable> {
        let written = self.write(secret).ok_or(Unattachable)?;
        strip(headers);
        let mut value = HeaderValue::try_from(written).map_err(|_| Unattachable)?;
        value.set_sensitive(true);
        headers.append(SEC_WEBSOCKET_PROTOCOL, value);
        Ok(())
    }

    /// The subprotocol that carries `secret`; none when the dialect cannot write it.
    #[must_use]
    pub fn write(self, secret: &str) -> Option<String> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let body = match self {
            Self::Kubernetes | Self::Phoenix | Self::Portcullis => URL_SAFE_NO_PAD.encode(secret),
            Self::OpenAi if secret.bytes().all(token) => secret.to_owned(),
            Self::OpenAi => return None,
        };
        (!body.is_empty()).then(|| format!("{}{body}", self.prefix()))
    }

    fn read(self, body: &str) -> Result<String, Malformed> {
        let bytes = match self {
            Self::Kubernetes | Self::Phoenix | Self::Portcullis => URL_SAFE_NO_PAD
                .decode(body)
                .map_err(|_| Malformed("the subprotocol's token is not unpadded base64url"))?,
            Self::OpenAi => body.as_bytes().to_vec(),
        };
        match String::from_utf8(bytes) {
            Ok(token) if !token.is_empty() => Ok(token),
            Ok(_) => Err(Malformed("the subprotocol's token is empty")),
            Err(_) => Err(Malformed("the subprotocol's token is not UTF-8")),
        }
    }

    pub(super) fn of(protocol: &str) -> Option<(Self, &str)> {
        Self::ALL
            .into_iter()
            .find_map(|dialect| Some((dialect, protocol.strip_prefix(dialect.prefix())?)))
    }
}

pub(super) fn extract(headers: &HeaderMap) -> Result<Option<String>, Malformed> {
    let mut found = None;
    let mut others = 0;
    for protocol in offered(headers) {
        let Some((dialect, body)) = Dialect::of(protocol) else {
            others += 1;
            continue;
        };
        if found.replace(dialect.read(body)?).is_some() {
            return Err(Malformed("there are several subprotocols with a token"));
        }
    }
    // Without another one, the server would have to echo the token or select nothing, at which a
    // browser drops the connection.
    if found.is_some() && others == 0 {
        return Err(Malformed(
            "offer one more subprotocol beside the one with the token",
        ));
    }
    Ok(found)
}

/// Takes the credentials out of the offer. The other subprotocols stay, in their order.
pub(super) fn strip(headers: &mut HeaderMap) {
    // A line that is not text may hold one all the same.
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let is_text = lines.iter().all(|line| line.to_str().is_ok());
    if is_text && offered(headers).all(|protocol| Dialect::of(protocol).is_none()) {
        return;
    }
    let kept: Vec<&str> = offered(headers)
        .filter(|protocol| Dialect::of(protocol).is_none())
        .collect();
    let value = (!kept.is_empty()).then(|| HeaderValue::try_from(kept.join(", ")));
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(Ok(value)) = value {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
}

/// The offered subprotocols, over all header lines. A line that is not text offers nothing.
pub(crate) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|protocol| !protocol.is_empty())
}
