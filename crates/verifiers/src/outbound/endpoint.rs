//! Where a request goes.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::error::ConfigError;

/// A URL that may be asked: `https`, or `http` where nobody is between.
#[derive(Clone, Eq, PartialEq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// A URL with `https`, or with `http` and a loopback host, without user and password.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointMalformed`] when it is no such URL, and
    /// [`ConfigError::EndpointNotSecure`] when others could read and change what is asked.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let endpoint = Self::dangerous_plain(url)?;
        if endpoint.is_plain() && !endpoint.is_loopback() {
            return Err(ConfigError::EndpointNotSecure { url: url.into() });
        }
        Ok(endpoint)
    }

    /// A URL with `https`, or with `http` and any host: who is between can read what is sent, and
    /// answer as he likes. For networks in which nobody is.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EndpointMalformed`] when it is no such URL, or has a user or a password.
    pub fn dangerous_plain(url: &str) -> Result<Self, ConfigError> {
        let malformed = || ConfigError::EndpointMalformed { url: url.into() };
        let parsed = Url::parse(url).map_err(|_| malformed())?;
        let is_web = matches!(parsed.scheme(), "http" | "https");
        let has_user = !parsed.username().is_empty() || parsed.password().is_some();
        if !is_web || has_user || parsed.host_str().is_none() {
            return Err(malformed());
        }
        Ok(Self(parsed))
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }

    /// The URL with `path` after its own, as in `issuer` + `/.well-known/…`.
    pub(crate) fn below(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url.set_query(None);
        url.set_fragment(None);
        Self(url)
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

/// Without the query, in which some services have a key.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        url.set_query(None);
        f.debug_tuple("Endpoint").field(&url.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_be_asked_without_tls() {
        for yes in [
            "https://id.example/keys",
            "http://127.0.0.1:8080/keys",
            "http://127.9.9.9/",
            "http://[::1]/keys",
            "http://localhost:1/keys",
        ] {
            assert!(Endpoint::parse(yes).is_ok(), "{yes}");
        }
        for no in [
            "http://id.example/keys",
            "http://localhost.example/keys",
            "http://127.0.0.1.example/keys",
            "http://10.0.0.1/",
        ] {
            let error = ConfigError::EndpointNotSecure { url: no.into() };
            assert_eq!(Endpoint::parse(no), Err(error), "{no}");
            assert!(Endpoint::dangerous_plain(no).is_ok(), "{no}");
        }
    }

    #[test]
    fn what_is_no_url_of_the_web_is_refused() {
        for no in [
            "",
            "keys.json",
            "file:///etc/passwd",
            "ftp://id.example",
            "https://user:secret@id.example",
            "https://user@id.example",
            "https://",
        ] {
            let error = ConfigError::EndpointMalformed { url: no.into() };
            assert_eq!(Endpoint::parse(no), Err(error), "{no}");
        }
    }

    #[test]
    fn a_path_goes_below_the_path_that_is_there() {
        for (base, whole) in [
            ("https://id.example", "https://id.example/.well-known/x"),
            ("https://id.example/", "https://id.example/.well-known/x"),
            (
                "https://id.example/a/",
                "https://id.example/a/.well-known/x",
            ),
            (
                "https://id.example/a?q=1",
                "https://id.example/a/.well-known/x",
            ),
        ] {
            let below = Endpoint::parse(base).unwrap().below("/.well-known/x");
            assert_eq!(below.as_str(), whole);
        }
    }

    #[test]
    fn debug_shows_no_query() {
        let endpoint = Endpoint::parse("https://id.example/keys?key=s3cr3t").unwrap();
        assert!(!format!("{endpoint:?}").contains("s3cr3t"));
    }
}
