//! What stands behind the host.

use std::ffi::OsString;
use std::fmt;
use std::io;

use portcullis_client::Address;
use portcullis_client::connect::{Dialer, Unreachable};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::Url;

use super::lines::{self, LineReader, LineWriter};
use super::websocket::{self, SocketReader, SocketWriter};
use crate::connector::config::GuestLimits;
use crate::wire::Message;

/// The service that guests are connected to, each by a connection or a process of its own.
#[derive(Clone)]
pub struct Upstream {
    place: Place,
    bearer: Option<SecretString>,
    dialer: Option<Dialer>,
    hidden: Option<OsString>,
}

#[derive(Clone)]
enum Place {
    Socket(Address),
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
    /// It cannot be reached.
    #[error("the upstream cannot be reached: {0}")]
    Unreachable(#[from] Unreachable),
    /// It was lost, or cannot be started.
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
        let place = match text.strip_prefix("stdio:").map(str::trim) {
            Some("") => return Err(UpstreamError::Malformed),
            Some(command) => Place::Command(command.into()),
            None => Place::Socket(address(text).ok_or(UpstreamError::Malformed)?),
        };
        Ok(Self {
            place,
            bearer: None,
            dialer: None,
            hidden: None,
        })
    }

    /// The same, which is shown `token` in `Authorization: Bearer`. A command is shown nothing.
    #[must_use]
    pub fn with_bearer(mut self, token: impl Into<String>) -> Self {
        self.bearer = Some(SecretString::from(token.into()));
        self
    }

    /// The same, reached by `dialer` and not as the connector reaches its relay: a service of the house
    /// has other authorities, and no proxy before it.
    #[must_use]
    pub fn with_dialer(mut self, dialer: Dialer) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// The same, of which no process is given the variable `name` of our environment: a credential of the
    /// connector may stand in it. It is kept from guests' processes, and not from whoever runs them: they may
    /// read what their user may read.
    #[must_use]
    pub fn without_variable(mut self, name: impl Into<OsString>) -> Self {
        self.hidden = Some(name.into());
        self
    }

    /// What opens it, by `dialer` if it has none of its own.
    pub(super) fn opener(self, dialer: &Dialer) -> Opener {
        Opener {
            place: self.place,
            bearer: self.bearer,
            hidden: self.hidden,
            dialer: self.dialer.unwrap_or_else(|| dialer.clone()),
        }
    }
}

/// An upstream, and the way to it.
pub(super) struct Opener {
    place: Place,
    bearer: Option<SecretString>,
    dialer: Dialer,
    hidden: Option<OsString>,
}

impl Opener {
    /// Opens a connection, or starts a process. Cancel-safe: dropping the future ends either.
    pub(super) async fn open(
        &self,
        limits: &GuestLimits,
    ) -> Result<(Reader, Writer), UpstreamError> {
        match &self.place {
            Place::Socket(address) => {
                let bearer = self.bearer.as_ref().map(ExposeSecret::expose_secret);
                let opened = websocket::open(&self.dialer, address, bearer, limits).await;
                let (reader, writer) = opened?;
                Ok((Reader::Socket(reader), Writer::Socket(writer)))
            }
            Place::Command(command) => {
                let (reader, writer) = lines::open(command, self.hidden.as_deref(), limits)?;
                Ok((Reader::Lines(Box::new(reader)), Writer::Lines(writer)))
            }
        }
    }
}

/// Where a WebSocket is.
fn address(text: &str) -> Option<Address> {
    if text.starts_with("unix:") {
        return Address::parse(text).ok();
    }
    // A URL may have a host in any script; an address has it as it goes over the wire.
    let url = Url::parse(text).ok()?;
    let is_socket = matches!(url.scheme(), "ws" | "wss");
    Address::parse(url.as_str()).ok().filter(|_| is_socket)
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Socket(address) => f.debug_tuple("Socket").field(&address.to_string()).finish(),
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
            ("unix:/run/agent.sock", "Socket(\"unix:/run/agent.sock\")"),
            ("unix:///run/agent.sock", "Socket(\"unix:/run/agent.sock\")"),
            (
                "wss://b\u{fc}ro.example/",
                "Socket(\"wss://xn--bro-hoa.example/\")",
            ),
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
            "wss://ada:s3cr3t@agent.example",
        ] {
            let error = Upstream::parse(text).unwrap_err();
            assert!(matches!(error, UpstreamError::Malformed), "{text}");
        }
    }
}
