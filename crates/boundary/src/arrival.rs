//! An HTTP request or WebSocket handshake about which nothing has been decided.

use std::fmt;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version};

use crate::decision::Pass;
use crate::refusal::HandshakeFault;

/// The protocol that an arrival asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "one decision for both; there is no third"
)]
pub enum Protocol {
    /// A plain HTTP request; server-sent events are one.
    Http,
    /// A WebSocket handshake.
    WebSocket,
}

impl Protocol {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::WebSocket => "websocket",
        }
    }
}

/// A request about which nothing has been decided.
///
/// It keeps the request's head to itself. Only [`Arrival::enter`] gives it back, and that asks for a
/// [`Pass`]: an arrival that is dropped, in whatever branch and for whatever reason, has been
/// refused, since nobody can pass on what was in it.
#[must_use = "an arrival that is dropped is refused"]
pub struct Arrival {
    head: Parts,
    peer: Peer,
    protocol: Protocol,
}

/// The other end of the connection on which an arrival came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Peer {
    address: Option<IpAddr>,
    encrypted: bool,
    certificate_fingerprint: Option<Box<str>>,
}

impl Peer {
    /// A peer without an address, such as one on a unix socket.
    #[must_use]
    pub const fn local() -> Self {
        Self {
            address: None,
            encrypted: false,
            certificate_fingerprint: None,
        }
    }

    /// A peer at `address`. An IPv4 address in IPv6 form counts as the IPv4 address.
    #[must_use]
    pub const fn at(address: IpAddr) -> Self {
        Self {
            address: Some(address.to_canonical()),
            encrypted: false,
            certificate_fingerprint: None,
        }
    }

    /// Says that the connection is encrypted.
    #[must_use]
    pub const fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    /// Gives the fingerprint of the client certificate that was verified, as `sha256:` and hex.
    #[must_use]
    pub fn with_certificate(mut self, fingerprint: impl Into<Box<str>>) -> Self {
        self.certificate_fingerprint = Some(fingerprint.into());
        self
    }

    /// Its address, where it has one.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The fingerprint of its verified client certificate.
    #[must_use]
    pub fn certificate_fingerprint(&self) -> Option<&str> {
        self.certificate_fingerprint.as_deref()
    }
}

impl Arrival {
    /// A request with the head `head` that came from `peer`.
    pub fn new(head: Parts, peer: Peer) -> Self {
        let protocol = if has_token(&head.headers, header::UPGRADE, "websocket") {
            Protocol::WebSocket
        } else {
            Protocol::Http
        };
        Self {
            head,
            peer,
            protocol,
        }
    }

    /// Gives the request's head to whoever holds a pass.
    #[must_use]
    pub fn enter(self, _pass: &Pass) -> Parts {
        self.head
    }

    /// Gives a copy of the request's head to whoever holds a pass, and keeps the arrival, about which
    /// something may still have to be said.
    #[must_use]
    pub fn head_for(&self, _pass: &Pass) -> Parts {
        self.head.clone()
    }

