//! A session's life, as a pure machine over events and time.
//!
//! The machine knows when a session must end, why, and with which words; it moves no bytes and
//! reads no clock. A driver owns the sockets: it tells the machine what happened and at which
//! [`Moment`], carries out the [`Action`] that comes back, and calls [`Session::tick`] no later
//! than [`Session::deadline`].
//!
//! ```text
//!            a rule ends it                 close sent, or      answered, gone,
//!   Open ───────────────────▶ Closing ─────────────────────▶ …  or a second over ──▶ Ended
//!    │                                                                                ▲
//!    └── one end sends a close frame ──▶ Parting ── the other answers, or goes ───────┘
//! ```
//!
//! The first reason to end counts. Once a session is [`Ended`](Session::has_ended), nothing that
//! happens changes it.

mod terms;

use std::sync::Arc;
use std::time::Duration;

pub use self::terms::Terms;
use crate::clock::Moment;
use crate::close::CloseCode;
use crate::limits::Meter;
use crate::refusal::RefusalKind;

/// How long the frame in hand may take to end before a close is injected, and then how long the
/// client may take to answer it. After either, the connection is cut.
pub const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How long one end may take to answer the other end's close frame.
pub const PARTING_GRACE: Duration = Duration::from_secs(5);

/// Pings that may stay unanswered; at the next one that is due, the session is idle.
const MAX_UNANSWERED_PINGS: u8 = 2;

/// One of the two ends between which a session passes frames.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a relay has two ends")]
pub enum Side {
    /// The client, in front.
    Client,
    /// The upstream, behind.
    Upstream,
}

/// One thing for each side.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a relay has two ends")]
pub struct Sides<T> {
    /// The client's.
    pub client: T,
    /// The upstream's.
    pub upstream: T,
}

impl<T: Copy> Sides<T> {
    /// The one of `side`.
    #[must_use]
    pub const fn of(&self, side: Side) -> T {
        match side {
            Side::Client => self.client,
            Side::Upstream => self.upstream,
        }
    }
}

impl<T> Sides<T> {
    /// The one of `side`, to be changed.
    pub const fn at(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }
}

/// The header of a frame, as far as the machine looks at it (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the wire has no more")]
pub struct Frame {
    /// Whether it is the last of its message.
    pub fin: bool,
    /// What kind of frame it is.
    pub opcode: u8,
    /// Whether its payload is masked, as a client's must be and a server's must not.
    pub masked: bool,
    /// Bytes of payload.
    pub length: u64,
}

impl Frame {
    /// Whether it is a close, a ping, a pong, or a control frame yet unknown.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }
}

/// What a driver tells the machine.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be handled")]
pub enum Event {
    /// An order from outside: the gate drains, the policy changed, somebody kicks.
    Order(RefusalKind),
    /// A whole close frame came from this side, with this code, and was passed on.
    CloseFrame(Side, Option<u16>),
    /// The close that the machine asked for was written to the client.
    CloseSent,
    /// This side has gone: end of stream, or an error.
    Gone(Side),
    /// Bytes were passed on that came from this side.
    Moved(Side),
    /// What must be written to this side does not go out any more.
    Stalled(Side),
    /// What must be written to this side goes out again.
    Flowing(Side),
    /// The client answered one of the machine's pings.
    Pong,
}

/// What the machine asks its driver to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "an action that is not carried out leaves the session behind its machine"]
#[expect(clippy::exhaustive_enums, reason = "each must be carried out")]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Inject a ping to the client at the next frame boundary.
    Ping,
    /// Stop passing frames on; inject this close to the client at the next frame boundary, and to
    /// the upstream a masked close of its own.
    Close(Closing),
    /// Drop both sockets.
    Cut,
}

