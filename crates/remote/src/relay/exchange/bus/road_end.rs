//! The end of a link where the road is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::driver::{Ends, Wire, drive};
use super::frame::{Frame, Kind};
use super::hub::Hub;
use super::machine::{Broken, Word};
use super::words::{guest_topic, road_topic};
use super::{Ear, Heard};
use crate::relay::exchange::{Board, Coming, Unreached};
use crate::relay::link::{Down, Link};
use crate::relay::secret;
use crate::wire::{ClientEnvelope, Key};

/// What the guest's gate asks for.
pub(super) struct Asked {
    pub(super) link: u128,
    pub(super) host: Box<str>,
    pub(super) client: Box<str>,
    pub(super) stream: Box<str>,
    pub(super) is_back: bool,
}

/// The links of guests at other gates to the roads of one board, one for each guest. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<Key, Place>>>);

struct Place {
    link: u128,
    replaced: CancellationToken,
}

impl Places {
    /// A guest comes with a link, and leaves the one that it had; none when it has come with this one.
    fn enter(&self, key: &Key, link: u128) -> Option<Seat> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.get(key).is_some_and(|place| place.link == link) {
            return None;
        }
        let replaced = CancellationToken::new();
        let place = Place {
            link,
            replaced: replaced.clone(),
        };
        if let Some(before) = places.insert(key.clone(), place) {
            before.replaced.cancel();
        }
        Some(Seat {
            places: self.clone(),
            key: key.clone(),
            link,
            replaced,
        })
    }
}

/// A guest's place, which it leaves when this is dropped.
struct Seat {
    places: Places,
    key: Key,
    link: u128,
    replaced: CancellationToken,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut places = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = places.get(&self.key).map(|place| place.link);
        if own == Some(self.link) {
            places.remove(&self.key);
        }
    }
}

/// Answers a gate that asks for a link to a road that ends here, and is the road's end of it.
pub(super) fn answer(hub: &Arc<Hub>, board: &Arc<dyn Board>, places: &Places, asked: Asked) {
    let Ok(key) = Key::new(&*asked.client, &*asked.stream) else {
        return;
    };
    let Ok(permit) = Arc::clone(&hub.roads).try_acquire_owned() else {
        tracing::warn!(target: "portcullis::remote", "there are too many links to roads here");
        return;
    };
    let Some(seat) = places.enter(&key, asked.link) else {
        return;
    };
    let (hub, board) = (Arc::clone(hub), Arc::clone(board));
    hub.clone().spawn(async move {
        let replaced = seat.replaced.clone();
        // Whoever is replaced says nothing more to the road.
        replaced
            .run_until_cancelled(serve(&hub, board, key, asked))
            .await;
        drop((seat, permit));
    });
}

async fn serve(hub: &Hub, board: Arc<dyn Board>, key: Key, asked: Asked) {
    let Some((wire, link)) = open(hub, board, &key, &asked).await else {
        return;
    };
    let seat = link.seat;
    let ends = Ends {
        first: link.probe,
        inbox: link.up,
        outbox: link.down,
        read: |word| match word {
            Word::Envelope(text) => match ClientEnvelope::parse(&text) {
                Ok(envelope) if is_of(&envelope, &key) => Ok(envelope),
                Ok(_) | Err(_) => Err(Broken::Malformed),
            },
            Word::Settled(_) | Word::Slow | Word::Bye => Err(Broken::Malformed),
        },
        write: |down| match down {
            Down::Settled(version) => Word::Settled(version),
            Down::Envelope(envelope, _) => Word::Envelope(envelope.to_text()),
            Down::Slow => Word::Slow,
        },
        over: CancellationToken::new(),
    };
    let ended = Box::pin(drive(wire, ends, hub.pace)).await;
    drop(seat);
    if let Err(why) = ended {
        let host = &*asked.host;
        tracing::info!(target: "portcullis::remote", host, %why, "a link to a road is broken");
    }
}

/// Says that the road is here, waits until the guest's gate takes it, and brings the guest to it.
async fn open(hub: &Hub, board: Arc<dyn Board>, key: &Key, asked: &Asked) -> Option<(Wire, Link)> {
    let end = secret::number().ok()?;
    let mut wire = Wire {
        bus: Arc::clone(&hub.bus),
        topic: guest_topic(asked.link),
        ear: hub.listen(&road_topic(asked.link)).await.ok()?,
        end,
    };
    wire.say(&Frame::first(Kind::Here)).await.ok()?;
    let until = Instant::now() + hub.patience;
    timeout_at(until, taken(&mut *wire.ear, end)).await.ok()??;
    let coming = Coming {
        key: key.clone(),
        unread: board.unread(),
        is_back: asked.is_back,
    };
    let attached = board.attach(&asked.host, &coming);
    let told = match &attached {
        Ok(link) => Frame::opened(link.road),
        Err(Unreached::Full) => Frame::first(Kind::Full),
        Err(Unreached::Away) => Frame::first(Kind::Cut),
    };
    wire.say(&told).await.ok()?;
    Some((wire, attached.ok()?))
}

/// Waits until the guest's gate takes the road's end `end`; none when it does not.
async fn taken(ear: &mut dyn Ear, end: u128) -> Option<()> {
    loop {
        let Heard::Payload(payload) = ear.next().await? else {
            continue;
        };
        match Frame::parse(payload) {
            Some((of, frame)) if of == end => return (frame.kind == Kind::Beat).then_some(()),
            // It has taken another gate's.
            Some(_) => return None,
            None => {}
        }
    }
}

/// Whether an envelope is of the guest's virtual client, and no other's.
fn is_of(envelope: &ClientEnvelope, key: &Key) -> bool {
    envelope.client_id == *key.client_id() && envelope.stream_id.as_ref() == Some(key.stream_id())
}
