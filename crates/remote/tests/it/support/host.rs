//! A host, strictly as the real one was seen to behave.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use portcullis_boundary::clock::Moment;
use portcullis_remote::wire::host::{Heard, Inbound, Outbound};
use portcullis_remote::wire::{ClientEnvelope, Key, Message, Status, Version};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{ask, connect, within};

/// What a host knows of its enrolment.
#[derive(Clone, Debug)]
pub(crate) struct TestHost {
    pub(crate) address: SocketAddr,
    pub(crate) server_id: String,
    pub(crate) environment_id: String,
    pub(crate) token: String,
    pub(crate) version: Version,
}

impl TestHost {
    pub(crate) async fn enrol(address: SocketAddr, account: &str, name: &str) -> Self {
        Self::enrol_from(address, account, name, &format!("inst-{name}")).await
    }

    pub(crate) async fn enrol_from(
        address: SocketAddr,
        account: &str,
        name: &str,
        installation: &str,
    ) -> Self {
        let body = enrolment(name, installation).to_string();
        let line = "POST /backend-api/wham/remote/control/server/enroll";
        let answer = ask(address, line, Some(account), &[], &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let given = answer.json();
        let text = |name: &str| given[name].as_str().expect("a text").to_owned();
        Self {
            address,
            server_id: text("server_id"),
            environment_id: text("environment_id"),
            token: text("remote_control_token"),
            version: Version::V3,
        }
    }

    /// Pairs `account` to it; the answer is the device's id.
    pub(crate) async fn pair(&self, account: &str) -> String {
        let line = "POST /wham/remote/control/server/pair";
        let begun = ask(self.address, line, Some(&self.token), &[], "{}").await;
        assert_eq!(begun.status, 200, "{begun:?}");
        let claim = json!({"pairing_code": begun.json()["pairing_code"]}).to_string();
        let line = "POST /wham/remote/control/pair/claim";
        let claimed = ask(self.address, line, Some(account), &[], &claim).await;
        assert_eq!(claimed.status, 200, "{claimed:?}");
        let claimed = claimed.json();
        claimed["client_id"].as_str().expect("a text").to_owned()
    }

    /// Opens a road.
    pub(crate) async fn dial(&self) -> Road {
        let dialled = self.try_dial(&self.token).await;
        dialled.expect("it may dial")
    }

    /// The status and the body, where it may not.
    pub(crate) async fn try_dial(&self, token: &str) -> Result<Road, (u16, String)> {
        let url = format!(
            "ws://{}/backend-api/wham/remote/control/server",
            self.address
        );
        let mut request = url.into_client_request().expect("a request");
        let mut insert = |name: &'static str, value: &str| {
            let value = value.parse().expect("a value");
            request.headers_mut().insert(name, value);
        };
        insert("authorization", &format!("Bearer {token}"));
        insert("x-codex-server-id", &self.server_id);
        insert("x-codex-name", "dm0=");
        insert("x-codex-protocol-version", self.version.as_str());
        insert("x-codex-installation-id", "0aa3");
        let socket = connect(self.address).await;
        match within(client_async(request, socket)).await {
            Ok((socket, _)) => Ok(Road(socket)),
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                let body = String::from_utf8(body).expect("UTF-8");
                Err((response.status().as_u16(), body))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn enrolment(name: &str, installation: &str) -> Value {
    json!({
        "name": name, "os": "linux", "arch": "x86_64", "app_server_version": "0.169.0",
        "installation_id": installation,
    })
}

/// The host's end of a road. Dropping it cuts it, as hosts do.
pub(crate) struct Road(WebSocketStream<TcpStream>);

impl Road {
    /// The next envelope's text.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Frame::Text(text))) => return text.to_string(),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        within(self.0.send(Frame::text(text))).await.expect("sent");
    }

    pub(crate) async fn say_frame(&mut self, frame: Frame) {
        within(self.0.send(frame)).await.expect("sent");
    }

    pub(crate) async fn next_frame(&mut self) -> Option<Frame> {
        within(self.0.next()).await.and_then(Result::ok)
    }

    /// The code and the reason with which it is cut, whatever is said before.
    pub(crate) async fn end(&mut self) -> (u16, String) {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Frame::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A process of a host: what outlives its roads. It answers requests with what was asked.
pub(crate) struct Process {
    inbound: Inbound,
    outbound: Outbound,
    /// Pings that wait for room to be answered.
    pongs: VecDeque<(Key, Status)>,
    origin: Instant,
    /// What each virtual client said.
    pub(crate) heard: HashMap<Key, Vec<Value>>,
    /// Virtual clients, in the order in which they began.
    pub(crate) clients: Vec<Key>,
    /// Those that ended.
    pub(crate) closed: Vec<Key>,
}

impl Process {
    pub(crate) fn new(version: Version) -> Self {
        Self {
            inbound: Inbound::default(),
            outbound: Outbound::new(version),
            pongs: VecDeque::new(),
            origin: Instant::now(),
            heard: HashMap::new(),
            clients: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// A new road: what was not acknowledged is said again.
    pub(crate) async fn reconnect(&mut self, road: &mut Road) {
        self.outbound.reconnect();
        self.flush(road).await;
    }

    /// Takes one envelope.
    pub(crate) async fn step(&mut self, road: &mut Road) {
        let text = road.next().await;
        self.hear(&text);
        self.flush(road).await;
    }

    pub(crate) async fn step_until(&mut self, road: &mut Road, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            self.step(road).await;
        }
    }

    /// Serves a new road until that is gone. On one that it has had, what it says again would be taken for the
    /// words of another process.
    pub(crate) async fn serve(&mut self, road: &mut Road) {
        self.reconnect(road).await;
        self.go_on(road).await;
    }

    /// Serves the road that it has until that is gone.
    pub(crate) async fn go_on(&mut self, road: &mut Road) {
        while let Some(Ok(frame)) = road.0.next().await {
            if let Frame::Text(text) = frame {
                self.hear(&text);
                self.flush(road).await;
            }
        }
    }

    /// Says something to a virtual client; it goes out with the next step.
    pub(crate) fn say(&mut self, key: &Key, message: &Value) {
        let message = Message::parse(&message.to_string()).expect("a message");
        self.outbound.message(key, message).expect("there is room");
    }

    /// How many envelopes were not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.outbound.len()
    }

    pub(crate) async fn flush(&mut self, road: &mut Road) {
        while let Some(text) = self.outbound.say_next() {
            // A road that is gone is noticed by who reads.
            let _: Result<(), Error> = road.0.send(Frame::text(text)).await;
        }
    }

    fn hear(&mut self, text: &str) {
        let envelope = ClientEnvelope::parse(text).expect("an envelope");
        let now = Moment::at(self.origin.elapsed());
        let heard = self.inbound.accept(envelope, || Arc::from("fresh"), now);
        self.inbound.delivered();
        match heard {
            Heard::Opened(key, message) => {
                assert!(!self.clients.contains(&key), "a live client begins again");
                self.clients.push(key.clone());
                self.answer(key, &message);
            }
            Heard::Message(key, message) => self.answer(key, &message),
            Heard::Ping(key, status) => {
                self.pongs.push_back((key, status));
                self.pong();
            }
            Heard::Closed(key) => self.closed.push(key),
            Heard::Ack {
                key,
                seq_id,
                segment_id,
            } => {
                self.outbound.acknowledge(&key, seq_id, segment_id);
                self.pong();
            }
            Heard::Nothing(_) => {}
        }
    }

    /// Answers pings, as far as there is room.
    fn pong(&mut self) {
        while let Some((key, status)) = self.pongs.front() {
            if self.outbound.pong(key, *status).is_err() {
                return;
            }
            self.pongs.pop_front();
        }
    }

    fn answer(&mut self, key: Key, message: &Message) {
        let value: Value = serde_json::from_str(message.as_str()).expect("JSON");
        if let Some(id) = value.get("id").filter(|_| value.get("method").is_some()) {
            let answer = json!({"id": id, "result": value.get("params")});
            self.say(&key, &answer);
        }
        self.heard.entry(key).or_default().push(value);
    }
}
