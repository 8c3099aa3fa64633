//! The task that carries one session.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use portcullis_boundary::Pass;
use portcullis_boundary::clock::Moment;
use portcullis_boundary::session::{Action, Closing, End, Event, Session, Side, Terms, notice};
use tokio::time::{Instant, Sleep};

use super::asker::{Answer, Asker};
use super::{Order, Renewal, Seat};
use crate::relay::frames::{close_frame, ping_frame, text_frame};
use crate::relay::pipe::{Ends, Flow, Pipe};
use crate::relay::with_scratch;
use crate::report;
use crate::stream::Stream;
use crate::tasks::Closer;
use crate::trace::SessionTrace;

/// What a session opens with. There is none without a pass.
pub(crate) struct Opening {
    pub(crate) pass: Pass,
    pub(crate) seat: Seat,
    /// Who asks about it, where somebody can only be asked.
    pub(crate) asker: Option<Box<Asker>>,
    pub(crate) terms: Arc<Terms>,
    /// When the credential's time is over.
    pub(crate) expires: Option<Instant>,
    pub(crate) client: Stream,
    /// What the client sent together with its handshake.
    pub(crate) from_client: Vec<u8>,
    pub(crate) upstream: Stream,
    /// What the upstream sent together with its answer.
    pub(crate) from_upstream: Vec<u8>,
    /// Closes both in the end.
    pub(crate) closer: Arc<Closer>,
    pub(crate) trace: Option<Box<dyn SessionTrace>>,
}

/// Carries one session from its opening to its end. Dropping it cuts both sockets.
pub(crate) struct Driver {
    session: Session,
    origin: Instant,
    /// The client's and the upstream's; none when the session has ended.
    sockets: Option<[Stream; 2]>,
    closer: Arc<Closer>,
    up: Pipe,
    down: Pipe,
    pings: u32,
    /// Armed for the machine's deadline or earlier; most traffic only moves the deadline back.
    timer: Option<Pin<Box<Sleep>>>,
    asker: Option<Box<Asker>>,
    seat: Seat,
    trace: Option<Box<dyn SessionTrace>>,
    _pass: Pass,
}

impl Driver {
    pub(crate) fn new(mut opening: Opening) -> Self {
        opening.seat.relayed();
        let origin = Instant::now();
        let moment = |at: Instant| Moment::at(at.saturating_duration_since(origin));
        let expires = opening.expires.map(moment);
        let mut session = Session::open(opening.terms, expires, Moment::default());
        if let Some(asker) = &opening.asker {
            session = session.asking_from(Moment::at(asker.first()));
        }
        Self {
            session,
            origin,
            sockets: Some([opening.client, opening.upstream]),
            closer: opening.closer,
            up: Pipe::new(Side::Client, opening.from_client),
            down: Pipe::new(Side::Upstream, opening.from_upstream),
            pings: 0,
            timer: None,
            asker: opening.asker,
            seat: opening.seat,
            trace: opening.trace,
            _pass: opening.pass,
        }
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while let Some(order) = self.seat.poll_order(cx.waker()) {
            match order {
                Order::End(kind) => self.tell(&Event::Order(kind)),
                Order::Renew(Renewal(until)) => self.renewed(until),
            }
        }
        loop {
            let now = Moment::at(self.origin.elapsed());
            self.hear();
            let action = self.session.tick(now);
            self.act(action);
            self.move_bytes(cx, now);
            if let Some(end) = self.session.has_ended() {
                return Poll::Ready(end);
            }
            if self.poll_answer(cx).is_pending() && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Tells the machine whether those who can only be asked answer, while it waits for its turn.
    fn hear(&mut self) {
        let heard = self.asker.as_ref().and_then(|asker| asker.heard_in_line());
        if let Some(at) = heard {
            self.tell(&Event::Heard(self.moment(at)));
        }
    }

    /// Tells the machine what somebody said who was asked about the session.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(asker) = &mut self.asker else {
            return Poll::Pending;
        };
        let answer = std::task::ready!(asker.poll(cx));
        let again = Moment::at(self.origin.elapsed()).after(asker.again());
        match answer {
            Answer::Vouched(moved) => {
                if let Some(until) = moved {
                    self.tell(&Event::Renewed(until.map(|at| self.moment(at))));
                }
                self.tell(&Event::Vouched(again));
            }
            Answer::Refused(kind) => self.tell(&Event::Order(kind)),
            Answer::Unanswered => self.tell(&Event::Unanswered(again)),
        }
        Poll::Ready(())
    }

