//! Arrivals, made line by line.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use portcullis_boundary::carrier::{Carrier, Dialect};
use portcullis_boundary::{Arrival, Credential, Peer};

/// The host that arrivals address unless they say otherwise.
pub const HOST_NAME: &str = "gate.example";

/// The origin of pages of that host.
pub const OWN_ORIGIN: &str = "https://gate.example";

/// A page of somebody else.
pub const FOREIGN_ORIGIN: &str = "https://evil.example";

/// A WebSocket handshake for `/x` at [`HOST_NAME`], with the key of RFC 6455's example, from a
/// peer without an address. No credential, no origin.
pub fn handshake() -> ArrivalBuilder {
    plain()
        .line("connection", "Upgrade")
        .line("upgrade", "websocket")
        .line("sec-websocket-version", "13")
        .line("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// A plain request for `/x` at [`HOST_NAME`], from a peer without an address.
pub fn plain() -> ArrivalBuilder {
    ArrivalBuilder {
        method: Method::GET,
        uri: Uri::from_static("/x"),
        headers: HeaderMap::new(),
        peer: Peer::local(),
    }
    .host(HOST_NAME)
}

/// What an arrival will be.
///
/// # Panics
///
/// Its methods panic at what cannot stand in a request at all.
#[derive(Clone, Debug)]
#[must_use = "it arrives when it is built"]
pub struct ArrivalBuilder {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: Peer,
}

impl ArrivalBuilder {
    /// Addresses `host`.
    pub fn host(self, host: &str) -> Self {
        self.without(HOST).line("host", host)
    }

    /// Comes from a page of `origin`.
    pub fn origin(self, origin: &str) -> Self {
        self.without(ORIGIN).line("origin", origin)
    }

    /// Asks for `target`, a path with or without a query.
    pub fn target(mut self, target: &str) -> Self {
        self.uri = target.parse().expect("a target");
        self
    }

    /// Asks by `method`.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Comes from `address`.
    pub fn from(mut self, address: IpAddr) -> Self {
        self.peer = Peer::at(address);
        self
    }

    /// Adds a header line, also where there is one of its name.
    pub fn line(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// Takes away the lines of this name.
    pub fn without(mut self, name: impl Into<HeaderName>) -> Self {
        self.headers.remove(name.into());
        self
    }

    /// Adds the line `Authorization: Bearer` with `token`.
    pub fn bearer(self, token: &str) -> Self {
        self.without(AUTHORIZATION)
            .line("authorization", &format!("Bearer {token}"))
    }

    /// Adds the cookie `name`.
    pub fn cookie(self, name: &str, token: &str) -> Self {
        self.without(COOKIE)
            .line("cookie", &format!("{name}={token}"))
    }

    /// Offers the subprotocol `chat`, and `token` as another in `dialect`.
    pub fn subprotocol(self, dialect: Dialect, token: &str) -> Self {
        let written = dialect.write(token).expect("the dialect can write it");
        self.without(SEC_WEBSOCKET_PROTOCOL)
            .line("sec-websocket-protocol", &format!("chat, {written}"))
    }

    /// Carries `token` as a client would attach it to `carrier`.
    pub fn carrying(self, carrier: &Carrier, token: &str) -> Self {
        let peer = self.peer.clone();
        let mut head = self.head();
        let credential = Credential::new(token, carrier.kind());
        carrier
            .attach(&credential, &mut head)
            .expect("the carrier can hold it");
        Self {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            peer,
        }
    }

    /// The arrival.
    pub fn build(self) -> Arrival {
        let peer = self.peer.clone();
        Arrival::new(self.head(), peer)
    }

    /// The same as a request, with the peer in its extensions where the tower layer looks for it.
    pub fn request<B: Default>(self) -> Request<B> {
        let peer = self.peer.clone();
        let mut head = self.head();
        head.extensions.insert(peer);
        Request::from_parts(head, B::default())
    }

    fn head(self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method;
        head.uri = self.uri;
        head.headers = self.headers;
        head
    }
}
