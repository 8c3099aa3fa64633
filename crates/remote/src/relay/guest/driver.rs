//! The task that has a guest's socket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::SplitStream;
use futures_util::{Sink, SinkExt, StreamExt};
use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::Moment;
use portcullis_boundary::close::CodeTable;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message as Frame, Utf8Bytes};

use super::Ticket;
use super::finding::{Finding, find};
use crate::relay::exchange::{Board, Coming, Unreached};
use crate::relay::link::{Down, Link};
use crate::relay::service::{Socket, Upgrade};
use crate::relay::{Counted, Inner, Unread};
use crate::socket::config;
use crate::wire::relay::{Client, Fate, Said};
use crate::wire::{ClientEnvelope, Key, Message, Unsendable};

/// What a guest's task is made of.
pub(in crate::relay) struct Start {
    pub(in crate::relay) relay: Arc<Inner>,
    pub(in crate::relay) host: Box<str>,
    pub(in crate::relay) key: Key,
    pub(in crate::relay) ticket: Ticket,
    pub(in crate::relay) upgrade: Upgrade,
    pub(in crate::relay) codes: CodeTable,
}

/// How a guest's time here ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Parting {
    /// It left, or is gone.
    Left,
    /// It is told this.
    Told(RefusalKind),
    /// It said what is no text of JSON.
    NotJson,
}

/// Drives a guest until it ends.
pub(in crate::relay) async fn drive(start: Start) {
    let Some(socket) = start.upgrade.open().await else {
        return;
    };
    let (relay, mut ticket) = (start.relay, start.ticket);
    let config = config(relay.settings.guest_message);
    let socket = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await;
    let (mut sink, stream) = socket.split();
    let (tell, told) = mpsc::channel(TOLD);
    let mut guest = Guest::new(Arc::clone(&relay), start.host, start.key, tell);
    let mut telling = Box::pin(telling(&mut sink, told, relay.settings.write));
    let (parting, is_telling) = tokio::select! {
        biased;
        why = ticket.cut() => (Parting::Told(why), true),
        () = relay.draining.cancelled() => (Parting::Told(RefusalKind::Draining), true),
        parting = guest.run(stream) => (parting, true),
        parting = &mut telling => (parting, false),
    };
    drop(ticket);
    // What its host said before is told before the end.
    guest.tell = None;
    if is_telling {
        let _: Result<_, tokio::time::error::Elapsed> = timeout(FAREWELL, &mut telling).await;
    }
    drop(telling);
    guest.leave().await;
    tracing::debug!(target: "portcullis::remote", host = &*guest.host, ?parting, "a guest has left");
    let farewell = sink.send(Frame::Close(close(&start.codes, parting)));
    // It may have gone.
    let _: Result<_, tokio::time::error::Elapsed> = timeout(FAREWELL, farewell).await;
}

/// Tells a guest what its host says, until there is nothing more to tell.
async fn telling(
    sink: &mut (impl Sink<Frame, Error = Error> + Unpin),
    mut told: mpsc::Receiver<(Utf8Bytes, Counted)>,
    limit: Duration,
) -> Parting {
    while let Some((text, counted)) = told.recv().await {
        let sent = timeout(limit, sink.send(Frame::text(text))).await;
        drop(counted);
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Parting::Left,
            Err(_) => return Parting::Told(RefusalKind::SlowConsumer),
        }
    }
    Parting::Left
}

/// What happens to a guest.
enum Event {
    Down(Option<Down>),
    Found(Result<Link, Unreached>),
    Frame(Option<Result<Frame, Error>>),
    Place(mpsc::OwnedPermit<ClientEnvelope>),
    Woken,
}

struct Guest {
    relay: Arc<Inner>,
    host: Box<str>,
    client: Client,
    link: Option<Link>,
    finding: Option<Finding>,
    away_since: Moment,
    /// None once nothing more is to be told.
    tell: Option<mpsc::Sender<(Utf8Bytes, Counted)>>,
    unread: Unread,
    /// What it said when no more might wait. Until then it is read, for its pings and its leaving.
    held: Option<Message>,
    /// What has come of a message that comes in parts.
    parts: Vec<Counted>,
    /// When the last of them came, or the road over which the next one is to come.
    part_at: Moment,
}

