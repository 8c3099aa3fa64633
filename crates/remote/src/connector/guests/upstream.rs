//! What stands behind the host.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::net::UnixStream;

use super::lines::{self, LineReader, LineWriter};
use super::websocket::{self, SocketReader, SocketWriter};
use crate::connector::config::GuestLimits;
use crate::connector::dial::dial;
use crate::wire::Message;

/// The service that guests are connected to, each by a connection or a process of its own.
#[derive(Clone)]
pub struct Upstream {
    place: Place,
    bearer: Option<SecretString>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

#[derive(Clone)]
enum Place {
    Socket(Url),
    Unix(PathBuf),
    Command(Box<str>),
}

/// Why there is no upstream.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// A text that names none.
    #[error("invalid upstream: expected ws://…, wss://…, unix:PATH or stdio:COMMAND")]
    Malformed,
    /// It did not open in time.
    #[error("the upstream did not open in time")]
    Timeout,
    /// It cannot be reached, or was lost.
    #[error("the upstream was lost: {0}")]
    Io(#[from] io::Error),
    /// It is no WebSocket, or broke its rules.
    #[error("the upstream is no good WebSocket: {0}")]
    WebSocket(Box<str>),
    /// A line of it is longer than [`GuestLimits::message`].
    #[error("a line of the upstream is too long")]
    LongLine,
}

impl Upstream {
    /// The service that `text` names: `ws://…` or `wss://…`, `unix:PATH` for a WebSocket over that
    /// socket, or `stdio:COMMAND` for a process that reads and writes a JSON object a line. The command
    /// is run by `sh` for each guest, with our environment, in a process group of its own that is killed
    /// when the guest ends.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Malformed`] when it names none.
    pub fn parse(text: &str) -> Result<Self, UpstreamError> {
        let place = if let Some(command) = text.strip_prefix("stdio:") {
            Place::Command(command.trim().into())
        } else if let Some(path) = text.strip_prefix("unix:") {
            Place::Unix(path.trim_start_matches("//").into())
        } else {
            let url = Url::parse(text).map_err(|_| UpstreamError::Malformed)?;
            if !matches!(url.scheme(), "ws" | "wss") || url.host_str().is_none() {
                return Err(UpstreamError::Malformed);
            }
            Place::Socket(url)
        };
        let is_empty = match &place {
            Place::Command(command) => command.is_empty(),
            Place::Unix(path) => path.as_os_str().is_empty(),
            Place::Socket(_) => false,
        };
        if is_empty {
            return Err(UpstreamError::Malformed);
        }
        Ok(Self {
            place,
            bearer: None,
            tls: None,
        })
    }

    /// The same, which is shown `token` in `Authorization: Bearer`. A command is shown nothing.
    #[must_use]
    pub fn with_bearer(mut self, token: impl Into<String>) -> Self {
        self.bearer = Some(SecretString::from(token.into()));
        self
    }

    /// The same, with which TLS is spoken so. Without it `wss` cannot be dialled.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Opens a connection, or starts a process.
    pub(super) async fn open(
        &self,
        limits: &GuestLimits,
    ) -> Result<(Reader, Writer), UpstreamError> {
        let bearer = self.bearer.as_ref().map(ExposeSecret::expose_secret);
        match &self.place {
            Place::Socket(url) => {
                let io = dial(url, self.tls.as_ref()).await?;
                let (reader, writer) = websocket::open(io, url.as_str(), bearer, limits).await?;
                Ok((Reader::Socket(reader), Writer::Socket(writer)))
            }
            Place::Unix(path) => {
                let io = Box::new(UnixStream::connect(path).await?);
                let url = "ws://localhost/";
                let (reader, writer) = websocket::open(io, url, bearer, limits).await?;
                Ok((Reader::Socket(reader), Writer::Socket(writer)))
            }
            Place::Command(command) => {
                let (reader, writer) = lines::open(command, limits)?;
                Ok((Reader::Lines(Box::new(reader)), Writer::Lines(writer)))
            }
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Socket(url) => {
                // Some services have a key in the query, or a password before the host.
                let mut url = url.clone();
                url.set_query(None);
                let _: Result<(), ()> = url.set_password(None);
                f.debug_tuple("Socket").field(&url.as_str()).finish()
            }
            Place::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Place::Command(_) => f.debug_tuple("Command").finish_non_exhaustive(),
        }
    }
}

/// What an upstream says.
pub(super) enum Reader {
    Socket(SocketReader),
    Lines(Box<LineReader>),
}

/// What is said to it.
pub(super) enum Writer {
    Socket(SocketWriter),
    Lines(LineWriter),
}

impl Reader {
    /// The next message; none when it has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, UpstreamError> {
        match self {
            Self::Socket(socket) => socket.next().await,
            Self::Lines(lines) => lines.next().await,
        }
    }
}

impl Writer {
    /// Takes a message, which may wait until [`flush`](Self::flush).
    pub(super) async fn feed(&mut self, message: &Message) -> Result<(), UpstreamError> {
        match self {
            Self::Socket(socket) => socket.feed(message).await,
            Self::Lines(lines) => lines.feed(message).await,
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), UpstreamError> {
        match self {
            Self::Socket(socket) => socket.flush().await,
            Self::Lines(lines) => lines.flush().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_websocket_or_a_command() {
        for (text, debug) in [
            (
                "ws://127.0.0.1:9/x?key=s3cr3t",
                "Socket(\"ws://127.0.0.1:9/x\")",
            ),
            ("wss://agent.example", "Socket(\"wss://agent.example/\")"),
            ("unix:/run/agent.sock", "Unix(\"/run/agent.sock\")"),
            ("unix:///run/agent.sock", "Unix(\"/run/agent.sock\")"),
            ("stdio: codex app-server", "Command(..)"),
        ] {
            assert_eq!(format!("{:?}", Upstream::parse(text).unwrap()), debug);
        }
        for text in [
            "",
            "agent",
            "http://agent.example",
            "stdio: ",
            "unix:",
            "ws:",
        ] {
            let error = Upstream::parse(text).unwrap_err();
            assert!(matches!(error, UpstreamError::Malformed), "{text}");
        }
    }
}