    /// The protocol that it asks for: WebSocket where `Upgrade` names it, HTTP otherwise.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where it came from.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The path of its target, as it was sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The query of its target, as it was sent. There may be a credential in it: do not log it.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    /// Its method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.head.method
    }

    /// The authority that it addresses: the target's own, which counts before the `Host` header
    /// (RFC 9112, 3.2.2), or the header's.
    ///
    /// # Errors
    ///
    /// [`NoHost`] when there is none, when there are several headers, when the header is not an
    /// authority, or when it and the target disagree.
    pub fn host(&self) -> Result<Authority, NoHost> {
        let mut named = self.head.headers.get_all(header::HOST).iter();
        let header = match (named.next(), named.next()) {
            (_, Some(_)) => return Err(NoHost),
            (Some(value), None) => Some(Authority::try_from(value.as_bytes()).map_err(|_| NoHost)?),
            (None, None) => None,
        };
        let host = match (self.head.uri.authority(), header) {
            (Some(target), Some(header)) if *target != header => return Err(NoHost),
            (Some(target), _) => target.clone(),
            (None, header) => header.ok_or(NoHost)?,
        };
        if is_host(&host) {
            Ok(host)
        } else {
            Err(NoHost)
        }
    }

    /// Whether it says anything of a host, clear or not.
    pub(crate) fn names_host(&self) -> bool {
        self.head.uri.authority().is_some() || self.head.headers.contains_key(header::HOST)
    }

    /// Its `Origin`.
    #[must_use]
    pub fn origin(&self) -> OriginHeader<'_> {
        let mut values = self.head.headers.get_all(header::ORIGIN).iter();
        match (values.next(), values.next()) {
            (None, _) => OriginHeader::Absent,
            (Some(value), None) => value
                .to_str()
                .map_or(OriginHeader::Unreadable, OriginHeader::Present),
            (Some(_), Some(_)) => OriginHeader::Unreadable,
        }
    }

    /// Whether a browser says that this request was caused by a page of the same origin, or by the
    /// person who typed its address (`Sec-Fetch-Site`, which scripts cannot set).
    #[must_use]
    pub fn is_same_site_fetch(&self) -> bool {
        let mut values = self.head.headers.get_all("sec-fetch-site").iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value == "same-origin" || value == "none",
            _ => false,
        }
    }

    /// Whether a browser says that a page of another site or host caused this request, which has no
    /// `Origin`: somebody followed a link.
    #[must_use]
    pub fn is_caused_elsewhere(&self) -> bool {
        let mut values = self.head.headers.get_all("sec-fetch-site").iter();
        let is_elsewhere = match (values.next(), values.next()) {
            (Some(value), None) => value == "cross-site" || value == "same-site",
            _ => false,
        };
        is_elsewhere && self.origin() == OriginHeader::Absent
    }

    /// Whether a browser asks for a page to show to a person, as far as it says: a `GET` that accepts
    /// HTML, and no part of another page (`Sec-Fetch-Dest`).
    #[must_use]
    pub fn is_page_visit(&self) -> bool {
        let texts = |name| {
            let values = self.head.headers.get_all::<HeaderName>(name);
            values.iter().filter_map(|value| value.to_str().ok())
        };
        let accepts_html = texts(header::ACCEPT)
            .flat_map(|accept| accept.split(','))
            .filter_map(|range| range.split(';').next())
            .any(|range| range.trim().eq_ignore_ascii_case("text/html"));
        let mut destinations = texts(HeaderName::from_static("sec-fetch-dest"));
        self.protocol == Protocol::Http
            && self.head.method == Method::GET
            && accepts_html
            && destinations.all(|destination| destination == "document")
    }

    /// The subprotocols that it offers, in order, over all header lines.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        crate::carrier::offered_subprotocols(&self.head.headers)
    }

    /// The first subprotocol that it offers and that is no credential: the one that a server which
    /// speaks none of them may select, so that a browser keeps the socket until it is closed.
    #[must_use]
    pub fn selectable_subprotocol(&self) -> Option<&str> {
        self.subprotocols()
            .find(|protocol| !crate::carrier::is_credential(protocol))
    }

    /// The key of its handshake.
    #[must_use]
    pub fn handshake_key(&self) -> Option<&str> {
        sole(&self.head.headers, &header::SEC_WEBSOCKET_KEY)
    }

    /// Checks the shape of a WebSocket handshake (RFC 6455, 4.2.1), in the order in which the
    /// app-server checks it.
    ///
    /// # Errors
    ///
    /// The first fault.
    pub fn check_handshake(&self) -> Result<(), HandshakeFault> {
        let headers = &self.head.headers;
        if self.head.method != Method::GET {
            return Err(HandshakeFault::Method);
        }
        if !has_token(headers, header::CONNECTION, "upgrade") {
            return Err(HandshakeFault::Connection);
        }
        if self.protocol != Protocol::WebSocket {
            return Err(HandshakeFault::Upgrade);
        }
        if sole(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(HandshakeFault::Version);
        }
        if !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
            return Err(HandshakeFault::KeyMissing);
        }
        if !sole(headers, &header::SEC_WEBSOCKET_KEY).is_some_and(is_handshake_key) {
            return Err(HandshakeFault::Key);
        }
        if self.head.version != Version::HTTP_11 {
            return Err(HandshakeFault::Protocol);
        }
        let empty = sole(headers, &header::CONTENT_LENGTH).is_none_or(|length| length == "0");
        if headers.contains_key(header::TRANSFER_ENCODING) || !empty {
            return Err(HandshakeFault::Body);
        }
        Ok(())
    }

    pub(crate) const fn head(&self) -> &Parts {
        &self.head
    }
}

/// Without the headers and the query, where credentials travel.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("protocol", &self.protocol)
            .field("method", self.method())
            .field("path", &self.path())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// An arrival that does not say, in one voice, which host it addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the request does not name one host")]