    /// The session rests on a fresh credential, and whoever is asked about the old one need not answer.
    fn renewed(&mut self, until: Option<Instant>) {
        self.tell(&Event::Renewed(until.map(|at| self.moment(at))));
        if let Some(asker) = &mut self.asker {
            asker.forget();
            let again = Moment::at(self.origin.elapsed()).after(asker.again());
            self.tell(&Event::Vouched(again));
        }
    }

    fn tell(&mut self, event: &Event) {
        let now = Moment::at(self.origin.elapsed());
        let action = self.session.handle(event, now);
        self.act(action);
    }

    /// Lets both directions run until neither has anything more to do.
    fn move_bytes(&mut self, cx: &mut Context<'_>, now: Moment) {
        with_scratch(|scratch| {
            loop {
                let up = self.poll_pipe(Side::Client, cx, now, scratch);
                let up_waits = self.handle(Side::Client, up, now);
                let down = self.poll_pipe(Side::Upstream, cx, now, scratch);
                let down_waits = self.handle(Side::Upstream, down, now);
                if (up_waits && down_waits) || self.session.has_ended().is_some() {
                    return;
                }
            }
        });
    }

    #[inline]
    fn poll_pipe(
        &mut self,
        from: Side,
        cx: &mut Context<'_>,
        now: Moment,
        scratch: &mut [u8],
    ) -> Flow {
        let Some([client, upstream]) = &mut self.sockets else {
            return Flow::Waiting;
        };
        let (pipe, source, sink) = match from {
            Side::Client => (&mut self.up, client, upstream),
            Side::Upstream => (&mut self.down, upstream, client),
        };
        pipe.poll(&mut Ends {
            cx,
            source,
            sink,
            session: &mut self.session,
            now,
            scratch,
        })
    }

    /// Carries out what came of the direction that reads from `from`; says whether it waits.
    fn handle(&mut self, from: Side, flow: Flow, now: Moment) -> bool {
        let action = match (flow, from) {
            (Flow::Waiting, _) => return true,
            (Flow::Act(action), _) => action,
            (Flow::SourceGone, _) => self.session.handle(&Event::Gone(from), now),
            (Flow::SinkGone, Side::Upstream) => {
                self.session.handle(&Event::Gone(Side::Client), now)
            }
            // An upstream that takes nothing may still have said goodbye: its own direction tells.
            (Flow::SinkGone | Flow::SaidLast, Side::Client) => Action::Nothing,
            (Flow::SaidLast, Side::Upstream) => self.session.handle(&Event::CloseSent, now),
        };
        self.act(action);
        false
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Nothing | Action::Mute | Action::Cut => {}
            Action::Ping => {
                self.pings = self.pings.wrapping_add(1);
                self.down.inject(&ping_frame(self.pings));
                self.up.expect_pong();
            }
            Action::Notice => {
                let facts = self.seat.facts();
                let text = notice(facts.identity.load().expiry(), self.seat.id());
                self.down.inject_message(text_frame(&text));
            }
            Action::Ask => {
                if let Some(asker) = &mut self.asker {
                    asker.ask();
                }
            }
            Action::Close(closing) => self.close(&closing),
        }
    }

    fn moment(&self, at: Instant) -> Moment {
        Moment::at(at.saturating_duration_since(self.origin))
    }

    fn close(&mut self, closing: &Closing) {
        self.down.inject_last(close_frame(Side::Client, closing));
        self.up.inject_last(close_frame(Side::Upstream, closing));
    }

    /// Waits for the machine's deadline. The timer is set anew only when it fires or would fire too
    /// late: each message moves the idle deadline, and none of them should cost a timer.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.session.deadline() else {
            return Poll::Pending;
        };
        let at = self.origin + deadline.elapsed();
        let timer = match &mut self.timer {
            Some(timer) => {
                if timer.deadline() > at || timer.is_elapsed() {
                    timer.as_mut().reset(at);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        timer.as_mut().poll(cx)
    }

    fn report(&self, end: End) {
        let lived = self.origin.elapsed();
        let told = self.session.told();
        self.seat.reporter().ended(&report::Ended {
            id: self.seat.id(),
            facts: self.seat.facts(),
            end,
            told,
            lived,
            bytes: [self.up.bytes(), self.down.bytes()],
            messages: [self.up.messages(), self.down.messages()],
            trace: self.trace.as_deref(),
        });
    }
}

impl Drop for Driver {
    /// A session that is cut before its end is reported all the same.
    fn drop(&mut self) {
        if self.sockets.is_some() {
            self.report(self.session.ending().unwrap_or(End::Cut));
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_session(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                self.report(end);
                if let Some(sockets) = self.sockets.take() {
                    self.closer.close(sockets);
                }
                Poll::Ready(())
            }
        }
    }
}
