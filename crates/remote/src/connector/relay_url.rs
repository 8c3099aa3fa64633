//! Where the relay is.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;
use url::Url;

/// The base URL of a relay, below which its endpoints lie.
///
/// `https` with any host, or `http` with a loopback one. A path that does not end with `/` gets one,
/// so that `https://relay.example/base` has its endpoints at `/base/wham/remote/control/…`; query and
/// fragment are dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct RelayUrl(Url);

/// Why a text is no [`RelayUrl`].
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RelayUrlError {
    /// It is no URL at all.
    #[error("invalid relay URL: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// Its scheme is neither `https` nor `http`.
    #[error("invalid relay URL: the scheme is `{scheme}`, expected `https`")]
    Scheme {
        /// The scheme.
        scheme: Box<str>,
    },
    /// It has a user or a password; who the host is stands in its credential.
    #[error("invalid relay URL: it has a user or a password, which belong in the credential")]
    User,
    /// Others could read and change what is said.
    #[error("invalid relay URL: `http` is for loopback only, use `https` for `{host}`")]
    Plain {
        /// The host.
        host: Box<str>,
    },
}

impl RelayUrl {
    /// Takes `url`.
    ///
    /// # Errors
    ///
    /// A [`RelayUrlError`] that names what to change.
    pub fn parse(url: &str) -> Result<Self, RelayUrlError> {
        let relay = Self::dangerous_plain(url)?;
        if relay.0.scheme() == "http" && !relay.is_loopback() {
            return Err(RelayUrlError::Plain {
                host: relay.0.host_str().unwrap_or_default().into(),
            });
        }
        Ok(relay)
    }

    /// Takes `url`, which may be `http` with any host: whoever is between reads the credentials, and
    /// answers as he likes. For networks in which nobody is.
    ///
    /// # Errors
    ///
    /// As [`RelayUrl::parse`], but for [`RelayUrlError::Plain`].
    pub fn dangerous_plain(url: &str) -> Result<Self, RelayUrlError> {
        let mut parsed = Url::parse(url.trim()).map_err(|error| RelayUrlError::Malformed {
            reason: error.to_string().into(),
        })?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(RelayUrlError::Scheme {
                scheme: parsed.scheme().into(),
            });
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(RelayUrlError::User);
        }
        if !parsed.path().ends_with('/') {
            let path = format!("{}/", parsed.path());
            parsed.set_path(&path);
        }
        parsed.set_query(None);
        parsed.set_fragment(None);
        Ok(Self(parsed))
    }

    /// The base URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Where a host enrols.
    pub(crate) fn enrol(&self) -> Url {
        self.below("wham/remote/control/server/enroll")
    }

    /// Where it asks for a new token.
    pub(crate) fn refresh(&self) -> Url {
        self.below("wham/remote/control/server/refresh")
    }

    /// Where its road begins, with the scheme of WebSocket.
    pub(crate) fn road(&self) -> Url {
        let mut url = self.below("wham/remote/control/server");
        let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
        // All of the four schemes are special ones, between which a change is allowed.
        let _: Result<(), ()> = url.set_scheme(scheme);
        url
    }

    /// The base, with what is asked of it below.
    pub(crate) fn below(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path()));
        url
    }

    fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RelayUrl").field(&self.as_str()).finish()
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_lie_below_the_base() {
        for (base, road) in [
            (
                "https://relay.example",
                "wss://relay.example/wham/remote/control/server",
            ),
            (
                "https://relay.example/backend-api",
                "wss://relay.example/backend-api/wham/remote/control/server",
            ),
            (
                "https://relay.example/backend-api/?q=1#f",
                "wss://relay.example/backend-api/wham/remote/control/server",
            ),
            (
                "http://127.0.0.1:9/x",
                "ws://127.0.0.1:9/x/wham/remote/control/server",
            ),
        ] {
            let relay = RelayUrl::parse(base).unwrap();
            assert_eq!(relay.road().as_str(), road);
            assert!(relay.enrol().as_str().starts_with("http"), "{base}");
            assert!(relay.enrol().path().ends_with("/server/enroll"), "{base}");
            assert!(
                relay.refresh().path().ends_with("/server/refresh"),
                "{base}"
            );
        }
    }

    #[test]
    fn only_loopback_may_be_dialled_without_tls() {
        for yes in [
            "http://127.0.0.1:1",
            "http://127.0.0.2",
            "http://localhost",
            "http://LOCALHOST",
            "http://[::1]:8080/base",
            "https://10.0.0.5",
        ] {
            assert!(RelayUrl::parse(yes).is_ok(), "{yes}");
        }
        for no in [
            "http://foo.localhost",
            "http://0.0.0.0",
            "http://10.0.0.5",
            "http://relay.example",
        ] {
            let error = RelayUrl::parse(no).unwrap_err();
            assert!(matches!(error, RelayUrlError::Plain { .. }), "{no}");
            assert!(RelayUrl::dangerous_plain(no).is_ok(), "{no}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_relay_is_refused_with_its_reason() {
        for (no, text) in [
            ("relay", "invalid relay URL: relative URL without a base"),
            (
                "ws://relay.example",
                "invalid relay URL: the scheme is `ws`, expected `https`",
            ),
            (
                "https://ada:secret@relay.example",
                "invalid relay URL: it has a user or a password, which belong in the credential",
            ),
        ] {
            assert_eq!(RelayUrl::parse(no).unwrap_err().to_string(), text);
        }
    }
}
