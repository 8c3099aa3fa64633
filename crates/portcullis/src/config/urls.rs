//! The URLs of listeners and upstreams, from the file and from flags alike.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;
use portcullis_gateway::config::ListenAddress;

use super::paths::expand;
use super::responses::Answers;

/// Where to listen, as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ListenUrl {
    /// Whether it is `wss://`.
    pub(crate) encrypted: bool,
    /// The place.
    pub(crate) place: ListenPlace,
}

/// The place at which to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ListenPlace {
    /// A host name or address, and a port.
    Host(String, u16),
    /// A unix socket.
    Unix(PathBuf),
}

/// A URL that nobody can listen at; the text names the mend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadListenUrl(String);

impl ListenUrl {
    /// Looks the host up. Of several addresses the first of IPv4 counts, or else the first.
    pub(crate) fn resolve(&self) -> io::Result<ListenAddress> {
        let (host, port) = match &self.place {
            ListenPlace::Unix(path) => return Ok(ListenAddress::Unix(path.clone())),
            ListenPlace::Host(host, port) => (host, *port),
        };
        resolve(host, port).map(ListenAddress::Tcp)
    }

    /// Its port, where it has one.
    pub(crate) const fn port(&self) -> Option<u16> {
        match &self.place {
            ListenPlace::Host(_, port) => Some(*port),
            ListenPlace::Unix(_) => None,
        }
    }

