//! The end of a link where the guest is.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::driver::{Ends, Wire, drive};
use super::frame::{Frame, Kind};
use super::hub::Hub;
use super::machine::{Broken, Word};
use super::words::{CALLS, Call, Id, guest_topic, road_topic};
use super::{Ear, Heard};
use crate::relay::exchange::{Asked, Coming, Unreached};
use crate::relay::link::{Down, Link, RoadAge};
use crate::relay::{Unread, secret};
use crate::wire::{ClientEnvelope, Key, ServerEnvelope};

/// Asks for a link of `guest` to the road of `host`.
pub(super) fn reach(
    hub: &Arc<Hub>,
    asker: u128,
    host: &str,
    guest: &Coming,
) -> Asked<Result<Link, Unreached>> {
    let (tell, told) = oneshot::channel();
    let place = Arc::clone(&hub.guests).try_acquire_owned();
    match (place, secret::number()) {
        (Ok(place), Ok(link)) => {
            let asking = Asking {
                hub: Arc::clone(hub),
                host: host.into(),
                call: Call::Reach {
                    from: Id(asker),
                    link: Id(link),
                    host: host.into(),
                    client: (**guest.key.client_id()).into(),
                    stream: (**guest.key.stream_id()).into(),
                    is_back: guest.is_back,
                },
                link,
                guest: guest.clone(),
                _place: place,
            };
            hub.spawn(asking.run(tell));
        }
        (Err(_), _) => {
            tracing::warn!(target: "portcullis::remote", "there are too many links of guests here");
        }
        (_, Err(_)) => {
            tracing::error!(target: "portcullis::remote", "no randomness");
        }
    }
    Box::pin(async { told.await.unwrap_or(Err(Unreached::Away)) })
}

/// A link that is asked for.
struct Asking {
    hub: Arc<Hub>,
    host: Box<str>,
    call: Call,
    link: u128,
    guest: Coming,
    _place: OwnedSemaphorePermit,
}

impl Asking {
    async fn run(self, mut tell: oneshot::Sender<Result<Link, Unreached>>) {
        let asked = tokio::select! {
            asked = self.ask() => asked,
            // Nobody waits for the answer; a gate that has the road notices that it is not taken.
            () = tell.closed() => return,
        };
        let Some(wire) = asked else {
            // Who asked may have gone.
            let _: Result<(), _> = tell.send(Err(Unreached::Away));
            return;
        };
        self.open(wire, tell).await;
    }

    /// Asks all gates, and takes the first that has the road; none when nobody has.
    async fn ask(&self) -> Option<Wire> {
        let mut ear = self.hub.listen(&guest_topic(self.link)).await.ok()?;
        self.hub.publish(CALLS, &self.call).await.ok()?;
        let until = Instant::now() + self.hub.patience;
        let (end, first) = timeout_at(until, next_frame(&mut *ear)).await.ok()??;
        (first.kind == Kind::Here).then(|| Wire {
            bus: Arc::clone(&self.hub.bus),
            topic: road_topic(self.link),
            ear,
            end,
        })
    }

    /// Takes it, and is the guest's end of the link.
    async fn open(self, mut wire: Wire, mut tell: oneshot::Sender<Result<Link, Unreached>>) {
        let opened = tokio::select! {
            opened = self.take(&mut wire) => opened,
            () = tell.closed() => Err(Unreached::Away),
        };
        let road = match opened {
            Ok(road) => road,
            Err(unreached) => {
                // The guest may have its place meanwhile.
                let cut = Frame::first(Kind::Cut);
                let _: Result<Result<(), Broken>, _> =
                    timeout(self.hub.patience, wire.say(&cut)).await;
                let _: Result<(), _> = tell.send(Err(unreached));
                return;
            }
        };
        let over = CancellationToken::new();
        let entered = self
            .hub
            .links
            .enter(&self.host, self.link, road, over.clone());
        let (up, said) = mpsc::channel(UP);
        let (down, heard) = mpsc::channel(DOWN);
        let link = Link {
            up,
            down: heard,
            unread: self.guest.unread.clone(),
            road,
            probe: None,
            seat: Box::new(over.clone().drop_guard()),
        };
        // Whoever has gone has dropped it, which is noticed as any leaving.
        let _: Result<(), _> = tell.send(Ok(link));
        let (key, unread) = (&self.guest.key, &self.guest.unread);
        let ends = Ends {
            first: None,
            inbox: down,
            outbox: said,
            read: |word| read(word, key, unread),
            write: |envelope: ClientEnvelope| Word::Envelope(envelope.to_text()),
            over,
        };
        let ended = Box::pin(drive(wire, ends, self.hub.pace)).await;
        drop(entered);
        if let Err(why) = ended {
            let host = &*self.host;
            tracing::info!(target: "portcullis::remote", host, %why, "a guest's link is broken");
        }
    }

    async fn take(&self, wire: &mut Wire) -> Result<RoadAge, Unreached> {
        let take = async {
            wire.say(&Frame::first(Kind::Beat)).await.ok()?;
            loop {
                let (of, frame) = next_frame(&mut *wire.ear).await?;
                if of == wire.end && frame.kind != Kind::Here {
                    return Some(frame);
                }
            }
        };
        match timeout(self.hub.patience, take).await {
            Ok(Some(frame)) if frame.kind == Kind::Opened => frame.road().ok_or(Unreached::Away),
            Ok(Some(frame)) if frame.kind == Kind::Full => Err(Unreached::Full),
            Ok(_) | Err(_) => Err(Unreached::Away),
        }
    }
}

/// What the guest hears of a word.
fn read(word: Word, key: &Key, unread: &Unread) -> Result<Down, Broken> {
    let text = match word {
        Word::Envelope(text) => text,
        Word::Settled(version) => return Ok(Down::Settled(version)),
        Word::Slow => return Ok(Down::Slow),
        Word::Bye => return Err(Broken::Malformed),
    };
    let envelope = ServerEnvelope::parse(&text).map_err(|_| Broken::Malformed)?;
    if envelope.key != *key {
        return Err(Broken::Malformed);
    }
    Ok(match unread.add_event(&envelope.event, text.len()) {
        Some(counted) => Down::Envelope(Box::new(envelope), counted),
        None => Down::Slow,
    })
}

/// The next frame of whatever link.
async fn next_frame(ear: &mut dyn Ear) -> Option<(u128, Frame)> {
    loop {
        let payload: Bytes = match ear.next().await? {
            Heard::Payload(payload) => payload,
            Heard::Missed => continue,
        };
        if let Some(frame) = Frame::parse(payload) {
            return Some(frame);
        }
    }
}

/// Envelopes of the guest that wait for the bus.
const UP: usize = 4;

/// Envelopes that wait for the guest's task, beside those that the road keeps.
const DOWN: usize = 16;
