//! A guest.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{connect, within};

pub(crate) struct TestGuest(WebSocketStream<TcpStream>);

impl TestGuest {
    pub(crate) async fn enter(address: SocketAddr, account: &str, host: &str) -> Self {
        let entered = Self::try_enter(address, account, host).await;
        entered.expect("it may enter")
    }

    /// The status, where it may not.
    pub(crate) async fn try_enter(
        address: SocketAddr,
        account: &str,
        host: &str,
    ) -> Result<Self, u16> {
        let url = format!("ws://{address}/guest/{host}");
        let mut request = url.into_client_request().expect("a request");
        let bearer = format!("Bearer {account}").parse().expect("a value");
        request.headers_mut().insert("authorization", bearer);
        let socket = connect(address).await;
        match within(client_async(request, socket)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.say_text(&message.to_string()).await;
    }

    /// It may be over.
    pub(crate) async fn try_say(&mut self, message: &Value) -> Result<(), Error> {
        within(self.0.send(Message::text(message.to_string()))).await
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        within(self.0.send(Message::text(text)))
            .await
            .expect("sent");
    }

    pub(crate) async fn say_binary(&mut self) {
        let binary = Message::binary(vec![1]);
        within(self.0.send(binary)).await.expect("sent");
    }

    /// What it is told next.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What it is told next; or the code and the reason with which it is told that it is over.
    pub(crate) async fn hear_or_end(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err((frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Begins, and is answered.
    pub(crate) async fn initialize(&mut self) {
        self.say(&json!({"id": 0, "method": "initialize"})).await;
        assert_eq!(self.hear().await["id"], 0);
    }

    /// The code and the reason with which it is told that it is over, whatever it is told before.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until what it said is read, but for one message.
    pub(crate) async fn is_heard(&mut self) {
        let ping = Message::Ping(Bytes::new());
        within(self.0.send(ping)).await.expect("sent");
        match within(self.0.next()).await {
            Some(Ok(Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Leaves, and waits until that is answered.
    pub(crate) async fn part(mut self) {
        within(self.0.close(None)).await.expect("closed");
        while let Some(Ok(_)) = within(self.0.next()).await {}
    }

    pub(crate) async fn leave(mut self) {
        within(self.0.close(None)).await.expect("closed");
        while let Some(Ok(_)) = within(self.0.next()).await {}
    }
}
