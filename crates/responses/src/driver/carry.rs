//! The task.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use portcullis_boundary::Refusal;
use portcullis_boundary::clock::Moment;
use portcullis_boundary::close::CloseCode;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Link;
use super::goodbye::Goodbye;
use super::link::Heard;
use crate::machine::{Action, Machine, TurnId};
use crate::service::{Caller, Socket};
use crate::wire::{Incoming, Line, Read};

/// What a driver begins with.
pub(crate) struct Start {
    pub(crate) machine: Machine,
    pub(crate) socket: Socket,
    pub(crate) message_bytes: usize,
    pub(crate) link: Link,
    pub(crate) caller: Caller,
    pub(crate) draining: CancellationToken,
}

/// Carries one connection from its opening to its end. Dropping it leaves client and upstream.
pub(crate) struct Driver {
    machine: Machine,
    origin: Instant,
    line: Line,
    link: Link,
    caller: Caller,
    asks: Vec<Asked>,
    /// None once the gate drains.
    draining: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    timer: Option<Pin<Box<Sleep>>>,
    goodbye: Option<Goodbye>,
    /// How many events of upstreams wait to be written.
    gathered: usize,
    /// When an upstream last said something; none from the start of a turn, on any lane, until the
    /// next event.
    heard: Option<Moment>,
    /// Whether what an upstream said last is seldom the last thing that it says for now.
    is_burst: bool,
    /// Whether somebody is asked who was not polled since.
    is_asking_anew: bool,
    is_gone: bool,
}

/// What came of looking at the upstreams.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Upstream {
    /// None said anything.
    Silent,
    /// What they said was passed on, as much as may be.
    WasHeard,
    /// There may be more than was passed on.
    HasMore,
}

/// Somebody is asked about a turn.
struct Asked {
    id: TurnId,
    answer: Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>,
}

impl Driver {
    pub(crate) fn new(start: Start) -> Self {
        Self {
            machine: start.machine,
            origin: Instant::now(),
            line: Line::new(start.socket, start.message_bytes),
            link: start.link,
            caller: start.caller,
            asks: Vec::new(),
            draining: Some(Box::pin(start.draining.cancelled_owned())),
            timer: None,
            goodbye: None,
            gathered: 0,
            heard: None,
            is_burst: false,
            is_asking_anew: false,
            is_gone: false,
        }
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MOST_ROUNDS {
            if let Some(goodbye) = &mut self.goodbye {
                self.link.poll_partings(cx);
                return goodbye.poll(&mut self.line, cx);
            }
            self.poll_draining(cx);
            let has_ticked = self.poll_timer(cx);
            self.poll_client(cx);
            let mut was_full = self.is_full();
            self.poll_asks(cx);
            let upstream = self.poll_upstream(cx);
            was_full |= self.is_full();
            if self.is_gone {
                return Poll::Ready(());
            }
            if upstream != Upstream::Silent && self.may_gather() {
                // Whoever brings events was woken before us, and may bring the next one at once. A turn
                // that comes in a burst would else cost a write for each.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.gathered = 0;
            self.poll_write(cx);
            if self.is_gone {
                return Poll::Ready(());
            }
            // Whoever is not named here was looked at after all that could matter to it.
            let has_room = was_full && !self.is_full();
            let has_news = self.goodbye.is_some() || self.is_asking_anew || self.is_due_earlier();
            let has_more = upstream == Upstream::HasMore;
            if !(has_ticked || has_more || has_room || has_news) {
                return Poll::Pending;
            }
        }
        // Others want to run too.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether so much waits, for the client or for an upstream, that nothing is read from the client.
    fn is_full(&self) -> bool {
        self.line.outbox.is_full() || self.link.is_full()
    }

    /// Whether more events are waited for before those that were heard are written. One that comes alone,
    /// as most do that a model makes one by one, is not held back; the one that says that a response was
    /// created comes before another.
    fn may_gather(&self) -> bool {
        let is_enough = self.gathered >= MOST_EVENTS || self.line.outbox.is_full();
        self.is_burst && !is_enough && self.goodbye.is_none()
    }

    /// Whether the timer would fire too late.
    fn is_due_earlier(&self) -> bool {
        let Some(deadline) = self.machine.deadline() else {
            return false;
        };
        let until = self.origin + deadline.elapsed();
        let timer = self.timer.as_ref();
        timer.is_none_or(|timer| timer.deadline() > until)
    }

    fn poll_draining(&mut self, cx: &mut Context<'_>) {
        if let Some(draining) = &mut self.draining
            && draining.as_mut().poll(cx).is_ready()
        {
            self.draining = None;
            self.machine.drain(self.now());
            self.act();
        }
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) {
        while self.goodbye.is_none() {
            if self.is_full() {
                if self.line.poll_gather(cx).is_ready() {
                    self.leave();
                }
                break;
            }
            let Poll::Ready(read) = self.line.poll_read(cx) else {
                break;
            };
            match read {
                Read::Incoming(Incoming::Message(frame)) => {
                    self.machine.receive(frame, self.now());
                    self.act();
                }
                Read::Incoming(Incoming::Ping(payload)) => self.line.outbox.pong(&payload),
                Read::Incoming(Incoming::Pong) => {}
                Read::Incoming(Incoming::Close(code)) => {
                    let code = code.and_then(|code| CloseCode::new(code).ok());
                    self.say_goodbye(code, "", true);
                }
                Read::Violated(violation) => {
                    let reason = violation.to_string();
                    self.say_goodbye(Some(CloseCode::PROTOCOL_ERROR), &reason, false);
                }
                Read::Gone => {
                    self.leave();
                    break;
                }
            }
        }
    }

    fn poll_asks(&mut self, cx: &mut Context<'_>) {
        self.is_asking_anew = false;
        let mut answers = Vec::new();
        self.asks
            .retain_mut(|asked| match asked.answer.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(answer) => {
                    answers.push((asked.id, answer));
                    false
                }
            });
        for (id, answer) in answers {
            match answer {
                Ok(()) => self.machine.admitted(id, self.now()),
                Err(refusal) => self.machine.refused(id, refusal, self.now()),
            }
        }
        self.act();
    }

    /// Passes on what upstreams say, as long as the client takes it.
    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Upstream {
        for count in 0..MOST_EVENTS {
            let heard = if self.goodbye.is_some() || self.is_gone || self.line.outbox.is_full() {
                Poll::Pending
            } else {
                self.link.poll_heard(cx)
            };
            let Poll::Ready(heard) = heard else {
                return if count > 0 {
                    Upstream::WasHeard
                } else {
                    Upstream::Silent
                };
            };
            self.gathered += 1;
            let now = self.now();
            let last = self.heard.replace(now);
            self.is_burst = last.is_none_or(|last| now.since(last) < BURST);
            match heard {
                Heard::Event(id, text) => self.machine.event(id, &text, now),
                Heard::Said(text) => self.machine.said(&text, now),
                Heard::Ended(id) => self.machine.ended(id, now),
                Heard::Failed(id, failure) => {
                    tracing::info!(target: LOG, %failure, "an upstream failed a turn");
                    self.machine.failed(id, &failure, now);
                }
                Heard::Lost(failure) => {
                    tracing::info!(target: LOG, %failure, "an upstream's socket was lost");
                    self.machine.lost(&failure, now);
                }
            }
            self.act();
        }
        Upstream::HasMore
    }

    /// Writes what waits.
    fn poll_write(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(_)) = self.line.poll_write(cx) {
            self.leave();
        }
    }

