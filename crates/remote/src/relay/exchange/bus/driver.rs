//! The task of one end of a link.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use portcullis_boundary::clock::Moment;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, Kind};
use super::machine::{Broken, Machine, Pace, Word};
use super::{ByteBus, Ear, Heard};

/// How an end is heard and how it says something.
pub(super) struct Wire {
    pub(super) bus: Arc<dyn ByteBus>,
    /// Where the other end listens.
    pub(super) topic: String,
    pub(super) ear: Box<dyn Ear>,
    /// The road's end.
    pub(super) end: u128,
}

impl Wire {
    /// Says a frame. What is answered borrows nothing, since an ear is not for two threads.
    pub(super) fn say(
        &self,
        frame: &Frame,
    ) -> impl Future<Output = Result<(), Broken>> + Send + use<> {
        let said = self.bus.publish(&self.topic, frame.to_payload(self.end));
        async { said.await.map_err(|_| Broken::Untold) }
    }
}

/// What an end passes on, in both directions.
pub(super) struct Ends<I, O, R, W> {
    /// What is passed on before anything that the other end says.
    pub(super) first: Option<I>,
    /// Who hears what the other end says.
    pub(super) inbox: mpsc::Sender<I>,
    /// What the other end is told.
    pub(super) outbox: mpsc::Receiver<O>,
    /// From a word to what is heard.
    pub(super) read: R,
    /// From what is told to a word.
    pub(super) write: W,
    /// Cancelled when the guest has left, or the road is over: the last words have a while.
    pub(super) over: CancellationToken,
}

/// Drives an end until either has taken leave, or it breaks.
pub(super) async fn drive<I, O, R, W>(
    mut wire: Wire,
    ends: Ends<I, O, R, W>,
    pace: Pace,
) -> Result<(), Broken>
where
    R: FnMut(Word) -> Result<I, Broken>,
    W: FnMut(O) -> Word,
{
    let ended = Driver::new(ends, pace).run(&mut wire).await;
    if let Err(broken) = ended
        && broken != Broken::Cut
    {
        // The other end would notice by itself, later.
        let cut = Frame::first(Kind::Cut);
        let _: Result<Result<(), Broken>, _> = timeout(FAREWELL, wire.say(&cut)).await;
    }
    ended
}

struct Driver<I, O, R, W> {
    ends: Ends<I, O, R, W>,
    machine: Machine,
    origin: Instant,
    /// What the other end has said, and waits for room.
    word: Option<Word>,
    /// Nobody hears what the other end says.
    is_deaf: bool,
    has_said_bye: bool,
    /// When the last words must have been said.
    until: Option<Instant>,
}

/// What happens to an end.
enum Event<I, O> {
    Heard(Option<Heard>),
    Place(Result<mpsc::OwnedPermit<I>, mpsc::error::SendError<()>>),
    Said(Option<O>),
    Over,
    Woken,
}

impl<I, O, R, W> Driver<I, O, R, W>
where
    R: FnMut(Word) -> Result<I, Broken>,
    W: FnMut(O) -> Word,
{
    fn new(ends: Ends<I, O, R, W>, pace: Pace) -> Self {
        Self {
            ends,
            machine: Machine::new(pace, Moment::default()),
            origin: Instant::now(),
            word: None,
            is_deaf: false,
            has_said_bye: false,
            until: None,
        }
    }

    async fn run(&mut self, wire: &mut Wire) -> Result<(), Broken> {
        loop {
            if self.take()? {
                return Ok(());
            }
            while let Some(frame) = self.machine.next(self.now()) {
                wire.say(&frame).await?;
            }
            if self.has_said_bye && self.machine.is_ready() {
                return Ok(());
            }
            match self.next_event(wire).await {
                Event::Heard(heard) => self.hear(wire.end, heard)?,
                Event::Place(Ok(place)) => self.pass_on(place)?,
                Event::Place(Err(_)) => {
                    (self.ends.first, self.word, self.is_deaf) = (None, None, true);
                }
                Event::Said(Some(said)) => self.machine.say((self.ends.write)(said)),
                Event::Said(None) => {
                    self.machine.say(Word::Bye);
                    self.has_said_bye = true;
                    self.leave();
                }
                Event::Over => self.leave(),
                Event::Woken if self.is_late() => return Err(Broken::Late),
                // What waits to be heard is no silence.
                Event::Woken => match wire.ear.next().now_or_never() {
                    Some(heard) => self.hear(wire.end, heard)?,
                    None => self.machine.tick(self.now())?,
                },
            }
        }
    }

    async fn next_event(&mut self, wire: &mut Wire) -> Event<I, O> {
        let deadline = self.origin + self.machine.deadline().elapsed();
        let deadline = self.until.map_or(deadline, |until| until.min(deadline));
        let waits = self.word.is_some() || self.ends.first.is_some();
        let may_say = self.machine.is_ready() && !self.has_said_bye;
        tokio::select! {
            heard = wire.ear.next() => Event::Heard(heard),
            place = self.ends.inbox.clone().reserve_owned(), if waits => Event::Place(place),
            said = self.ends.outbox.recv(), if may_say => Event::Said(said),
            () = self.ends.over.cancelled(), if self.until.is_none() => Event::Over,
            () = sleep_until(deadline) => Event::Woken,
        }
    }

    /// Takes the next word, unless one waits; the answer is whether it was the last.
    fn take(&mut self) -> Result<bool, Broken> {
        while self.word.is_none() && self.ends.first.is_none() {
            match self.machine.take()? {
                Some(Word::Bye) => return Ok(true),
                Some(_) if self.is_deaf => {}
                Some(word) => self.word = Some(word),
                None => break,
            }
        }
        Ok(false)
    }

    fn hear(&mut self, end: u128, heard: Option<Heard>) -> Result<(), Broken> {
        let payload = match heard {
            None => return Err(Broken::Untold),
            Some(Heard::Missed) => {
                self.machine.missed();
                return Ok(());
            }
            Some(Heard::Payload(payload)) => payload,
        };
        match Frame::parse(payload) {
            Some((of, frame)) if of == end => self.machine.hear(frame, self.now()),
            // Another gate answered as well; or it is no frame.
            Some(_) | None => Ok(()),
        }
    }

    fn pass_on(&mut self, place: mpsc::OwnedPermit<I>) -> Result<(), Broken> {
        if let Some(first) = self.ends.first.take() {
            place.send(first);
        } else if let Some(word) = self.word.take() {
            place.send((self.ends.read)(word)?);
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.until.get_or_insert_with(|| Instant::now() + FAREWELL);
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }
}

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(1);