/// The close frame that a client gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the wire has no more")]
pub struct Closing {
    /// The code.
    pub code: CloseCode,
    /// The reason, at most 123 bytes.
    pub reason: &'static str,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is told to operators")]
pub enum End {
    /// A rule ended it.
    Refused(RefusalKind),
    /// This side sent the first close frame, with this code.
    Closed(Side, Option<u16>),
    /// This side went without a close frame.
    Gone(Side),
    /// This side broke the protocol.
    Violation(Side),
}

impl End {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(kind) => kind.as_str(),
            Self::Closed(Side::Client, _) => "closed_by_client",
            Self::Closed(Side::Upstream, _) => "closed_by_upstream",
            Self::Gone(Side::Client) => "client_gone",
            Self::Gone(Side::Upstream) => "upstream_gone",
            Self::Violation(Side::Client) => "client_broke_protocol",
            Self::Violation(Side::Upstream) => "upstream_broke_protocol",
        }
    }
}

/// One session.
#[derive(Clone, Debug)]
pub struct Session {
    terms: Arc<Terms>,
    state: State,
    opened: Moment,
    expires: Option<Moment>,
    active: Moment,
    ping_due: Option<Moment>,
    pings_unanswered: u8,
    stalled: Sides<Option<Moment>>,
    message_bytes: Sides<u64>,
    rate: Meter,
    told: Option<CloseCode>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    /// A rule ended it, and the client is being told.
    Closing {
        end: End,
        closing: Closing,
        sent: bool,
        cut_at: Moment,
    },
    /// One end said goodbye; `answered` when the other did too.
    Parting {
        by: Side,
        code: Option<u16>,
        answered: bool,
        cut_at: Moment,
    },
    Ended(End),
}

impl Session {
    /// A session under `terms` that opens `now` and whose credential expires at `expires`.
    #[must_use]
    pub fn open(terms: Arc<Terms>, expires: Option<Moment>, now: Moment) -> Self {
        Self {
            state: State::Open,
            opened: now,
            expires,
            active: now,
            ping_due: terms.ping.map(|interval| now.after(interval)),
            pings_unanswered: 0,
            stalled: Sides::default(),
            message_bytes: Sides::default(),
            rate: Meter::default(),
            told: None,
            terms,
        }
    }

    /// Looks at the header of a frame before any of it is passed on. Anything but
    /// [`Action::Nothing`] means that the frame is not to be passed on.
    pub fn frame(&mut self, from: Side, frame: Frame, now: Moment) -> Action {
        let State::Open = self.state else {
            return Action::Nothing;
        };
        let masked_right = frame.masked == (from == Side::Client);
        let fits_control = !frame.is_control() || (frame.fin && frame.length <= 125);
        if !masked_right || !fits_control || frame.length > i64::MAX.unsigned_abs() {
            return self.violated(from, now);
        }
        if frame.is_control() {
            return Action::Nothing;
        }
        let bytes = self.message_bytes.at(from);
        let before = if frame.opcode == 0 { *bytes } else { 0 };
        *bytes = before.saturating_add(frame.length);
        let (most, rate) = match from {
            Side::Client => (self.terms.max_message, self.terms.message_rate),
            Side::Upstream => (self.terms.max_message_down, None),
        };
        if most.is_some_and(|most| *bytes > most) {
            return self.refuse(RefusalKind::MessageTooBig, now);
        }
        match rate {
            Some(rate) if frame.opcode != 0 => {
                let now_us = u64::try_from(now.elapsed().as_micros()).unwrap_or(u64::MAX);
                match self.rate.take(rate, now_us) {
                    Ok(()) => Action::Nothing,
                    Err(_) => self.refuse(RefusalKind::RateLimited, now),
                }
            }
            Some(_) | None => Action::Nothing,
        }
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, event: &Event, now: Moment) -> Action {
        match (self.state, event) {
            (State::Ended(_), _) | (State::Open, Event::CloseSent) => Action::Nothing,
            (_, Event::Moved(side)) => {
                self.moved(*side, now);
                Action::Nothing
            }
            (_, Event::Pong) => {
                self.pings_unanswered = 0;
                Action::Nothing
            }
            (_, Event::Stalled(side)) => {
                self.stalled.at(*side).get_or_insert(now);
                Action::Nothing
            }
            (_, Event::Flowing(side)) => {
                *self.stalled.at(*side) = None;
                Action::Nothing
            }
            (State::Open, Event::Order(kind)) => self.refuse(*kind, now),
            (State::Open, Event::CloseFrame(by, code)) => {
                let cut_at = now.after(PARTING_GRACE);
                self.state = State::Parting {
                    by: *by,
                    code: *code,
                    answered: false,
                    cut_at,
                };
                Action::Nothing
            }
            (State::Open, Event::Gone(Side::Client)) => self.end(End::Gone(Side::Client)),
            (State::Open, Event::Gone(Side::Upstream)) => {
                self.refuse(RefusalKind::UpstreamUnreachable, now)
            }
            (State::Closing { .. }, event) => self.while_closing(event, now),
            (State::Parting { .. }, event) => self.while_parting(event, now),
        }
    }

