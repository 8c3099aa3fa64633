//! Upstreams that are WebSockets.

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::upstream::UpstreamError;
use crate::connector::config::GuestLimits;
use crate::connector::dial::Io;
use crate::socket::config;
use crate::wire::Message;

type Socket = WebSocketStream<Box<dyn Io>>;

pub(super) struct SocketReader(SplitStream<Socket>);

pub(super) struct SocketWriter(SplitSink<Socket, Frame>);

pub(super) async fn open(
    io: Box<dyn Io>,
    url: &str,
    bearer: Option<&str>,
    limits: &GuestLimits,
) -> Result<(SocketReader, SocketWriter), UpstreamError> {
    let mut request = url.into_client_request()?;
    if let Some(token) = bearer {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| UpstreamError::WebSocket("its bearer is no header".into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let config = config(limits.message);
    let (socket, _) = client_async_with_config(request, io, Some(config)).await?;
    let (writer, reader) = socket.split();
    Ok((SocketReader(reader), SocketWriter(writer)))
}

impl SocketReader {
    pub(super) async fn next(&mut self) -> Result<Option<Message>, UpstreamError> {
        while let Some(frame) = self.0.next().await {
            match frame {
                Ok(Frame::Text(text)) => match Message::parse(&text) {
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
        Ok(self.0.feed(Frame::text(message.as_str())).await?)
    }

    pub(super) async fn flush(&mut self) -> Result<(), UpstreamError> {
        Ok(self.0.flush().await?)
    }
}

impl From<Error> for UpstreamError {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => Self::Io(error),
            Error::Http(response) => {
                Self::WebSocket(format!("it answers {}", response.status()).into())
            }
            other => Self::WebSocket(other.to_string().into()),
        }
    }
}
