//! Which of a client's headers the upstream sees.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::ConfigError;

/// The client's headers that are forwarded: those on the list, and no others.
#[derive(Clone, Debug, Default)]
pub struct ForwardedHeaders {
    names: Vec<HeaderName>,
    prefixes: Vec<Box<str>>,
}

impl ForwardedHeaders {
    /// None at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            names: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    /// These; a name that ends with `*` stands for all that begin so.
    ///
    /// # Errors
    ///
    /// [`ConfigError::HeaderName`] for what is no header's name, and [`ConfigError::HeaderOurs`] for
    /// headers that belong to a connection or to a body, which are never forwarded.
    pub fn only<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let mut rules = Self::none();
        for name in names {
            let (text, is_prefix) = match name.strip_suffix('*') {
                Some(prefix) => (prefix, true),
                None => (name, false),
            };
            let parsed = HeaderName::from_bytes(text.as_bytes())
                .map_err(|_| ConfigError::HeaderName { name: name.into() })?;
            if !is_prefix && is_ours(parsed.as_str()) {
                return Err(ConfigError::HeaderOurs { name: name.into() });
            }
            if is_prefix {
                rules.prefixes.push(parsed.as_str().into());
            } else {
                rules.names.push(parsed);
            }
        }
        Ok(rules)
    }

    /// What of `client` is forwarded. A credential is only when it is named in full.
    pub(crate) fn of(&self, client: &HeaderMap) -> HeaderMap {
        let is_wanted = |name: &HeaderName| {
            let by_prefix = || {
                let text = name.as_str();
                self.prefixes
                    .iter()
                    .any(|prefix| text.starts_with(&**prefix))
                    && !is_ours(text)
                    && !is_credential(text)
            };
            self.names.contains(name) || by_prefix()
        };
        client
            .iter()
            .filter(|(name, _)| is_wanted(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// Takes out of `OpenAI-Beta` what speaks of WebSockets, which an HTTP upstream has no part in.
pub(crate) fn without_socket_betas(headers: &mut HeaderMap) {
    let Some(value) = headers.remove(BETA) else {
        return;
    };
    let rest: Vec<&str> = value
        .to_str()
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|beta| !beta.is_empty() && !beta.starts_with("responses_websockets"))
        .collect();
    if let Ok(value) = HeaderValue::try_from(rest.join(", "))
        && !rest.is_empty()
    {
        headers.insert(BETA, value);
    }
}

const BETA: HeaderName = HeaderName::from_static("openai-beta");

fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "expect"
            | "host"
            | "keep-alive"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    ) || name.starts_with("sec-websocket-")
        || name.starts_with("proxy-")
}

fn is_credential(name: &str) -> bool {
    matches!(name, "api-key" | "authorization" | "cookie" | "x-api-key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn what_is_not_on_the_list_is_not_forwarded() {
        let rules = ForwardedHeaders::only(["User-Agent", "x-codex-*", "session-id"]).unwrap();
        let client = headers(&[
            ("user-agent", "a"),
            ("x-codex-window-id", "b"),
            ("session-id", "c"),
            ("session-id-2", "d"),
            ("cookie", "e"),
            ("authorization", "f"),
            ("x-stainless-os", "g"),
        ]);
        let forwarded = rules.of(&client);
        let mut names: Vec<&str> = forwarded.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["session-id", "user-agent", "x-codex-window-id"]);
        assert!(ForwardedHeaders::none().of(&client).is_empty());
    }

    #[test]
    fn a_star_covers_neither_credentials_nor_what_belongs_to_a_connection() {
        let rules = ForwardedHeaders::only(["a*", "c*", "authorization", "sec-*"]).unwrap();
        let client = headers(&[
            ("authorization", "named"),
            ("api-key", "x"),
            ("connection", "x"),
            ("cookie", "x"),
            ("sec-websocket-key", "x"),
            ("accept-language", "de"),
        ]);
        let forwarded = rules.of(&client);
        assert_eq!(forwarded.len(), 2);
        assert_eq!(forwarded["authorization"], "named");
        assert_eq!(forwarded["accept-language"], "de");
    }

    #[test]
    fn a_list_of_what_cannot_be_forwarded_is_an_error_of_the_config() {
        for (name, error) in [
            (
                "Host",
                ConfigError::HeaderOurs {
                    name: "Host".into(),
                },
            ),
            ("a b", ConfigError::HeaderName { name: "a b".into() }),
            ("*", ConfigError::HeaderName { name: "*".into() }),
        ] {
            assert_eq!(ForwardedHeaders::only([name]).unwrap_err(), error);
        }
    }

    #[test]
    fn betas_of_the_socket_stay_with_the_socket() {
        for (given, left) in [
            ("responses_websockets=2026-02-06", None),
            ("a=1, responses_websockets=2026-02-06,b=2", Some("a=1, b=2")),
            ("a=1", Some("a=1")),
        ] {
            let mut headers = headers(&[("openai-beta", given)]);
            without_socket_betas(&mut headers);
            let value = headers
                .get("openai-beta")
                .map(|value| value.to_str().unwrap());
            assert_eq!(value, left);
        }
    }
}
