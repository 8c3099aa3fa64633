//! While a connection is open.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use portcullis_boundary::SessionId;
use portcullis_boundary::clock::{Clock as _, SystemClock};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message as Frame, Utf8Bytes};

use super::Driver;
use super::renewal::{Renewal, renewal};
use super::writer::Writer;
use crate::cause::Cause;
use crate::config::Unwritten;
use crate::connect::{Entered, Goodbye, Meter, Socket, Step, Unreachable};
use crate::machine::{Action, Event as Input};
use crate::message::Message;
use crate::refused::Refused;
use crate::state::{Event, Lost, Opened, State};

/// One connection.
struct Connection {
    stream: SplitStream<Socket>,
    writer: Writer,
    session: Option<SessionId>,
    meter: Meter,
    /// What the meter showed last.
    moved: (u64, u64),
    /// A message that waits for room at whoever reads. Nothing more is read meanwhile.
    unread: Option<Message>,
    wants_ping: bool,
    renewal: Option<Renewal>,
    /// Until when the other end may answer our close frame.
    leaves: Option<Instant>,
    /// That writing has failed. Reading goes on for a little: a close frame says why.
    failed: Option<(Instant, Over)>,
}

impl Connection {
    /// Whether the other end may well be there although no frame came since this was last asked. What
    /// we write counts only while a message is on its way: a ping is taken by the system, whoever is
    /// there.
    fn is_busy(&mut self) -> bool {
        let (read, written) = (self.meter.read(), self.meter.written());
        let before = std::mem::replace(&mut self.moved, (read, written));
        let is_writing = !self.writer.is_idle();
        self.unread.is_some() || read != before.0 || (is_writing && written != before.1)
    }

    fn fails_at(&self) -> Option<Instant> {
        self.failed.as_ref().map(|(at, _)| *at)
    }
}

/// What ended a connection.
enum Over {
    /// The other end, or the network.
    Lost(Cause),
    /// The machine gave it up.
    Cut,
    /// We said goodbye, and that is done.
    Left,
}

impl Driver {
    pub(super) async fn open(&mut self, entered: Entered) {
        let now = SystemClock::new().now();
        let expires_in = entered.expires_at.map(|at| at.since(now));
        self.handle(Input::Opened(expires_in));
        self.watchers.tell(State::Open);
        self.cause = None;
        let opened = Opened {
            subprotocol: entered.subprotocol,
            session: entered.session,
            expires_at: entered.expires_at,
        };
        self.tell(Event::Opened(opened)).await;
        let meter = entered.socket.get_ref().meter().clone();
        let (sink, stream) = entered.socket.split();
        let mut connection = Connection {
            stream,
            writer: Writer::new(sink),
            session: entered.session,
            moved: (meter.read(), meter.written()),
            meter,
            unread: None,
            wants_ping: false,
            renewal: None,
            leaves: None,
            failed: None,
        };
        let over = self.keep(&mut connection).await;
        self.close_behind(connection, over).await;
    }

    /// Keeps the connection until it is over.
    async fn keep(&mut self, connection: &mut Connection) -> Over {
        let inbox = self.inbox.clone();
        loop {
            self.write_next(connection);
            let deadline = self.machine.deadline().map(|at| self.instant(at));
            let (leaves, fails) = (connection.leaves, connection.fails_at());
            let over = tokio::select! {
                () = self.closing.cancelled(), if !self.is_closing => {
                    self.begin_closing();
                    None
                }
                () = until(leaves) => Some(Over::Left),
                () = until(fails) => connection.failed.take().map(|(_, over)| over),
                () = until(deadline) => self.tick(connection),
                room = inbox.reserve(), if connection.unread.is_some() => {
                    if let (Ok(room), Some(message)) = (room, connection.unread.take()) {
                        room.send(Event::Message(message));
                    }
                    None
                }
                frame = connection.stream.next(), if connection.unread.is_none() => {
                    self.read(connection, frame)
                }
                written = connection.writer.written() => {
                    connection.failed = written.err().map(|error| in_a_while(&error));
                    // So it is when the goodbye does not get through.
                    let leaves = connection.failed.is_some() && connection.leaves.is_some();
                    leaves.then_some(Over::Left)
                }
                Some(first) = self.outbox.recv(), if connection.writer.is_idle() => {
                    let batch = self.batch(first);
                    connection.writer.messages(batch);
                    None
                }
                renewed = renewal(&mut connection.renewal) => {
                    connection.renewal = None;
                    self.renewed(renewed);
                    None
                }
            };
            if let Some(over) = over {
                return over;
            }
        }
    }

    /// What is queued, up to what one flush takes.
    fn batch(&mut self, first: Message) -> Vec<Message> {
        let mut batch = vec![first];
        while batch.len() < MOST_AT_ONCE {
            let Ok(more) = self.outbox.try_recv() else {
                break;
            };
            batch.push(more);
        }
        batch
    }

