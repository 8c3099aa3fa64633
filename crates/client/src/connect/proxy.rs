//! Proxies of HTTP, and who is reached without them.
//!
//! A proxy is asked for a tunnel with `CONNECT` (RFC 9110, 9.3.6), for `ws://` too: what a proxy
//! forwards otherwise it reads, and many do not know `Upgrade`.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::address::{Place, is_loopback};
use crate::error::ConfigError;

/// Which proxy is used for whom.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    plain: Option<Proxy>,
    secure: Option<Proxy>,
    none_for: Vec<Except>,
}

/// A proxy. Only the way to the proxy itself is unencrypted.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Proxy {
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// `Proxy-Authorization`, marked sensitive.
    pub(crate) authorization: Option<HeaderValue>,
}

impl Proxies {
    /// No proxy at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The proxies that the environment names: `HTTPS_PROXY` for `wss://`, `HTTP_PROXY` for `ws://`,
    /// `ALL_PROXY` for what has none of its own, and `NO_PROXY` for those who are reached without. Small
    /// letters go before capitals.
    ///
    /// `HTTP_PROXY` in capitals is not read where `REQUEST_METHOD` is set: under CGI it is what a client
    /// has sent in a header `Proxy`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Proxy`] when one is no `http://` URL.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// As [`Proxies::from_environment`], with the variables that `lookup` finds.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Proxy`] when one is no `http://` URL.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let is_cgi = set("REQUEST_METHOD").is_some();
        let proxy = |names: &[&str]| {
            let allowed = |name: &&&str| !(is_cgi && **name == "HTTP_PROXY");
            let found = names
                .iter()
                .filter(allowed)
                .find_map(|name| Some((name, set(name)?)));
            found
                .map(|(name, url)| {
                    Proxy::parse(url.trim()).map_err(|why| ConfigError::Proxy {
                        variable: (*name).into(),
                        why,
                    })
                })
                .transpose()
        };
        let list = set("no_proxy")
            .or_else(|| set("NO_PROXY"))
            .unwrap_or_default();
        Ok(Self {
            plain: proxy(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            secure: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            none_for: list.split([',', ' ']).filter_map(Except::parse).collect(),
        })
    }

    /// The proxy on the way to `place`. This machine is reached without one.
    pub(crate) fn towards(&self, place: &Place) -> Option<&Proxy> {
        let Place::Host {
            host,
            port,
            is_secure,
        } = place
        else {
            return None;
        };
        let proxy = if *is_secure {
            &self.secure
        } else {
            &self.plain
        };
        let is_excepted = is_loopback(host) || self.none_for.iter().any(|e| e.means(host, *port));
        proxy.as_ref().filter(|_| !is_excepted)
    }
}

impl Proxy {
    fn parse(url: &str) -> Result<Self, &'static str> {
        let with_scheme = match url.split_once("://") {
            Some(("http", _)) => url.to_owned(),
            None => format!("http://{url}"),
            Some(_) => return Err("is no `http://` URL; no other kind is known here"),
        };
        let uri: Uri = with_scheme.parse().map_err(|_| "is not a URL")?;
        let authority = uri.authority().ok_or("names no host")?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() {
            return Err("names no host");
        }
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        Ok(Self {
            host: host.into(),
            port: authority.port_u16().unwrap_or(80),
            authorization: user.map(basic).transpose()?,
        })
    }
}

/// `Basic` with the user and password of a URL (RFC 7617).
fn basic(user: &str) -> Result<HeaderValue, &'static str> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut pair = percent_decode_str(name).collect::<Vec<u8>>();
    pair.push(b':');
    pair.extend(percent_decode_str(password));
    let value = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(value).map_err(|_| "has a user that cannot be sent")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Without the user and the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// One of those who are reached without a proxy.
#[derive(Clone, Debug)]
enum Except {
    All,
    /// A name and all below it, at one port or at any.
    Name(Box<str>, Option<u16>),
    /// A network, of which the first bits count.
    Network(IpAddr, u8),
}

