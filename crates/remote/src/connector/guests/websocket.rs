//! Upstreams that are WebSockets.

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use portcullis_client::Address;
use portcullis_client::connect::{Bounds, Dialer, Handshake, Stream, Switched, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use super::upstream::UpstreamError;
use crate::connector::bearer::bearer;
use crate::connector::config::GuestLimits;
use crate::socket::config;
use crate::wire::Message;

type Socket = WebSocketStream<Stream>;

pub(super) struct SocketReader(SplitStream<Socket>);

pub(super) struct SocketWriter(SplitSink<Socket, Frame>);

/// Opens a WebSocket at `address`. Cancel-safe.
pub(super) async fn open(
    dialer: &Dialer,
    address: &Address,
    token: Option<&str>,
    limits: &GuestLimits,
) -> Result<(SocketReader, SocketWriter), UpstreamError> {
    let bad = |why: &str| UpstreamError::WebSocket(why.into());
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let bearer = bearer(token).ok_or_else(|| bad("its bearer is no header"))?;
        headers.insert(AUTHORIZATION, bearer);
    }
    let handshake = Handshake::fresh();
    handshake.write(&mut headers);
    let bounds = Bounds::within(limits.connect);
    let Switched {
        headers,
        stream,
        early,
    } = match dialer.upgrade(address, headers, bounds).await? {
        Upgraded::Switched(switched) => switched,
        Upgraded::Answered(answer) => return Err(bad(&format!("it answers {}", answer.status))),
    };
    handshake.check(&headers).map_err(bad)?;
    let config = config(limits.message);
    let early = early.to_vec();
    let socket =
        WebSocketStream::from_partially_read(stream, early, Role::Client, Some(config)).await;
    let (writer, reader) = socket.split();
    Ok((SocketReader(reader), SocketWriter(writer)))
}

impl SocketReader {
    pub(super) async fn next(&mut self) -> Result<Option<Message>, UpstreamError> {
        while let Some(frame) = self.0.next().await {
            match frame {
                Ok(Frame::Text(text)) => match Message::of_frame(text) {
                    Ok(message) => return Ok(Some(message)),
                    Err(error) => {
                        tracing::warn!(%error, "a message of an upstream is passed over");
                    }
                },
                Ok(Frame::Binary(_)) => {
                    tracing::warn!("a binary message of an upstream is passed over");
                }
                Ok(Frame::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Ok(None);
                }
                Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

impl SocketWriter {
    pub(super) async fn feed(&mut self, message: &Message) -> Result<(), UpstreamError> {
        Ok(self.0.feed(Frame::Text(message.to_frame())).await?)
    }

    pub(super) async fn flush(&mut self) -> Result<(), UpstreamError> {
        Ok(self.0.flush().await?)
    }
}

impl From<Error> for UpstreamError {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => Self::Io(error),
            other => Self::WebSocket(other.to_string().into()),
        }
    }
}
