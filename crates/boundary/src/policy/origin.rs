//! Rule 2: which pages may connect.

use http::Uri;
use http::uri::Authority;

use crate::arrival::{Arrival, OriginHeader};

/// Which origins a route takes. Three cases are ruled separately: a listed origin, a foreign one,
/// and none at all, as from a native client.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one admits must be decided"
)]
pub enum OriginRule {
    /// Any `Origin` is refused, also an empty one; only native clients connect.
    None,
    /// The origin's host and port are those that the request addresses; or there is no `Origin`.
    #[default]
    SameHost,
    /// The origin is one of these, or its host is the request's when `same_host` is set; or there
    /// is no `Origin`.
    Listed {
        /// The origins.
        origins: Vec<Origin>,
        /// Whether the request's own host is as good as listed.
        same_host: bool,
    },
    /// Every page may connect. A credential that a browser sends by itself is still refused when
    /// the origin is foreign.
    Any,
}

/// How a rule judges an arrival's origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judgement {
    /// There is none.
    Absent,
    /// It is listed, or of the same host.
    Good,
    /// It is foreign, and the rule takes it none the less.
    Tolerated,
    /// The rule refuses it.
    Refused,
}

impl OriginRule {
    pub(crate) fn judge(&self, arrival: &Arrival) -> Judgement {
        let text = match arrival.origin() {
            OriginHeader::Absent => return Judgement::Absent,
            OriginHeader::Unreadable => return Judgement::Refused,
            OriginHeader::Present(text) => text,
        };
        let origin = Origin::parse(text);
        let same_host = || match (&origin, arrival.host()) {
            (Some(origin), Ok(host)) => origin.is_at(&host, arrival.peer().is_encrypted()),
            (None, _) | (_, Err(_)) => false,
        };
        let good = match self {
            Self::None => return Judgement::Refused,
            Self::SameHost | Self::Any => same_host(),
            Self::Listed {
                origins,
                same_host: too,
            } => {
                origin
                    .as_ref()
                    .is_some_and(|origin| origins.contains(origin))
                    || (*too && same_host())
            }
        };
        match (good, self) {
            (true, _) => Judgement::Good,
            (false, Self::Any) => Judgement::Tolerated,
            (false, Self::None | Self::SameHost | Self::Listed { .. }) => Judgement::Refused,
        }
    }
}

/// An origin: scheme, host and port (RFC 6454). Compared exactly, without wildcards.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: u16,
}

impl Origin {
    /// The origin written as `scheme://host` or `scheme://host:port`; none for `null`, for anything
    /// with a path, and for a scheme whose port is neither known nor given.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let bare = uri.path_and_query().is_none_or(|path| path == "/") && !text.ends_with('/');
        let authority = uri.authority()?;
        if !bare || authority.as_str().contains('@') {
            return None;
        }
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = explicit_port(authority)?.or_else(|| default_port(&scheme))?;
        Some(Self {
            scheme: scheme.into(),
            host: authority.host().to_ascii_lowercase().into(),
            port,
        })
    }

    /// Whether it is the origin of pages served at `host`. A host without a port has the default
    /// port of this origin's scheme: a proxy in front may have taken the encryption away. The other
    /// way round it counts: a page that came without encryption may be anybody's, whatever its host.
    fn is_at(&self, host: &Authority, encrypted: bool) -> bool {
        if encrypted && matches!(&*self.scheme, "http" | "ws") {
            return false;
        }
        let Some(port) = explicit_port(host) else {
            return false;
        };
        self.host.eq_ignore_ascii_case(host.host())
            && port.or_else(|| default_port(&self.scheme)) == Some(self.port)
    }
}

/// The port of an authority; `None` when what stands there is no port.
fn explicit_port(authority: &Authority) -> Option<Option<u16>> {
    match authority.port() {
        Some(port) => Some(Some(port.as_u16())),
        None => (!authority.as_str().ends_with(':')).then_some(None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::arrival::Peer;

    fn judge(rule: &OriginRule, host: &str, origin: Option<&str>) -> Judgement {
        let mut request = Request::get("/").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        rule.judge(&Arrival::new(head, Peer::local()))
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(
            Origin::parse("https://A.example"),
            Origin::parse("https://a.example:443")
        );
        assert_ne!(
            Origin::parse("http://a.example"),
            Origin::parse("https://a.example")
        );
        assert!(Origin::parse("app://localhost:1").is_some());
        for no in [
            "",
            "null",
            "a.example",
            "https://a.example/",
            "https://a/b",
            "https://u@a",
            "app://x",
        ] {
            assert_eq!(Origin::parse(no), None, "{no:?}");
        }
    }

    #[test]
    fn no_origin_is_absent_under_every_rule() {
        for rule in [OriginRule::None, OriginRule::SameHost, OriginRule::Any] {
            assert_eq!(judge(&rule, "a", None), Judgement::Absent);
        }
    }

    #[test]
    fn the_rule_none_refuses_every_origin() {
        for origin in ["http://a", "null", ""] {
            assert_eq!(
                judge(&OriginRule::None, "a", Some(origin)),
                Judgement::Refused
            );
        }
    }

    #[test]
    fn same_host_compares_host_and_port() {
        let judge = |host, origin| judge(&OriginRule::SameHost, host, Some(origin));
        assert_eq!(judge("a:7700", "http://a:7700"), Judgement::Good);
        assert_eq!(
            judge("gate.example", "https://gate.example"),
            Judgement::Good
        );
        assert_eq!(judge("a:7700", "http://a:7701"), Judgement::Refused);
        assert_eq!(judge("a:7700", "http://b:7700"), Judgement::Refused);
        assert_eq!(judge("a:7700", "null"), Judgement::Refused);
    }

    #[test]
    fn a_list_is_exact() {
        let rule = OriginRule::Listed {
            origins: Origin::parse("https://app.example").into_iter().collect(),
            same_host: false,
        };
        let judge = |origin| judge(&rule, "gate", Some(origin));
        assert_eq!(judge("https://app.example"), Judgement::Good);
        for no in [
            "https://app.example.evil",
            "http://app.example",
            "https://x.app.example",
            "http://gate",
        ] {
            assert_eq!(judge(no), Judgement::Refused, "{no}");
        }
    }

    #[test]
    fn the_rule_any_still_knows_a_foreign_origin() {
        assert_eq!(
            judge(&OriginRule::Any, "a", Some("http://b")),
            Judgement::Tolerated
        );
        assert_eq!(
            judge(&OriginRule::Any, "a", Some("http://a")),
            Judgement::Good
        );
    }
}