    /// Begins to write what is no message, when nothing else is being written.
    fn write_next(&self, connection: &mut Connection) {
        if !connection.writer.is_idle() || connection.leaves.is_some() {
            return;
        }
        if connection.wants_ping {
            connection.wants_ping = false;
            connection.writer.control(Frame::Ping(Vec::new().into()));
        } else if self.is_closing && self.outbox.is_empty() {
            let goodbye = CloseFrame {
                code: 1000.into(),
                reason: Utf8Bytes::default(),
            };
            connection.writer.control(Frame::Close(Some(goodbye)));
            connection.leaves = Some(Instant::now() + self.config.close_timeout);
        }
    }

    fn tick(&mut self, connection: &mut Connection) -> Option<Over> {
        if connection.is_busy() {
            self.handle(Input::Busy);
        }
        match self.machine.tick(self.now()) {
            Some(Action::Cut) => return Some(Over::Cut),
            Some(Action::Ping) => connection.wants_ping = true,
            Some(Action::Renew) => connection.renewal = self.begin_renewal(connection.session),
            Some(Action::Fetch(_) | Action::Connect | Action::AskLogin) | None => {}
        }
        None
    }

    fn read(
        &mut self,
        connection: &mut Connection,
        frame: Option<tungstenite::Result<Frame>>,
    ) -> Option<Over> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            // After our goodbye, any end is a good one.
            Some(Err(_)) | None if connection.leaves.is_some() => return Some(Over::Left),
            Some(Err(error)) => return Some(lost(&error)),
            None => return Some(lost(&tungstenite::Error::ConnectionClosed)),
        };
        // A goodbye proves nothing.
        if !frame.is_close() {
            self.handle(Input::Heard);
        }
        match frame {
            Frame::Text(text) => {
                if !self.is_notice(connection.session, &text) {
                    connection.unread = Some(Message::from_text(text));
                }
            }
            Frame::Binary(bytes) => connection.unread = Some(Message::Binary(bytes)),
            Frame::Close(_) if connection.leaves.is_some() => return Some(Over::Left),
            Frame::Close(_) => {
                let Goodbye { code, reason } = connection.meter.goodbye();
                let refused = Refused::from_close(code, &reason, &self.config.codes);
                return Some(Over::Lost(Cause::Refused(refused)));
            }
            Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
        }
        None
    }

    /// Says what has to be said when a connection is over.
    async fn close_behind(&mut self, connection: Connection, over: Over) {
        let Connection {
            mut stream, writer, ..
        } = connection;
        let in_doubt = writer.give_up();
        let cause = match over {
            Over::Left => {
                self.handle(Input::Leave);
                return;
            }
            Over::Cut => {
                let why = "it answers no ping";
                let cause = Cause::Unreachable(Unreachable::passing(Step::Open, why));
                // The machine knows already.
                self.watchers.tell(State::Refused(cause.clone()));
                self.cause = Some(cause.clone());
                self.next = None;
                cause
            }
            Over::Lost(cause) => {
                if cause.refused().is_some() {
                    // Reading on sends the answer to the close frame.
                    let answer = async { while let Some(Ok(_)) = stream.next().await {} };
                    let _: Result<(), _> = timeout(CLOSE_GRACE, answer).await;
                }
                if cause.refused().is_some_and(Refused::is_finish) {
                    self.cause = Some(cause.clone());
                    self.handle(Input::Finished);
                } else {
                    let verdict = cause.verdict();
                    self.no(cause.clone(), Input::Ended(verdict));
                }
                cause
            }
        };
        self.tell(Event::Lost(Lost { cause, in_doubt })).await;
        if self.config.unwritten == Unwritten::GiveBack {
            let mut unwritten = Vec::new();
            while let Ok(message) = self.outbox.try_recv() {
                unwritten.push(message);
            }
            if !unwritten.is_empty() {
                self.tell(Event::Unwritten(unwritten)).await;
            }
        }
    }
}

/// Sleeps until then; for ever without it.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn lost(error: &tungstenite::Error) -> Over {
    let unreachable = match error {
        tungstenite::Error::Capacity(_) => Unreachable::lasting(Step::Open, error),
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            Unreachable::passing(Step::Open, "it ended without a word")
        }
        _ => Unreachable::passing(Step::Open, error),
    };
    Over::Lost(Cause::Unreachable(unreachable))
}

fn in_a_while(error: &tungstenite::Error) -> (Instant, Over) {
    (Instant::now() + CLOSE_GRACE, lost(error))
}

/// How many messages are written with one flush, at most.
const MOST_AT_ONCE: usize = 64;

/// How long the other end may take to close a connection after the answer to its close frame, and how
/// long a close frame is looked for when writing has failed.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
