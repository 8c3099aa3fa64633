//! A connection, with TLS where the scheme asks for it.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use reqwest::Url;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes both ways.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects to where `url` points. Cancel-safe.
pub(super) async fn dial(
    url: &Url,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> io::Result<Box<dyn Io>> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or_default();
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    if !matches!(url.scheme(), "wss" | "https") {
        return Ok(Box::new(stream));
    }
    let tls = tls.ok_or_else(|| io::Error::other("TLS is not set up"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

/// Why a connection gave nothing, down to the cause, without the URL, which stands before it.
#[derive(Debug)]
pub(super) struct Reason {
    pub(super) text: Box<str>,
    /// The other end has a certificate that is not trusted.
    pub(super) is_untrusted: bool,
}

impl Reason {
    /// What `error` comes down to.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let (mut cause, mut is_untrusted) = (error, is_untrusted(error));
        while let Some(deeper) = cause.source() {
            cause = deeper;
            is_untrusted |= self::is_untrusted(cause);
        }
        Self {
            text: cause.to_string().into(),
            is_untrusted,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether it is about a certificate. An error of I/O passes over what it holds when it is asked for its
/// source.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let held = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    let tls = match held {
        Some(held) => held.downcast_ref::<rustls::Error>(),
        None => error.downcast_ref::<rustls::Error>(),
    };
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}
