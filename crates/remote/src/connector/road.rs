//! The road: a WebSocket to the relay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Sink, Stream};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_client::connect::{Bounds, Handshake, Stream as Connection, Switched, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use super::bearer::bearer;
use super::config::ConnectorConfig;
use super::enrolment::{Enrolment, RoadToken};
use super::exchange::Door;
use super::guests::Guests;
use super::machine::{Cause, Failure, Loss};
use super::relay_url::RelayUrl;
use crate::socket;
use crate::wire::{MAX_FRAME, Version};

/// An open road.
pub(super) struct Road {
    socket: WebSocketStream<Connection>,
    ping_due: bool,
    unflushed: bool,
}

/// What came over it.
#[derive(Debug)]
pub(super) enum Arrived {
    /// A frame for the guests.
    Text(tokio_tungstenite::tungstenite::Utf8Bytes),
    /// The answer to a ping.
    Pong,
    /// Something that means nothing, or what guests said and was taken: there is more to do.
    Nothing,
}

impl Road {
    /// Dials the relay. Cancel-safe: a road that is not open yet is given up.
    pub(super) async fn open(
        config: &ConnectorConfig,
        relay: &RelayUrl,
        (enrolment, token): (&Enrolment, &RoadToken),
        cursor: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let url = relay.road();
        let mut headers = headers(config, (enrolment, token), cursor)?;
        let handshake = Handshake::fresh();
        handshake.write(&mut headers);
        let address = Door::Road.address(&url)?;
        let bounds = Bounds::within(config.times.connect_timeout);
        let dialled = config.dialer.upgrade(&address, headers, bounds).await;
        let Switched {
            headers,
            stream,
            early,
        } = match dialled {
            Ok(Upgraded::Switched(switched)) => switched,
            Ok(Upgraded::Answered(answer)) => return Err(Door::Road.refused(&url, &answer, now)),
            Err(error) => return Err(Door::Road.unavailable(&url, &error)),
        };
        handshake.check(&headers).map_err(|why| {
            let text = format!("the relay at `{url}` does not speak WebSocket: {why}");
            Failure::new(Cause::Garbage, text)
        })?;
        let limits = socket::config(MAX_FRAME);
        let early = early.to_vec();
        Ok(Self {
            socket: WebSocketStream::from_partially_read(stream, early, Role::Client, Some(limits))
                .await,
            ping_due: false,
            unflushed: false,
        })
    }

    /// A ping goes out with what is said next.
    pub(super) const fn ping(&mut self) {
        self.ping_due = true;
    }

    /// Carries what guests say, and gives what came for them. Cancel-safe.
    pub(super) async fn carry(&mut self, guests: &mut Guests) -> Result<Arrived, Loss> {
        std::future::poll_fn(|cx| self.poll_carry(cx, guests)).await
    }

    fn poll_carry(
        &mut self,
        cx: &mut Context<'_>,
        guests: &mut Guests,
    ) -> Poll<Result<Arrived, Loss>> {
        let mut has_taken = false;
        for _ in 0..BURST {
            if guests.poll_take(cx).is_pending() {
                break;
            }
            has_taken = true;
        }
        self.poll_say(cx, guests).map_err(|error| lost(&error))?;
        if let Poll::Ready(frame) = Pin::new(&mut self.socket).poll_next(cx) {
            return Poll::Ready(match frame {
                Some(Ok(frame)) => self.arrived(frame),
                Some(Err(error)) => Err(lost(&error)),
                None => Err(lost(&Error::ConnectionClosed)),
            });
        }
        if has_taken {
            // The burst may have ended before what guests say did.
            return Poll::Ready(Ok(Arrived::Nothing));
        }
        Poll::Pending
    }

    /// Writes as much as the socket takes.
    fn poll_say(&mut self, cx: &mut Context<'_>, guests: &mut Guests) -> Result<(), Error> {
        let mut socket = Pin::new(&mut self.socket);
        while socket.as_mut().poll_ready(cx)?.is_ready() {
            let frame = if std::mem::take(&mut self.ping_due) {
                Frame::Ping(Bytes::new())
            } else if let Some(text) = guests.say_next() {
                Frame::text(text)
            } else {
                break;
            };
            socket.as_mut().start_send(frame)?;
            self.unflushed = true;
        }
        if self.unflushed && socket.as_mut().poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    fn arrived(&mut self, frame: Frame) -> Result<Arrived, Loss> {
        match frame {
            Frame::Text(text) => Ok(Arrived::Text(text)),
            Frame::Pong(_) => Ok(Arrived::Pong),
            Frame::Ping(_) => {
                // The answer stands in the socket's buffer.
                self.unflushed = true;
                Ok(Arrived::Nothing)
            }
            Frame::Binary(bytes) => {
                tracing::warn!(
                    bytes = bytes.len(),
                    "a binary frame of the relay is passed over"
                );
                Ok(Arrived::Nothing)
            }
            Frame::Close(frame) => Err(closed(frame.as_ref())),
            Frame::Frame(_) => Ok(Arrived::Nothing),
        }
    }
}

fn headers(
    config: &ConnectorConfig,
    (enrolment, token): (&Enrolment, &RoadToken),
    cursor: Option<&str>,
) -> Result<HeaderMap, Failure> {
    let name = STANDARD.encode(config.host.name.as_bytes());
    let fields: [(&'static str, &str); 4] = [
        ("x-codex-server-id", &enrolment.server_id),
        ("x-codex-name", &name),
        ("x-codex-protocol-version", Version::V3.as_str()),
        ("x-codex-installation-id", &config.host.installation_id),
    ];
    let cursor = cursor.map(|cursor| ("x-codex-subscribe-cursor", cursor));
    let bad = |name: &str| {
        let text = format!("{name} is not what a header may hold");
        Failure::new(Cause::Garbage, text)
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields.into_iter().chain(cursor) {
        let value = HeaderValue::from_str(value).map_err(|_| bad(name))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    let bearer = bearer(token.expose()).ok_or_else(|| bad("authorization"))?;
    headers.insert(AUTHORIZATION, bearer);
    Ok(headers)
}

fn closed(frame: Option<&CloseFrame>) -> Loss {
    let Some(frame) = frame else {
        return Loss {
            text: "closed by the relay".into(),
            refusal: None,
        };
    };
    let code = u16::from(frame.code);
    Loss {
        text: format!(
            "closed by the relay with {code} {:?}",
            frame.reason.as_str()
        )
        .into(),
        refusal: match code {
            4001 => Some(RefusalKind::Expired),
            4004 => Some(RefusalKind::Revoked),
            _ => None,
        },
    }
}

fn lost(error: &Error) -> Loss {
    let text = match error {
        Error::ConnectionClosed | Error::AlreadyClosed => "the connection was closed".into(),
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed".into()
        }
        other => other.to_string(),
    };
    Loss {
        text: text.into(),
        refusal: None,
    }
}

/// How much of what guests say is taken before something is written.
const BURST: usize = 32;
