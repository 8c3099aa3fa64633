//! A session in simulated time.

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Moment;
use portcullis_boundary::session::{
    Action, CLOSE_GRACE, Closing, End, Event, Frame, PARTING_GRACE, Session, Side, Sides, Terms,
};

/// A session, the time in which it lives, and what it asked for: a driver without sockets.
///
/// Each step checks what must hold of any session whatever happens to it; a session that breaks
/// its promises panics here.
#[derive(Debug)]
pub struct Simulation {
    session: Session,
    /// The most bytes in a message from each side.
    most: Sides<Option<u64>>,
    now: Moment,
    pings: u32,
    notices: u32,
    questions: u32,
    closed: Option<(Closing, Moment)>,
    parting_since: Option<Moment>,
    end: Option<End>,
}

/// One thing that may happen to a session.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "tests make them")]
pub enum Step {
    /// A frame begins.
    Frame(Side, Frame),
    /// The driver tells something.
    Tell(Event),
    /// Time passes, and the driver ticks at each deadline.
    Wait(Duration),
    /// The driver ticks before it must.
    Tick,
}

impl Simulation {
    /// A session under `terms`, whose credential expires `expires` after it opens.
    #[must_use]
    pub fn open(terms: Terms, expires: Option<Duration>) -> Self {
        let now = Moment::at(Duration::from_secs(1000));
        let expires = expires.map(|after| now.after(after));
        let most = Sides {
            client: terms.max_message,
            upstream: terms.max_message_down,
        };
        Self {
            most,
            session: Session::open(Arc::new(terms), expires, now),
            now,
            pings: 0,
            notices: 0,
            questions: 0,
            closed: None,
            parting_since: None,
            end: None,
        }
    }

    /// Says that somebody is to be asked about it for the first time `first` after it opens.
    #[must_use]
    pub fn asking_from(mut self, first: Duration) -> Self {
        self.session = self.session.asking_from(self.now.after(first));
        self
    }

    /// Takes one step.
    pub fn step(&mut self, step: &Step) -> Action {
        match step {
            Step::Frame(from, frame) => self.frame(*from, *frame),
            Step::Tell(event) => self.tell(event),
            Step::Wait(time) => {
                self.wait(*time);
                Action::Nothing
            }
            Step::Tick => {
                let action = self.session.tick(self.now);
                self.note(action)
            }
        }
    }

    /// A frame begins that comes from `from`.
    pub fn frame(&mut self, from: Side, frame: Frame) -> Action {
        let passes = self.session.passes_frames();
        let action = self.session.frame(from, frame, self.now);
        let most = self.most.of(from);
        if passes && action == Action::Nothing && !frame.is_control() {
            let fits = most.is_none_or(|most| frame.length <= most);
            assert!(fits, "{frame:?} passes, and is larger than {most:?}");
        }
        self.note(action)
    }

    /// The driver tells `event`.
    pub fn tell(&mut self, event: &Event) -> Action {
        if matches!(event, Event::CloseFrame(..)) && self.session.passes_frames() {
            self.parting_since.get_or_insert(self.now);
        }
        let action = self.session.handle(event, self.now);
        self.note(action)
    }

    /// Lets `time` pass, and ticks at each deadline on the way.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now.after(time);
        while let Some(deadline) = self.session.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(deadline);
            let action = self.session.tick(self.now);
            let _: Action = self.note(action);
            let next = self.session.deadline();
            assert!(next != Some(deadline), "a deadline passed without effect");
        }
        self.now = until;
        self.check();
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// How many pings it asked for.
    #[must_use]
    pub const fn pings(&self) -> u32 {
        self.pings
    }

    /// How many notices of expiry it asked for.
    #[must_use]
    pub const fn notices(&self) -> u32 {
        self.notices
    }

    /// How often it asked for a question about it.
    #[must_use]
    pub const fn questions(&self) -> u32 {
        self.questions
    }

    /// The moment `after` from now, to be told in an event.
    #[must_use]
    pub fn moment(&self, after: Duration) -> Moment {
        self.now.after(after)
    }

    /// The close that it asked for.
    #[must_use]
    pub fn closed(&self) -> Option<Closing> {
        self.closed.map(|(closing, _)| closing)
    }

    /// Why it ended, once it has.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.session.has_ended()
    }

    fn note(&mut self, action: Action) -> Action {
        assert!(
            self.end.is_none() || action == Action::Nothing,
            "{action:?} after the end"
        );
        match action {
            Action::Nothing | Action::Mute => {}
            Action::Ping => {
                assert!(self.closed.is_none(), "a ping after the close");
                self.pings += 1;
            }
            Action::Notice => {
                assert!(self.closed.is_none(), "a notice after the close");
                self.notices += 1;
            }
            Action::Ask => {
                assert!(self.closed.is_none(), "a question after the close");
                self.questions += 1;
            }
            Action::Close(closing) => {
                assert!(self.closed.is_none(), "a second close");
                assert!(!self.session.passes_frames(), "frames pass after a close");
                assert_eq!(self.session.closing(), Some(closing));
                self.closed = Some((closing, self.now));
            }
            Action::Cut => assert!(self.session.has_ended().is_some(), "cut, and not ended"),
        }
        self.check();
        action
    }

    /// What holds at any time.
    fn check(&mut self) {
        let ended = self.session.has_ended();
        assert!(self.end.is_none() || self.end == ended, "the end changed");
        self.end = ended;
        if ended.is_some() {
            assert_eq!(self.session.deadline(), None, "a deadline after the end");
        }
        if self.closed.is_some() || ended.is_some() {
            assert!(!self.session.passes_frames(), "frames pass after the close");
        }
        if let (Some((closing, _)), Some(End::Refused(kind))) = (self.closed, ended) {
            assert_eq!(closing.reason, kind.as_str(), "told one thing, did another");
        }
        let over = |since: Moment, within: Duration| self.now.since(since) > within;
        if let Some((_, since)) = self.closed
            && over(since, 2 * CLOSE_GRACE)
            && self.parting_since.is_none()
        {
            assert!(ended.is_some(), "closed, and alive after two graces");
        }
        if let Some(since) = self.parting_since
            && over(since, PARTING_GRACE + CLOSE_GRACE)
        {
            assert!(ended.is_some(), "parting, and alive after its graces");
        }
    }
}
