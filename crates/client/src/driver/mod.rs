//! The driver: carries out what the machine says. It has one task, which a
//! [`Client`](crate::Client) starts and ends, and one method for each state.
//!
//! Whatever it waits for, it listens besides to whoever wants it to end.

mod open;
mod renewal;
mod shut;
mod watchers;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::{Clock as _, Moment, SystemClock};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::watchers::Watchers;
use crate::cause::{Cause, Ended};
use crate::config::{Config, Unwritten};
use crate::machine::{Action, End, Event as Input, Machine, Phase};
use crate::message::Message;
use crate::state::{Event, State};
use crate::token::Issued;

/// What drives one client.
pub(crate) struct Driver {
    config: Arc<Config>,
    machine: Machine,
    start: Instant,
    /// What the machine wants done next.
    next: Option<Action>,
    outbox: mpsc::Receiver<Message>,
    inbox: mpsc::Sender<Event>,
    watchers: Watchers,
    closing: CancellationToken,
    is_closing: bool,
    /// The token of the attempt under way, or of the last one.
    issued: Option<Issued>,
    cause: Option<Cause>,
    login: Option<Box<str>>,
}

impl Driver {
    pub(crate) fn new(
        config: Arc<Config>,
        outbox: mpsc::Receiver<Message>,
        inbox: mpsc::Sender<Event>,
        watchers: Watchers,
        closing: CancellationToken,
    ) -> Self {
        let machine = Machine::new(config.settings.clone(), seed(), Moment::default());
        Self {
            config,
            machine,
            start: Instant::now(),
            next: None,
            outbox,
            inbox,
            watchers,
            closing,
            is_closing: false,
            issued: None,
            cause: None,
            login: None,
        }
    }

    /// Drives the client to its end.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            match self.next.take() {
                Some(Action::Fetch(which)) => self.fetch(which).await,
                Some(Action::Connect) => self.connect().await,
                Some(Action::AskLogin) => self.ask_login().await,
                // Of a connection that is over.
                Some(Action::Ping | Action::Renew | Action::Cut) => {}
                None => match self.machine.phase() {
                    Phase::Ended(end) => return self.end(end).await,
                    _ => self.rest().await,
                },
            }
        }
    }

    async fn end(mut self, end: End) -> Ended {
        self.outbox.close();
        let mut left = Vec::new();
        while let Ok(message) = self.outbox.try_recv() {
            left.push(message);
        }
        let ended = Ended {
            end,
            cause: self.cause.take().filter(|_| end != End::Left),
            login: self.login.take(),
        };
        self.watchers.tell(State::Ended(ended.clone()));
        if !left.is_empty() {
            self.tell(Event::Unwritten(left)).await;
        }
        ended
    }

    fn handle(&mut self, input: Input) {
        self.next = self.machine.handle(input, self.now());
    }

    fn now(&self) -> Moment {
        Moment::at(self.start.elapsed())
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.elapsed()
    }

    /// Tells whoever uses the client, and waits until they have room for it.
    async fn tell(&self, event: Event) {
        // Who is gone has dropped the client, and this task ends.
        let _: Result<(), mpsc::error::SendError<Event>> = self.inbox.send(event).await;
    }

    /// What was refused, or did not get through, and what to do about it.
    fn no(&mut self, cause: Cause, input: Input) {
        self.watchers.tell(State::Refused(cause.clone()));
        self.cause = Some(cause);
        self.handle(input);
    }

    /// Waits for `work` while no connection is open. None when the client is to end instead.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        let gives_back = self.config.unwritten == Unwritten::GiveBack;
        loop {
            if self.is_closing && self.outbox.is_empty() {
                self.handle(Input::Leave);
                return None;
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled(), if !self.is_closing => self.begin_closing(),
                Some(message) = self.outbox.recv(), if gives_back => {
                    self.tell(Event::Unwritten(vec![message])).await;
                }
                done = &mut work => return Some(done),
            }
        }
    }

    fn begin_closing(&mut self) {
        self.is_closing = true;
        self.outbox.close();
    }
}

/// Spreads clients; it need not be a secret.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => u64::try_from(SystemClock::new().now().as_millis()).unwrap_or_default(),
    }
}

/// How long a wait must be for people to be told of it.
const WORTH_TELLING: Duration = Duration::from_millis(1);