impl Guest {
    fn new(
        relay: Arc<Inner>,
        host: Box<str>,
        key: Key,
        tell: mpsc::Sender<(Utf8Bytes, Counted)>,
    ) -> Self {
        let settings = &relay.settings;
        let unread = relay.unread();
        let client = Client::new(key.clone(), settings.waiting, settings.host_message);
        let coming = Coming {
            key,
            unread: unread.clone(),
            is_back: false,
        };
        let finding = find(Arc::clone(&relay), host.clone(), coming);
        Self {
            away_since: relay.moment(),
            part_at: relay.moment(),
            parts: Vec::new(),
            finding: Some(finding),
            link: None,
            held: None,
            tell: Some(tell),
            relay,
            host,
            client,
            unread,
        }
    }

    async fn run(&mut self, mut stream: SplitStream<WebSocketStream<Socket>>) -> Parting {
        loop {
            let now = self.relay.moment();
            if let Some(parting) = self.overdue(now) {
                return parting;
            }
            if self.client.outbound().has_room()
                && let Some(held) = self.held.take()
                && let Some(parting) = self.keep(held)
            {
                return parting;
            }
            let wake = self.wake_at(now).map(|wake| self.relay.instant(wake));
            // Who says more than may wait is read no further, whether the host is slow or away.
            let is_read = self.held.is_none();
            let has_next = self.client.outbound().has_next(now);
            let (up, down) = match &mut self.link {
                Some(link) => (has_next.then(|| link.up.clone()), Some(&mut link.down)),
                None => (None, None),
            };
            let event = tokio::select! {
                down = receive(down) => Event::Down(down),
                Some(place) = reserve(up) => Event::Place(place),
                found = found(&mut self.finding) => Event::Found(found),
                frame = stream.next(), if is_read => Event::Frame(frame),
                () = wait(wake) => Event::Woken,
            };
            let step = match event {
                Event::Down(down) => self.hear(down),
                Event::Found(found) => self.found(found),
                Event::Frame(frame) => self.say(frame),
                Event::Place(place) => {
                    if let Some(envelope) = self.client.say_next(now) {
                        place.send(envelope);
                    }
                    None
                }
                Event::Woken => None,
            };
            if let Some(parting) = step {
                return parting;
            }
            if self.client.outbound().fate() == Fate::Gone {
                return Parting::Told(RefusalKind::UpstreamUnreachable);
            }
        }
    }

