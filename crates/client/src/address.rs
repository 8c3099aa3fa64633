//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use crate::error::ConfigError;

/// The address of a server: what to dial, and what to ask for there.
#[derive(Clone, Eq, PartialEq)]
pub struct Address {
    place: Place,
    authority: Authority,
    target: PathAndQuery,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// A host and port, by TLS or without.
    Host {
        host: Box<str>,
        port: u16,
        is_secure: bool,
    },
    /// A socket of this machine.
    Unix(PathBuf),
}

impl Address {
    /// Reads `ws://`, `wss://`, `http://`, `https://` with a host, or `unix:/PATH`, whose target is `/`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Address`] when it is no such URL, or has a user name, a password or a fragment.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        let bad = |why| ConfigError::Address { why };
        if let Some(path) = url.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(bad("names no socket; write `unix:/PATH`"));
            }
            return Ok(Self {
                place: Place::Unix(path.into()),
                authority: Authority::from_static("localhost"),
                target: PathAndQuery::from_static("/"),
            });
        }
        let uri: Uri = url
            .parse()
            .map_err(|_| bad("is not a URL; write `wss://HOST/PATH`"))?;
        let is_secure = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return Err(bad("is no `ws://`, `wss://` or `unix:` URL")),
        };
        if url.contains('#') {
            return Err(bad(
                "has a fragment, which a server never sees; leave it out",
            ));
        }
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?.clone();
        if authority.as_str().contains('@') {
            return Err(bad("has a user name; give a token in another way"));
        }
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() {
            return Err(bad("names no host"));
        }
        let usual_port = if is_secure { 443 } else { 80 };
        Ok(Self {
            place: Place::Host {
                host: bare.into(),
                port: authority.port_u16().unwrap_or(usual_port),
                is_secure,
            },
            target: uri
                .path_and_query()
                .cloned()
                .unwrap_or(PathAndQuery::from_static("/")),
            authority,
        })
    }

    /// The same target, dialled at a socket of this machine; what goes over it is not encrypted.
    #[must_use]
    pub fn at_unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.place = Place::Unix(path.into());
        self
    }

    /// The host, and the port where it is not the usual one, as they go into `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The path that is asked for, without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// Whether nobody between here and there can read what is sent: it is encrypted, or stays on this
    /// machine.
    #[must_use]
    pub fn keeps_secrets(&self) -> bool {
        match &self.place {
            Place::Unix(_) => true,
            Place::Host {
                host, is_secure, ..
            } => *is_secure || is_loopback(host),
        }
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(
            self.place,
            Place::Host {
                is_secure: true,
                ..
            }
        )
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) const fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Another target at the same place.
    pub(crate) fn with_target(&self, target: PathAndQuery) -> Self {
        Self {
            target,
            ..self.clone()
        }
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Without the query, in which some services have a secret.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        match &self.place {
            Place::Unix(socket) => write!(f, "unix:{}", socket.display()),
            Place::Host { is_secure, .. } => {
                let scheme = if *is_secure { "wss" } else { "ws" };
                write!(f, "{scheme}://{}{path}", self.authority)
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_usual_port() {
        for (url, host, port, secure, target) in [
            ("ws://a.example", "a.example", 80, false, "/"),
            ("wss://a.example/x?y=1", "a.example", 443, true, "/x?y=1"),
            ("https://a.example:8443/", "a.example", 8443, true, "/"),
            ("http://[::1]:9/z", "::1", 9, false, "/z"),
        ] {
            let address = Address::parse(url).expect(url);
            let expected = Place::Host {
                host: host.into(),
                port,
                is_secure: secure,
            };
            assert_eq!(address.place(), &expected, "{url}");
            assert_eq!(address.target().as_str(), target, "{url}");
        }
        for url in ["unix:/run/a.sock", "unix:///run/a.sock"] {
            let address = Address::parse(url).expect(url);
            assert_eq!(address.place(), &Place::Unix("/run/a.sock".into()));
            assert_eq!(address.authority(), "localhost");
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for url in [
            "",
            "a.example",
            "/x",
            "ftp://a.example",
            "wss://",
            "wss://me:secret@a.example",
            "wss://a.example/#x",
            "unix:",
            "unix://",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert!(matches!(error, ConfigError::Address { .. }), "{url}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn secrets_are_kept_by_encryption_and_by_this_machine() {
        for (url, keeps) in [
            ("wss://a.example", true),
            ("ws://127.8.0.1", true),
            ("ws://[::1]", true),
            ("ws://localhost", true),
            ("unix:/a", true),
            ("ws://a.example", false),
            ("ws://10.0.0.1", false),
            ("ws://localhost.example", false),
        ] {
            assert_eq!(
                Address::parse(url).expect(url).keeps_secrets(),
                keeps,
                "{url}"
            );
        }
    }

    #[test]
    fn neither_display_nor_debug_shows_a_query() {
        let address = Address::parse("wss://a.example/x?key=s3cr3t").expect("an address");
        assert_eq!(address.to_string(), "wss://a.example/x");
        assert!(!format!("{address:?}").contains("s3cr3t"));
    }
}