#[non_exhaustive]
pub struct NoHost;

/// The `Origin` of an arrival.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three cases are ruled separately"
)]
pub enum OriginHeader<'a> {
    /// There is none: not a browser, or a browser's plain request of the same origin.
    Absent,
    /// There is one.
    Present(&'a str),
    /// There are several, or one that is not text.
    Unreadable,
}

/// Whether a comma-separated list header has `token`, in any case (RFC 9110, 5.6.1).
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(token))
        })
    })
}

/// Whether an authority is a host and at most a port, as in `Host` (RFC 9110, 7.2): neither a user
/// nor a port that is none.
fn is_host(authority: &Authority) -> bool {
    let text = authority.as_str();
    let port = text.strip_prefix(authority.host());
    port.is_some_and(|port| {
        port.strip_prefix(':')
            .unwrap_or(port)
            .bytes()
            .all(|b| b.is_ascii_digit())
    })
}

/// The value of a header that may stand only once; `Some("")` when it is not text.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => Some(value.to_str().unwrap_or_default()),
        (Some(_), Some(_)) => Some(""),
    }
}

/// 16 bytes in padded base64: 22 characters, of which the last holds only 2 bits, and `==`.
fn is_handshake_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else {
        return false;
    };
    digits.len() == 22
        && digits
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn arrival(lines: &[(&str, &str)]) -> Arrival {
        let mut request = Request::get("/x");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        Arrival::new(
            request.body(()).expect("a request").into_parts().0,
            Peer::local(),
        )
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn debug_shows_no_place_where_a_credential_may_be() {
        let request = Request::get("/x?token=s3cr3t").header("authorization", "Bearer s3cr3t");
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let shown = format!("{:?}", Arrival::new(head, Peer::local()));
        assert!(shown.contains("/x") && !shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn a_good_handshake_has_no_fault() {
        assert_eq!(arrival(&GOOD).check_handshake(), Ok(()));
    }

    #[test]
    fn each_missing_part_is_its_own_fault() {
        for (left_out, fault) in [
            ("connection", HandshakeFault::Connection),
            ("upgrade", HandshakeFault::Upgrade),
            ("sec-websocket-version", HandshakeFault::Version),
            ("sec-websocket-key", HandshakeFault::KeyMissing),
        ] {
            let rest: Vec<_> = GOOD
                .into_iter()
                .filter(|(name, _)| *name != left_out)
                .collect();
            assert_eq!(arrival(&rest).check_handshake(), Err(fault), "{left_out}");
        }
    }

    #[test]
    fn doubled_or_broken_parts_are_faults() {
        for (extra, fault) in [
            (("sec-websocket-version", "13"), HandshakeFault::Version),
            (
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                HandshakeFault::Key,
            ),
            (("content-length", "1"), HandshakeFault::Body),
            (("content-length", "0, 0"), HandshakeFault::Body),
            (("transfer-encoding", "chunked"), HandshakeFault::Body),
        ] {
            let mut lines = GOOD.to_vec();
            lines.push(extra);
            assert_eq!(arrival(&lines).check_handshake(), Err(fault), "{extra:?}");
        }
        for key in [
            "",
            "x",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25j!Q==",
        ] {
            let mut lines = GOOD.to_vec();
            lines[3].1 = key;
            assert_eq!(
                arrival(&lines).check_handshake(),
                Err(HandshakeFault::Key),
                "{key:?}"
            );
        }
    }

    #[test]
    fn a_host_is_named_in_one_voice() {
        assert_eq!(arrival(&[]).host(), Err(NoHost));
        assert_eq!(arrival(&[("host", "a"), ("host", "a")]).host(), Err(NoHost));
        for no_host in ["a b", "u@a", "a:x", "a:1:2", "[::1", "[::1]x"] {
            let host = arrival(&[("host", no_host)]).host();
            assert_eq!(host, Err(NoHost), "{no_host}");
        }
        assert_eq!(
            arrival(&[("host", "a:1")])
                .host()
                .map(|host| host.to_string()),
            Ok("a:1".into())
        );
    }

    #[test]
    fn an_origin_is_absent_present_or_unreadable() {
        assert_eq!(arrival(&[]).origin(), OriginHeader::Absent);
        assert_eq!(
            arrival(&[("origin", "null")]).origin(),
            OriginHeader::Present("null")
        );
        let two = arrival(&[("origin", "a"), ("origin", "a")]);
        assert_eq!(two.origin(), OriginHeader::Unreadable);
    }
}