    /// Waits for the next deadline. The timer is set anew only when it fires or would fire too late: each
    /// event moves a deadline back, and none of them should cost a timer.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.machine.deadline() else {
            return false;
        };
        let until = self.origin + deadline.elapsed();
        let timer = match &mut self.timer {
            Some(timer) => {
                if timer.deadline() > until || timer.is_elapsed() {
                    timer.as_mut().reset(until);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(until))),
        };
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.machine.tick(self.now());
        self.act();
        true
    }

    fn act(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Send(text) => self.line.outbox.text(&text),
                Action::Ask(id, ask) => {
                    self.is_asking_anew = true;
                    self.asks.push(Asked {
                        id,
                        answer: self.caller.ask(ask),
                    });
                }
                Action::Start(id, request) => {
                    self.heard = None;
                    self.link.start(id, request);
                }
                Action::Stop(id) => {
                    self.asks.retain(|asked| asked.id != id);
                    self.link.stop(id);
                }
                Action::Steer(text) => self.link.steer(text),
                Action::Abandon => {
                    tracing::info!(target: LOG, "an upstream's socket is left: it said what is no event");
                    self.link.abandon();
                }
                Action::Report(report) => self.caller.used(&report),
                Action::Close(code, reason) => self.say_goodbye(Some(code), reason, false),
            }
        }
    }

    fn say_goodbye(&mut self, code: Option<CloseCode>, reason: &str, is_heard: bool) {
        if self.goodbye.is_none() {
            self.line.outbox.close(code, reason);
            self.goodbye = Some(Goodbye::new(is_heard));
            self.part();
        }
    }

    fn leave(&mut self) {
        self.is_gone = true;
        self.part();
    }

    /// Nothing is wanted of any upstream any more.
    fn part(&mut self) {
        self.machine.leave(self.now());
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Report(report) => self.caller.used(&report),
                Action::Stop(id) => {
                    self.asks.retain(|asked| asked.id != id);
                    self.link.stop(id);
                }
                Action::Send(_)
                | Action::Ask(..)
                | Action::Start(..)
                | Action::Steer(_)
                | Action::Abandon
                | Action::Close(..) => {}
            }
        }
    }

    fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_connection(cx)
    }
}

/// Turns that were under way are told of, however the task ends.
impl Drop for Driver {
    fn drop(&mut self) {
        self.part();
    }
}

const LOG: &str = "portcullis::responses";

/// How many times everything is looked at before others have their turn.
const MOST_ROUNDS: usize = 16;

/// Events that come within this time of each other may be written together.
const BURST: Duration = Duration::from_micros(200);

/// How many events are passed on at once, and how many are gathered before they are written.
const MOST_EVENTS: usize = 64;
