//! An upstream that speaks the same protocol on a WebSocket.

use std::sync::Arc;
use std::{fmt, io};

use http::{HeaderMap, Uri};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config};

use super::credential::is_about_the_credential;
use super::http::parse_socket_url;
use super::{Timeouts, UpstreamCredential};
use crate::error::ConfigError;
use crate::failure::Failure;

pub(crate) type UpstreamSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An upstream on a WebSocket, of which each client's connection has one of its own: lanes and memory
/// are the upstream's.
#[derive(Clone)]
pub struct SocketUpstream {
    url: Uri,
    tls: Arc<ClientConfig>,
    credential: Option<UpstreamCredential>,
    timeouts: Timeouts,
}

impl SocketUpstream {
    /// Connects to `url`, with `ws` or `wss`. Certificates are judged as `tls` says, or by the operating
    /// system's roots.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Url`] when it is no such URL, [`ConfigError::Client`] when TLS cannot be set up.
    pub fn new(
        url: &str,
        timeouts: Timeouts,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, ConfigError> {
        let url = parse_socket_url(url)?;
        let tls = match tls {
            Some(tls) => tls,
            None => Arc::new(system_tls()?),
        };
        Ok(Self {
            url,
            tls,
            credential: None,
            timeouts,
        })
    }

    /// Sends the gate's own credential.
    #[must_use]
    pub fn with_credential(self, credential: UpstreamCredential) -> Self {
        Self {
            credential: Some(credential),
            ..self
        }
    }

    pub(crate) const fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Whether the upstream is sent the gate's own credential.
    pub(crate) const fn has_credential(&self) -> bool {
        self.credential.is_some()
    }

    /// Connects within the time for it. An upstream that does not get as far as TLS was not reached.
    async fn dial(&self) -> Result<MaybeTlsStream<TcpStream>, Failure> {
        let unreachable = |reason: String| Failure::Unreachable {
            reason: reason.into(),
        };
        tokio::time::timeout(self.timeouts.connect, self.reach())
            .await
            .map_err(|_| unreachable("no connection in time".into()))?
            .map_err(|error| unreachable(error.to_string()))
    }

    async fn reach(&self) -> io::Result<MaybeTlsStream<TcpStream>> {
        let host = self.url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_plain = self.url.scheme_str() == Some("ws");
        let port = self
            .url
            .port_u16()
            .unwrap_or(if is_plain { 80 } else { 443 });
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        if is_plain {
            return Ok(MaybeTlsStream::Plain(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        // Large, and rare.
        let shaken = Box::pin(connector.connect(name, stream)).await?;
        Ok(MaybeTlsStream::Rustls(shaken))
    }

    pub(crate) async fn connect(&self, headers: &HeaderMap) -> Result<UpstreamSocket, Failure> {
        let unreachable = |error: &Error| Failure::Unreachable {
            reason: error.to_string().into(),
        };
        let request = self.url.clone().into_client_request();
        let mut request = request.map_err(|error| unreachable(&error))?;
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        if let Some(credential) = &self.credential {
            credential.add(request.headers_mut());
        }
        let stream = self.dial().await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MOST_MESSAGE))
            .max_frame_size(Some(MOST_MESSAGE));
        // Large, and rare.
        let connect = Box::pin(client_async_with_config(request, stream, Some(config)));
        let time = self.timeouts.head;
        match tokio::time::timeout(time, connect).await {
            Err(_) => Err(Failure::HeadTimeout),
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(Error::Http(response))) => {
                let (head, body) = response.into_parts();
                if self.has_credential() && is_about_the_credential(head.status) {
                    return Err(Failure::CredentialRefused);
                }
                if !head.status.is_client_error() && !head.status.is_server_error() {
                    return Err(Failure::NotEvents);
                }
                Err(Failure::Status {
                    status: head.status,
                    headers: Box::new(head.headers),
                    body: body.unwrap_or_default().into(),
                })
            }
            Ok(Err(error)) => Err(unreachable(&error)),
        }
    }
}

/// Without the query, in which some services have a key.
impl fmt::Debug for SocketUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketUpstream")
            .field("host", &self.url.host())
            .field("path", &self.url.path())
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Judges certificates by the operating system's roots.
fn system_tls() -> Result<ClientConfig, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| ConfigError::Client {
        reason: error.to_string().into(),
    })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Images come in events of some megabytes.
const MOST_MESSAGE: usize = 16 << 20;