impl Except {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::All);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let all = if ip.is_ipv4() { 32 } else { 128 };
            return Some(Self::Network(ip, bits.unwrap_or(all).min(all)));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let name = name.trim_start_matches('*').trim_start_matches('.');
        (!name.is_empty()).then(|| Self::Name(name.to_ascii_lowercase().into(), port))
    }

    fn means(&self, host: &str, at: u16) -> bool {
        match self {
            Self::All => true,
            Self::Name(name, port) => {
                let host = host.to_ascii_lowercase();
                let below = host.strip_suffix(&**name);
                port.is_none_or(|port| port == at)
                    && below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }
            Self::Network(network, bits) => host
                .parse()
                .is_ok_and(|ip: IpAddr| is_within(ip, *network, *bits)),
        }
    }
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let rest = width - u32::from(bits);
    ip.checked_shr(rest).unwrap_or(0) == network.checked_shr(rest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, ConfigError> {
        Proxies::from_variables(|wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn towards(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let address = Address::parse(url).expect("an address");
        let proxies = proxies(variables).expect("proxies");
        let proxy = proxies.towards(address.place())?;
        Some(format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let variables = [
            ("HTTPS_PROXY", "http://secure.example:3128"),
            ("HTTP_PROXY", "plain.example"),
        ];
        let secure = towards(&variables, "wss://a.example");
        assert_eq!(secure.as_deref(), Some("secure.example:3128"));
        let plain = towards(&variables, "ws://a.example");
        assert_eq!(plain.as_deref(), Some("plain.example:80"));
        let all = [("all_proxy", "http://[::1]:1"), ("https_proxy", "  ")];
        assert_eq!(towards(&all, "wss://a.example").as_deref(), Some("::1:1"));
        assert_eq!(towards(&[], "wss://a.example"), None);
    }

    #[test]
    fn a_header_of_a_cgi_request_is_no_proxy() {
        let cgi = [("HTTP_PROXY", "evil.example"), ("REQUEST_METHOD", "GET")];
        assert_eq!(towards(&cgi, "ws://a.example"), None);
    }

    #[test]
    fn some_are_reached_without_a_proxy() {
        let no_proxy =
            "intern.example, .corp.example *.dot.example,10.0.0.0/8,[fd00::]/8,b.example:8443";
        let variables = [("ALL_PROXY", "p.example:1"), ("NO_PROXY", no_proxy)];
        for (url, is_direct) in [
            ("wss://intern.example", true),
            ("wss://a.INTERN.example", true),
            ("wss://notintern.example", false),
            ("wss://a.corp.example", true),
            ("wss://x.dot.example", true),
            ("ws://10.9.8.7", true),
            ("ws://11.0.0.1", false),
            ("ws://[fd12::1]", true),
            ("ws://[fe00::1]", false),
            ("wss://b.example:8443", true),
            ("wss://b.example", false),
            ("ws://localhost:9", true),
            ("ws://127.0.0.2", true),
            ("unix:/a", true),
        ] {
            assert_eq!(towards(&variables, url).is_none(), is_direct, "{url}");
        }
        let star = [("ALL_PROXY", "p.example"), ("no_proxy", "*")];
        assert_eq!(towards(&star, "wss://a.example"), None);
    }

    #[test]
    fn a_user_is_sent_and_never_shown() {
        let variables = [("HTTPS_PROXY", "http://me:s%40cret@p.example:1")];
        let proxies = proxies(&variables).expect("proxies");
        let proxy = proxies.secure.as_ref().expect("a proxy");
        let sent = proxy.authorization.as_ref().expect("a user");
        assert_eq!(sent, "Basic bWU6c0BjcmV0");
        assert!(sent.is_sensitive());
        assert!(!format!("{proxies:?}").contains("cret"), "{proxies:?}");
    }

    #[test]
    fn other_kinds_of_proxies_are_refused() {
        for url in ["socks5://p.example", "https://p.example", "http://"] {
            let error = proxies(&[("HTTPS_PROXY", url)]).expect_err(url);
            assert!(error.to_string().starts_with("the proxy in HTTPS_PROXY"));
        }
    }
}