    /// What clients write into `Host`.
    pub(crate) fn authority(&self) -> String {
        match &self.place {
            ListenPlace::Host(host, port) => format!("{host}:{port}"),
            ListenPlace::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// The address of `host`; of several the first of IPv4, or else the first.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let first = found.iter().find(|address| address.is_ipv4());
    first
        .or_else(|| found.first())
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

impl FromStr for ListenUrl {
    type Err = BadListenUrl;

    fn from_str(text: &str) -> Result<Self, BadListenUrl> {
        let unsupported = || {
            BadListenUrl(format!(
                "unsupported listen URL `{text}`; expected `ws://HOST:PORT`, `wss://HOST:PORT` or `unix://PATH`"
            ))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(unsupported)?;
        let encrypted = match scheme {
            "ws" => false,
            "wss" => true,
            "unix" if rest.is_empty() => {
                let what = format!("`{text}` names no socket; write `unix://PATH`");
                return Err(BadListenUrl(what));
            }
            "unix" => {
                return Ok(Self {
                    encrypted: false,
                    place: ListenPlace::Unix(expand(rest)),
                });
            }
            _ => return Err(unsupported()),
        };
        let place = host_and_port(text, scheme, rest)?;
        Ok(Self { encrypted, place })
    }
}

fn host_and_port(text: &str, scheme: &str, rest: &str) -> Result<ListenPlace, BadListenUrl> {
    let bad = |what: String| Err(BadListenUrl(what));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !matches!(path, "" | "/") {
        return bad(format!(
            "`{text}` has a path, and a listener serves all paths; write `{scheme}://{authority}`"
        ));
    }
    let Ok(authority) = authority.parse::<Authority>() else {
        return bad(format!(
            "invalid listen URL `{text}`; expected `{scheme}://HOST:PORT`"
        ));
    };
    if authority.as_str().contains('@') {
        return bad(format!(
            "`{text}` has a user name, and nobody logs in to a listener; expected `{scheme}://HOST:PORT`"
        ));
    }
    match authority.port_u16() {
        Some(port) => Ok(ListenPlace::Host(authority.host().to_owned(), port)),
        None => bad(format!(
            "`{text}` names no port; write one, such as `{scheme}://{}:7700`, or 0 for any free one",
            authority.host()
        )),
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.encrypted { "wss" } else { "ws" };
        match &self.place {
            ListenPlace::Host(host, port) => write!(f, "{scheme}://{host}:{port}"),
            ListenPlace::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// What stands behind a route, as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum UpstreamUrl {
    /// A host.
    Host {
        /// `http`, `https`, `ws` or `wss`.
        scheme: &'static str,
        /// The host and, if it was written, the port.
        authority: Authority,
        /// The path before those of requests, without a slash at its end.
        base_path: String,
    },
    /// A unix socket.
    Unix(PathBuf),
    /// `builtin:echo`
    Echo,
    /// `builtin:demo`
    Demo,
    /// `responses:URL`, or `builtin:responses`
    Responses(Answers),
    /// `relay`, where hosts dial
    Relay,
    /// `remote:NAME`, the host of this name
    Remote(String),
}

impl UpstreamUrl {
    /// Whether it is reached by TLS.
    pub(crate) const fn is_encrypted(&self) -> bool {
        match self {
            Self::Host { scheme, .. } => matches!(scheme.as_bytes(), b"https" | b"wss"),
            Self::Responses(answers) => answers.is_encrypted(),
            Self::Unix(_) | Self::Echo | Self::Demo | Self::Relay | Self::Remote(_) => false,
        }
    }

    /// Whether its URL says that it speaks WebSocket and nothing else.
    pub(crate) const fn is_websocket_only(&self) -> bool {
        match self {
            Self::Host { scheme, .. } => matches!(scheme.as_bytes(), b"ws" | b"wss"),
            Self::Unix(_) => true,
            Self::Echo | Self::Demo | Self::Responses(_) | Self::Relay | Self::Remote(_) => false,
        }
    }
}

/// A URL that no upstream has; the text names the mend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUpstreamUrl(String);

impl FromStr for UpstreamUrl {
    type Err = BadUpstreamUrl;

    fn from_str(text: &str) -> Result<Self, BadUpstreamUrl> {
        match text {
            "builtin:echo" => return Ok(Self::Echo),
            "builtin:demo" => return Ok(Self::Demo),
            "relay" => return Ok(Self::Relay),
            "builtin:responses" => return Ok(Self::Responses(Answers::Scenes)),
            _ => {}
        }
        if let Some(url) = text.strip_prefix("responses:") {
            return responses(url);
        }
        if let Some(name) = text.strip_prefix("remote:") {
            let name = name.trim();
            if name.is_empty() {
                let what = format!("`{text}` names no host; write `remote:NAME`");
                return Err(BadUpstreamUrl(what));
            }
            return Ok(Self::Remote(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                let what = format!("`{text}` names no socket; write `unix:/PATH`");
                return Err(BadUpstreamUrl(what));
            }
            return Ok(Self::Unix(expand(path)));
        }
        let schemes = ["http", "https", "ws", "wss"];
        let written = text.split_once("://").map(|(scheme, _)| scheme);
        let Some(scheme) = schemes.into_iter().find(|own| Some(*own) == written) else {
            return Err(BadUpstreamUrl(format!(
                "unsupported upstream `{text}`; expected `http://`, `https://`, `ws://` or `wss://` with a host, \
                 `unix:/PATH`, `responses:` and such a URL, `relay`, `remote:NAME`, `builtin:echo`, `builtin:demo` or \
                 `builtin:responses`"
            )));
        };
        upstream_host(text, scheme)
    }
}

/// A service of models: a host that is reached by HTTP.
fn responses(url: &str) -> Result<UpstreamUrl, BadUpstreamUrl> {
    let bad = || {
        BadUpstreamUrl(format!(
            "`responses:{url}` names no service of models; write its base URL, such as `responses:https://HOST/v1`"
        ))
    };
    match url.parse()? {
        UpstreamUrl::Host {
            scheme,
            authority,
            base_path,
        } => Ok(UpstreamUrl::Responses(Answers::Service {
            speaks_websocket: scheme.starts_with("ws"),
            url: format!("{scheme}://{authority}{base_path}"),
        })),
        UpstreamUrl::Unix(_)
        | UpstreamUrl::Echo
        | UpstreamUrl::Demo
        | UpstreamUrl::Relay
        | UpstreamUrl::Remote(_)
        | UpstreamUrl::Responses(_) => Err(bad()),
    }
}

fn upstream_host(text: &str, scheme: &'static str) -> Result<UpstreamUrl, BadUpstreamUrl> {
    let bad = |what: &str| BadUpstreamUrl(format!("upstream `{text}` {what}"));
    let uri: Uri = text
        .parse()
        .map_err(|_| bad("is not a URL; write `http://HOST:PORT`"))?;
    let authority = uri.authority().cloned();
    let authority = authority.ok_or_else(|| bad("names no host; write `http://HOST:PORT`"))?;
    if authority.as_str().contains('@') {
        return Err(BadUpstreamUrl(
            "an upstream URL has no user name; put a token into `upstream_token_file` \
             (`--upstream-token-file`)"
                .to_owned(),
        ));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(bad("has a query or a fragment; leave it out"));
    }
    Ok(UpstreamUrl::Host {
        scheme,
        authority,
        base_path: uri.path().trim_end_matches('/').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_host_with_a_port_or_a_socket() {
        let read = |text: &str| text.parse::<ListenUrl>().map(|url| url.to_string());
        for good in [
            "ws://127.0.0.1:0",
            "ws://[::1]:4500",
            "wss://gate.example:443",
            "unix:///run/gate.sock",
        ] {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
        assert_eq!(read("ws://localhost:1/").as_deref(), Ok("ws://localhost:1"));
        for (bad, mend) in [
            ("http://127.0.0.1:1", "expected `ws://HOST:PORT`"),
            ("127.0.0.1:1", "expected `ws://HOST:PORT`"),
            ("ws://localhost", "such as `ws://localhost:7700`"),
            ("ws://127.0.0.1:0/rpc", "write `ws://127.0.0.1:0`"),
            ("ws://me@127.0.0.1:0", "user name"),
            ("unix://", "write `unix://PATH`"),
            ("ws://:1:2", "expected `ws://HOST:PORT`"),
        ] {
            let error = read(bad).expect_err(bad);
            assert!(error.0.contains(mend), "{bad}: {error}");
        }
    }

    #[test]
    fn an_upstream_is_a_host_a_socket_or_builtin() {
        let read = |text: &str| text.parse::<UpstreamUrl>();
        assert_eq!(read("builtin:echo"), Ok(UpstreamUrl::Echo));
        assert_eq!(read("relay"), Ok(UpstreamUrl::Relay));
        assert_eq!(read("remote:vm"), Ok(UpstreamUrl::Remote("vm".into())));
        assert_eq!(read("unix:/a/b"), Ok(UpstreamUrl::Unix("/a/b".into())));
        assert_eq!(read("unix:///a/b"), Ok(UpstreamUrl::Unix("/a/b".into())));
        let Ok(UpstreamUrl::Host {
            scheme,
            authority,
            base_path,
        }) = read("https://a.example:8443/base/")
        else {
            panic!("a host");
        };
        assert_eq!(
            (scheme, authority.as_str(), &*base_path),
            ("https", "a.example:8443", "/base")
        );
        for bad in [
            "",
            "ftp://a",
            "a:1",
            "http://",
            "http://a/?q",
            "http://u@a",
            "unix:",
            "remote:",
            "builtin:x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_resolve_and_addresses_stand_for_themselves() {
        assert_eq!(
            resolve("[::1]", 5).expect("an address").to_string(),
            "[::1]:5"
        );
        assert!(resolve("localhost", 5).expect("a name").ip().is_loopback());
    }
}
