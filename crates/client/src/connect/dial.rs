//! One way out, for sockets and for requests: the host's addresses, the proxy, TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Method, Request, StatusCode};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::proxy::{Proxies, Proxy};
use super::speak::{Spoken, speak};
use super::tls::Tls;
use super::unreachable::{Step, Unreachable};
use crate::address::{Address, Place};

/// How servers are reached. Clones share certificates.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Tls,
    proxies: Proxies,
    connect_timeout: Duration,
}

impl Dialer {
    /// Reaches servers by `tls` and without proxies, within 10 s.
    #[must_use]
    pub fn new(tls: Tls) -> Self {
        Self {
            tls,
            proxies: Proxies::none(),
            connect_timeout: Duration::from_secs(10),
        }
    }

    /// Through `proxies`.
    #[must_use]
    pub fn with_proxies(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// Within this time, from the lookup of the host to the end of TLS's handshake.
    #[must_use]
    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// A connection to `address`. Cancel-safe: dropping the future drops the connection.
    pub(crate) async fn dial(&self, address: &Address) -> Result<Stream, Unreachable> {
        let end = Instant::now() + self.connect_timeout;
        let dialled = timeout_at(end, self.connect(address, end)).await;
        dialled.unwrap_or_else(|_| {
            let text = format!("no answer within {:?}", self.connect_timeout);
            Err(Unreachable::passing(Step::Connect, text))
        })
    }

    async fn connect(&self, address: &Address, end: Instant) -> Result<Stream, Unreachable> {
        let (host, port, is_secure) = match address.place() {
            Place::Unix(path) => {
                let connected = UnixStream::connect(path).await;
                let failed = |error| {
                    let text = format!("{error} (unix socket {})", path.display());
                    Unreachable::passing(Step::Connect, text)
                };
                return Ok(Box::new(connected.map_err(failed)?));
            }
            Place::Host {
                host,
                port,
                is_secure,
            } => (host, *port, *is_secure),
        };
        let stream: Stream = match self.proxies.towards(address.place()) {
            None => Box::new(tcp(host, port, end).await?),
            Some(proxy) => tunnel(proxy, host, port, end).await?,
        };
        if !is_secure {
            return Ok(stream);
        }
        let name = ServerName::try_from(host.to_string()).map_err(|_| {
            Unreachable::lasting(Step::Tls, format!("`{host}` is no name that TLS can check"))
        })?;
        let connector = TlsConnector::from(self.tls.0.clone());
        let shaken = connector.connect(name, stream).await;
        Ok(Box::new(shaken.map_err(|error| {
            Unreachable::passing(Step::Tls, mistrust(&error))
        })?))
    }
}

/// A connection of whatever kind: TCP or a unix socket, plain or by TLS, through a proxy or not.
pub type Stream = Box<dyn Duplex>;

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// `Host`, as the address has it.
pub(crate) fn host_header(address: &Address) -> Result<HeaderValue, Unreachable> {
    HeaderValue::from_str(address.authority())
        .map_err(|_| Unreachable::lasting(Step::Handshake, "the host is no text"))
}

/// Tries the host's addresses one after the other. Each has its share of the time that is left, so
/// that one which never answers does not keep the next from being tried.
async fn tcp(host: &str, port: u16, end: Instant) -> Result<TcpStream, Unreachable> {
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| Unreachable::passing(Step::Lookup, error))?;
    let addresses: Vec<SocketAddr> = found.take(MOST_ADDRESSES).collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(1);
        let share = end.saturating_duration_since(Instant::now()) / left;
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Small messages must not wait for a full segment.
                let _best_effort: io::Result<()> = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
        }
    }
    Err(Unreachable::passing(Step::Connect, last))
}

/// A tunnel through `proxy` (RFC 9110, 9.3.6).
async fn tunnel(proxy: &Proxy, host: &str, port: u16, end: Instant) -> Result<Stream, Unreachable> {
    let failed = |text: &dyn std::fmt::Display| Unreachable::passing(Step::Proxy, text);
    let stream = tcp(&proxy.host, proxy.port, end)
        .await
        .map_err(|error| failed(&error))?;
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let target = format!("{bracketed}:{port}");
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&target)
        .header(HOST, &target)
        .header(USER_AGENT, AGENT);
    if let Some(authorization) = &proxy.authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Bytes::new()).map_err(|error| failed(&error))?;
    // Of a proxy's refusal the status is all that counts.
    match speak(Box::new(stream), request, 0).await {
        Ok(Spoken::Switched(_, stream, early)) if early.is_empty() => Ok(stream),
        Ok(Spoken::Switched(..)) => Err(failed(&"it speaks before it is spoken to")),
        Ok(Spoken::Answered(answer)) => Err(refused_by_proxy(answer.status)),
        Err(error) => Err(failed(&error)),
    }
}

/// Why TLS was not spoken. What people meet most has words of its own.
fn mistrust(error: &io::Error) -> String {
    use rustls::{CertificateError, Error};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is of no authority that is trusted here (UnknownIssuer)".to_owned()
        }
        Some(_) | None => error.to_string(),
    }
}

fn refused_by_proxy(status: StatusCode) -> Unreachable {
    match status.as_u16() {
        407 => Unreachable::lasting(
            Step::Proxy,
            "it wants a user and a password (HTTP 407); write http://USER:PASSWORD@HOST",
        ),
        429 | 500..=599 => Unreachable::passing(Step::Proxy, format!("HTTP {status}")),
        _ => Unreachable::lasting(Step::Proxy, format!("HTTP {status}")),
    }
}

/// What we call ourselves.
pub(crate) const AGENT: &str = concat!("portcullis-client/", env!("CARGO_PKG_VERSION"));

const MOST_ADDRESSES: usize = 8;
