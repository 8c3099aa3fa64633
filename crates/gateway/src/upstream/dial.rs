//! Connecting to an upstream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::builtin;
use crate::config::Target;
use crate::stream::Stream;
use crate::tasks::Tasks;

/// Why an upstream cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("connecting failed: {0}")]
    Connect(#[from] io::Error),
    #[error("`{0}` is no name that TLS can check")]
    Name(String),
    #[error("connecting took longer than {0:?}")]
    Slow(Duration),
}

/// Connects to `target`. Cancel-safe: dropping the future drops the connection.
pub(crate) async fn dial(
    target: &Target,
    limit: Duration,
    tasks: &Tasks,
) -> Result<Stream, DialError> {
    timeout(limit, connect(target, tasks))
        .await
        .map_err(|_| DialError::Slow(limit))?
}

async fn connect(target: &Target, tasks: &Tasks) -> Result<Stream, DialError> {
    match target {
        Target::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Target::Builtin(builtin) => Ok(builtin::connect(builtin.clone(), tasks)),
        // Whoever comes here asks for a connection, and a service has none.
        Target::Service(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        Target::Tcp {
            authority,
            tls: None,
        } => Ok(Stream::Tcp(tcp(authority, 80).await?)),
        Target::Tcp {
            authority,
            tls: Some(config),
        } => {
            let name = host(authority).to_owned();
            let server = ServerName::try_from(name.clone()).map_err(|_| DialError::Name(name))?;
            let socket = tcp(authority, 443).await?;
            let connector = TlsConnector::from(Arc::clone(config));
            // Boxed, as all that a plain connection must not carry room for.
            let shaken = Box::pin(connector.connect(server, socket)).await?;
            Ok(Stream::ClientTls(Box::new(shaken)))
        }
    }
}

async fn tcp(authority: &Authority, default_port: u16) -> io::Result<TcpStream> {
    // Of a burst of handshakes, all are decided first and dialled then, one right after the other:
    // an upstream that falls asleep between two of them would be woken again for each.
    tokio::task::yield_now().await;
    let port = authority.port_u16().unwrap_or(default_port);
    let socket = match host(authority).parse::<std::net::IpAddr>() {
        Ok(address) => TcpStream::connect((address, port)).await?,
        Err(_) => Box::pin(TcpStream::connect((host(authority), port))).await?,
    };
    // Small messages must not wait for a full segment.
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn host(authority: &Authority) -> &str {
    let host = authority.host();
    host.strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host)
}