    /// Takes what the guest says.
    fn say(&mut self, frame: Option<Result<Frame, Error>>) -> Option<Parting> {
        let text = match frame {
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                return Some(Parting::Told(RefusalKind::MessageTooBig));
            }
            Some(Err(Error::Utf8(_)) | Ok(Frame::Binary(_))) => return Some(Parting::NotJson),
            None | Some(Err(_) | Ok(Frame::Close(_))) => return Some(Parting::Left),
            Some(Ok(Frame::Text(text))) => text,
            Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => return None,
        };
        let Ok(message) = Message::of_frame(text) else {
            return Some(Parting::NotJson);
        };
        if !self.client.outbound().has_room() {
            self.held = Some(message);
            return None;
        }
        self.keep(message)
    }

    /// Takes a message for which there is room.
    fn keep(&mut self, message: Message) -> Option<Parting> {
        match self.client.message(message) {
            Ok(()) => None,
            // Whether there is room was looked at before: this is never so.
            Err(Unsendable::Full) => Some(Parting::Told(RefusalKind::UpstreamUnreachable)),
            Err(Unsendable::TooLong) => Some(Parting::Told(RefusalKind::MessageTooBig)),
        }
    }

    /// Takes what comes over the link.
    fn hear(&mut self, down: Option<Down>) -> Option<Parting> {
        match down {
            None => {
                self.lose();
                None
            }
            Some(Down::Slow) => Some(Parting::Told(RefusalKind::SlowConsumer)),
            Some(Down::Settled(version)) => {
                self.client.settle(version);
                None
            }
            Some(Down::Envelope(envelope, counted)) => {
                let said = self.client.accept(&envelope);
                self.keep_part(counted);
                match said {
                    Said::Nothing => None,
                    Said::Gone(loss) => {
                        let host = &*self.host;
                        tracing::info!(target: "portcullis::remote", host, %loss, "a guest is gone");
                        Some(Parting::Told(RefusalKind::UpstreamUnreachable))
                    }
                    Said::Message(message) => self.pass_on(&message),
                }
            }
        }
    }

    /// What has come of a message is counted until that is whole.
    fn keep_part(&mut self, counted: Counted) {
        let parts = self.client.parts();
        if parts <= self.parts.len() {
            // Whole, broken, or nothing new.
            self.parts.truncate(parts);
        } else {
            self.parts.push(counted);
            self.part_at = self.relay.moment();
        }
    }

    /// Tells the guest what its host said.
    fn pass_on(&self, message: &Message) -> Option<Parting> {
        let text = message.to_frame();
        let slow = Some(Parting::Told(RefusalKind::SlowConsumer));
        let Some(counted) = self.unread.add(text.len()) else {
            return slow;
        };
        match self
            .tell
            .as_ref()
            .map(|tell| tell.try_send((text, counted)))
        {
            Some(Ok(())) => None,
            Some(Err(_)) | None => slow,
        }
    }

    fn found(&mut self, found: Result<Link, Unreached>) -> Option<Parting> {
        self.finding = None;
        match found {
            Ok(link) => {
                self.client.open();
                self.part_at = self.relay.moment();
                self.link = Some(link);
                None
            }
            Err(Unreached::Full) => Some(Parting::Told(RefusalKind::SessionLimit)),
            Err(Unreached::Away) => Some(Parting::Told(RefusalKind::UpstreamUnreachable)),
        }
    }

    /// The road is gone: it looks for the next.
    fn lose(&mut self) {
        let key = self.client.outbound().key().clone();
        self.link = None;
        self.client.lose();
        self.away_since = self.relay.moment();
        let coming = Coming {
            key,
            unread: self.unread.clone(),
            is_back: true,
        };
        let finding = find(Arc::clone(&self.relay), self.host.clone(), coming);
        self.finding = Some(finding);
    }

    fn overdue(&self, now: Moment) -> Option<Parting> {
        if self.link.is_none() && self.away_until() <= now {
            return Some(Parting::Told(RefusalKind::UpstreamUnreachable));
        }
        let late = self.pong_until().into_iter().chain(self.part_until());
        let is_mute = late.min().is_some_and(|until| until <= now);
        is_mute.then_some(Parting::Told(RefusalKind::UpstreamTimeout))
    }

    fn wake_at(&self, now: Moment) -> Option<Moment> {
        let away = self.link.is_none().then(|| self.away_until());
        let due = self.client.outbound().deadline();
        let due = due.filter(|due| *due > now);
        [away, due, self.pong_until(), self.part_until()]
            .into_iter()
            .flatten()
            .min()
    }

    fn away_until(&self) -> Moment {
        self.away_since.after(self.relay.settings.away)
    }

    fn pong_until(&self) -> Option<Moment> {
        let since = self.client.outbound().waits_since()?;
        Some(since.after(self.relay.settings.pong))
    }

    /// Until when the next part of a message must have come.
    fn part_until(&self) -> Option<Moment> {
        let is_due = self.link.is_some() && !self.parts.is_empty();
        is_due.then(|| self.part_at.after(self.relay.settings.stall))
    }

    /// Tells the host what the guest said last, and that it is gone.
    async fn leave(&mut self) {
        let Some(link) = self.link.take() else {
            return;
        };
        let now = self.relay.moment();
        let last = async {
            while let Some(envelope) = self.client.say_next(now) {
                link.up.send(envelope).await?;
            }
            match self.client.outbound().close() {
                Some(closed) => link.up.send(closed).await,
                None => Ok(()),
            }
        };
        // A host that is not told lets the client idle away.
        let _: Result<Result<(), _>, tokio::time::error::Elapsed> = timeout(FAREWELL, last).await;
    }
}

async fn receive(down: Option<&mut mpsc::Receiver<Down>>) -> Option<Down> {
    match down {
        Some(down) => down.recv().await,
        None => std::future::pending().await,
    }
}

/// Room for an envelope; none when the road is gone, which is heard as well.
async fn reserve<T>(up: Option<mpsc::Sender<T>>) -> Option<mpsc::OwnedPermit<T>> {
    match up {
        Some(up) => up.reserve_owned().await.ok(),
        None => None,
    }
}

async fn wait(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

async fn found(finding: &mut Option<Finding>) -> Result<Link, Unreached> {
    match finding {
        Some(finding) => finding.as_mut().await,
        None => std::future::pending().await,
    }
}

fn close(codes: &CodeTable, parting: Parting) -> Option<CloseFrame> {
    let (code, reason) = match parting {
        Parting::Left => return None,
        Parting::NotJson => (NOT_JSON, "not_json"),
        Parting::Told(kind) => (codes.code(kind)?.get(), kind.as_str()),
    };
    let code = code.into();
    let reason = reason.into();
    Some(CloseFrame { code, reason })
}

/// "Data within a message that was not consistent with the type of the message" (RFC 6455, 7.4.1).
const NOT_JSON: u16 = 1007;

/// Messages that wait to be written to a guest.
const TOLD: usize = 1024;

/// How long the last word may take, to either side.
const FAREWELL: Duration = Duration::from_secs(1);
