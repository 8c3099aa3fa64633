//! Rule 1: which hosts a listener serves.

use http::uri::Authority;

use crate::arrival::{Arrival, NoHost};
use crate::decision::Rule;
use crate::refusal::{Refusal, RefusalKind};

/// The names under which a listener may be addressed.
///
/// A listener on loopback serves loopback names only, so that a page on a foreign name which was
/// made to resolve to 127.0.0.1 (DNS rebinding) finds nobody at home.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one admits must be decided"
)]
pub enum HostRule {
    /// Any name, or none.
    #[default]
    Any,
    /// `localhost`, names below it, 127.0.0.0/8 and `[::1]`.
    Loopback,
    /// These names, in any case, with any port.
    Names(Vec<Box<str>>),
}

impl HostRule {
    /// Rule 1: whether `arrival` addresses a host that is served. One that names several, or what is
    /// no host, is refused by every rule: those behind us might read another one than we do.
    ///
    /// # Errors
    ///
    /// [`RefusalKind::HostForbidden`].
    pub fn check(&self, arrival: &Arrival) -> Result<(), Refusal> {
        let host = arrival.host();
        let is_clear = host.is_ok() || !arrival.names_host();
        if is_clear && self.serves(host.as_ref().map_err(|no_host| *no_host)) {
            return Ok(());
        }
        let why = match host {
            Ok(host) => format!("this listener does not serve `{host}`"),
            Err(no_host) => no_host.to_string(),
        };
        Err(Refusal::new(RefusalKind::HostForbidden)
            .because(why)
            .by(Rule::Host))
    }

    fn serves(&self, host: Result<&Authority, NoHost>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Loopback | Self::Names(_), Err(NoHost)) => false,
            (Self::Loopback, Ok(host)) => is_loopback(host.host()),
            (Self::Names(names), Ok(host)) => names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(host.host())),
        }
    }
}

/// Whether `host`, as it stands in a URL, can only mean this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let address = name
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(name);
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => {
            let last = name.rsplit('.').next().unwrap_or_default();
            last.eq_ignore_ascii_case("localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::arrival::Peer;

    #[test]
    fn loopback_names_are_those_that_cannot_be_rebound() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "localhost.example",
            "127.0.0.1.example",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn names_count_in_any_case_and_with_any_port() {
        let rule = HostRule::Names(vec!["gate.example".into()]);
        let serves = |host: &str| rule.serves(Ok(&host.parse().expect("an authority")));
        assert!(serves("GATE.example:8443"));
        assert!(!serves("gate.example.evil"));
        assert!(!rule.serves(Err(NoHost)));
        assert!(HostRule::Any.serves(Err(NoHost)));
    }

    #[test]
    fn a_host_in_doubt_is_served_by_no_rule() {
        for (lines, served) in [
            (&[][..], true),
            (&["gate.example"], true),
            (&["gate.example", "gate.example"], false),
            (&["gate.example", "evil.example"], false),
            (&["user@gate.example"], false),
            (&["gate.example:x"], false),
        ] {
            let mut request = Request::get("/");
            for line in lines {
                request = request.header("host", *line);
            }
            let (head, ()) = request.body(()).expect("a request").into_parts();
            let arrival = Arrival::new(head, Peer::local());
            assert_eq!(HostRule::Any.check(&arrival).is_ok(), served, "{lines:?}");
        }
    }
}