    /// Lets time pass. Call it no later than at [`Session::deadline`]; earlier does no harm.
    pub fn tick(&mut self, now: Moment) -> Action {
        let due = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        match self.state {
            State::Closing { end, cut_at, .. } if cut_at <= now => self.end(end),
            State::Parting {
                by, code, cut_at, ..
            } if cut_at <= now => self.end(End::Closed(by, code)),
            State::Open if due(self.expires) => self.refuse(RefusalKind::Expired, now),
            State::Open if due(self.lifetime_end()) => {
                self.refuse(RefusalKind::LifetimeReached, now)
            }
            State::Open if due(self.stall_end(Side::Client)) => {
                self.refuse(RefusalKind::SlowConsumer, now)
            }
            State::Open if due(self.stall_end(Side::Upstream)) => {
                self.refuse(RefusalKind::UpstreamTimeout, now)
            }
            State::Open if due(self.idle_end()) => self.refuse(RefusalKind::Idle, now),
            State::Open if due(self.ping_due) => self.ping(now),
            State::Closing { .. } | State::Ended(_) | State::Open | State::Parting { .. } => {
                Action::Nothing
            }
        }
    }

    /// When [`Session::tick`] must be called next; none when nothing but an event can change it.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Ended(_) => None,
            State::Closing { cut_at, .. } | State::Parting { cut_at, .. } => Some(cut_at),
            State::Open => [
                self.expires,
                self.lifetime_end(),
                self.idle_end(),
                self.stall_end(Side::Client),
                self.stall_end(Side::Upstream),
                self.ping_due,
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// Whether frames are still passed on: no rule has ended the session.
    #[must_use]
    pub const fn passes_frames(&self) -> bool {
        matches!(self.state, State::Open | State::Parting { .. })
    }

    /// Why it ended, once it has.
    #[must_use]
    pub const fn has_ended(&self) -> Option<End> {
        match self.state {
            State::Ended(end) => Some(end),
            State::Open | State::Closing { .. } | State::Parting { .. } => None,
        }
    }

    /// The close that the client is being told, while it is.
    #[must_use]
    pub const fn closing(&self) -> Option<Closing> {
        match self.state {
            State::Closing { closing, .. } => Some(closing),
            State::Ended(_) | State::Open | State::Parting { .. } => None,
        }
    }

    /// The code of the close frame that the machine asked for and that was written to the client.
    #[must_use]
    pub const fn told(&self) -> Option<CloseCode> {
        self.told
    }

    /// When it opened.
    #[must_use]
    pub const fn opened(&self) -> Moment {
        self.opened
    }

    fn while_closing(&mut self, event: &Event, now: Moment) -> Action {
        let State::Closing {
            end, closing, sent, ..
        } = self.state
        else {
            return Action::Nothing;
        };
        if *event == Event::CloseSent {
            self.told = Some(closing.code);
        }
        match event {
            // A client that said goodbye itself has nothing more to say.
            Event::CloseSent if matches!(end, End::Closed(Side::Client, _)) => self.end(end),
            // A grace is given once, however often its beginning is told.
            Event::CloseSent if !sent => {
                let cut_at = now.after(CLOSE_GRACE);
                self.state = State::Closing {
                    end,
                    closing,
                    sent: true,
                    cut_at,
                };
                Action::Nothing
            }
            Event::CloseFrame(Side::Client, _) if sent => self.end(end),
            Event::Gone(Side::Client) => self.end(end),
            Event::CloseFrame(..)
            | Event::CloseSent
            | Event::Flowing(_)
            | Event::Gone(Side::Upstream)
            | Event::Moved(_)
            | Event::Order(_)
            | Event::Pong
            | Event::Stalled(_) => Action::Nothing,
        }
    }

    fn while_parting(&mut self, event: &Event, now: Moment) -> Action {
        let State::Parting {
            by,
            code,
            answered,
            cut_at,
        } = self.state
        else {
            return Action::Nothing;
        };
        let end = End::Closed(by, code);
        match event {
            // Neither does a goodbye that is repeated give more time.
            Event::CloseFrame(side, _) if *side != by && !answered => {
                let cut_at = now.after(CLOSE_GRACE);
                self.state = State::Parting {
                    by,
                    code,
                    answered: true,
                    cut_at,
                };
                Action::Nothing
            }
            // The app-server answers a close with a bare end of its stream. Its client is answered
            // in its place, with the client's own code.
            Event::Gone(Side::Upstream) if by == Side::Client && !answered => {
                let echoed = code.and_then(|code| CloseCode::new(code).ok());
                let closing = Closing {
                    code: echoed.unwrap_or(CloseCode::NORMAL),
                    reason: "",
                };
                self.close(end, closing, cut_at)
            }
            // The upstream has said goodbye and gone; its client may still answer.
            Event::Gone(Side::Upstream) if !answered => Action::Nothing,
            Event::Gone(_) => self.end(end),
            Event::CloseFrame(..)
            | Event::CloseSent
            | Event::Flowing(_)
            | Event::Moved(_)
            | Event::Order(_)
            | Event::Pong
            | Event::Stalled(_) => Action::Nothing,
        }
    }

    fn moved(&mut self, side: Side, now: Moment) {
        self.active = now;
        if side == Side::Client {
            self.pings_unanswered = 0;
            self.ping_due = self.terms.ping.map(|interval| now.after(interval));
        }
    }

    fn ping(&mut self, now: Moment) -> Action {
        self.ping_due = self.terms.ping.map(|interval| now.after(interval));
        // While the upstream takes nothing, nothing is read from the client, not even its pongs.
        if self.stalled.upstream.is_some() {
            return Action::Nothing;
        }
        if self.pings_unanswered >= MAX_UNANSWERED_PINGS {
            return self.refuse(RefusalKind::Idle, now);
        }
        self.pings_unanswered += 1;
        Action::Ping
    }

    fn refuse(&mut self, kind: RefusalKind, now: Moment) -> Action {
        let code = self.terms.codes.code(kind).unwrap_or(CloseCode::POLICY);
        self.close(
            End::Refused(kind),
            Closing {
                code,
                reason: kind.as_str(),
            },
            now.after(CLOSE_GRACE),
        )
    }

    fn violated(&mut self, by: Side, now: Moment) -> Action {
        let code = match by {
            Side::Client => CloseCode::PROTOCOL_ERROR,
            Side::Upstream => CloseCode::BAD_GATEWAY,
        };
        self.close(
            End::Violation(by),
            Closing {
                code,
                reason: "protocol error",
            },
            now.after(CLOSE_GRACE),
        )
    }

    fn close(&mut self, end: End, closing: Closing, cut_at: Moment) -> Action {
        self.state = State::Closing {
            end,
            closing,
            sent: false,
            cut_at,
        };
        Action::Close(closing)
    }

    fn end(&mut self, end: End) -> Action {
        self.state = State::Ended(end);
        Action::Cut
    }

    fn lifetime_end(&self) -> Option<Moment> {
        Some(self.opened.after(self.terms.lifetime?))
    }

    fn idle_end(&self) -> Option<Moment> {
        Some(self.active.after(self.terms.idle?))
    }

    fn stall_end(&self, side: Side) -> Option<Moment> {
        Some(self.stalled.of(side)?.after(self.terms.stall?))
    }
}
