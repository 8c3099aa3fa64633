//! Asking those again about a live session who can only be asked.
//!
//! Each session asks when its machine says so, at a time of its own: the first question comes
//! somewhere within the interval, and each later one up to a quarter of it early, so that sessions
//! that opened together are not asked about together. Who is asked, if anybody, is decided at each
//! question, by the rules of its time and by what the session rests on then. Sessions of one route
//! stand in one [`Line`], which bounds how many of their questions are under way; one whose turn has
//! not come waits, and lives on meanwhile, as long as somebody answers the others.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::Guard;
use portcullis_boundary::{Identity, Recheck, Refusal, RefusalKind};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::registry::Live;
use crate::gate::Shared;
use crate::random;

/// The most questions about live sessions of one route that are under way at once. An authority that
/// needs ten milliseconds for each answers 6,400 of them in a second; one that answers none holds up
/// its own route.
const MOST_QUESTIONS: usize = 64;

/// The longest that a question may be under way: whoever is asked ends sooner by itself.
const LONGEST_QUESTION: Duration = Duration::from_secs(30);

/// How often operators are told that nobody answers.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What the questions of all sessions of a gate share.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// By the names of routes, as long as somebody stands there.
    lines: Mutex<HashMap<Arc<str>, Arc<Line>>>,
    /// When operators were told last that nobody answers, and how many questions that was since.
    silence: Mutex<(Option<Instant>, u64)>,
}

/// Where the questions about the sessions of one route wait for their turn.
#[derive(Debug)]
struct Line {
    turns: Arc<Semaphore>,
    /// When one of them was answered last.
    answered: Mutex<Option<Instant>>,
}

impl Line {
    fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(MOST_QUESTIONS)),
            answered: Mutex::default(),
        }
    }

    fn note(&self, said: &Said, now: Instant) {
        match said {
            Said::Recheck(Recheck::Vouched(_) | Recheck::Refused(_)) => {
                *self.answered() = Some(now);
            }
            Said::Recheck(Recheck::Unanswered(_)) | Said::NobodyAsked => {}
        }
    }

    fn answered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Questions {
    /// The line of `route`.
    fn line(&self, route: &Arc<str>) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.contains_key(route) {
            // Routes come and go with reloads; a line where nobody stands says nothing.
            lines.retain(|_, line| Arc::strong_count(line) > 1);
        }
        let line = lines.entry(Arc::clone(route));
        Arc::clone(line.or_insert_with(|| Arc::new(Line::new())))
    }

    /// Tells operators that nobody answered, once for many.
    fn tell_silence(&self, route: &str, why: &Refusal, now: Instant) {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, count) = &mut *silence;
        *count += 1;
        if told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
            return;
        }
        *told = Some(now);
        let questions = std::mem::take(count);
        drop(silence);
        tracing::warn!(
            target: "portcullis::recheck",
            route,
            questions,
            refusal = why.kind().as_str(),
            detail = %why.detail(),
            "nobody can be asked about live sessions"
        );
    }
}

/// Asks about one session, again and again.
pub(crate) struct Asker {
    shared: Arc<Shared>,
    session: Arc<Live>,
    every: Duration,
    question: Option<Question>,
}

/// A question, on its way.
enum Question {
    /// It waits for its turn.
    InLine(Arc<Line>, Later<Result<OwnedSemaphorePermit, AcquireError>>),
    /// It is under way.
    Asked(Later<(Arc<Identity>, Said)>),
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What came of asking.
enum Said {
    /// Somebody was asked.
    Recheck(Recheck),
    /// By the rules of now, and by what the session rests on now, there is nobody to ask.
    NobodyAsked,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// It lives on. When its end has moved, it is said which it is now.
    Vouched(Option<Renewed>),
    /// It ends.
    Refused(RefusalKind),
    /// Nobody could say.
    Unanswered,
}

/// The end of a session's credential that an answer has moved; none when there is none any more.
pub(crate) type Renewed = Option<Instant>;

impl Asker {
    /// Who asks about `session`; nobody where the route with which it opened does not want it.
    pub(crate) fn new(shared: Arc<Shared>, session: &Arc<Live>) -> Option<Box<Self>> {
        let every = session.facts.terms.recheck;
        // Who would be asked at every moment would do nothing else.
        let every = every.filter(|every| !every.is_zero())?;
        Some(Box::new(Self {
            shared,
            session: Arc::clone(session),
            every,
            question: None,
        }))
    }

    /// How long to wait before the first question.
    pub(crate) fn first(&self) -> Duration {
        random::up_to(self.every)
    }

    /// How long to wait from an answer to the next question.
    pub(crate) fn again(&self) -> Duration {
        self.every - random::up_to(self.every / 4)
    }

    /// Begins to ask.
    pub(crate) fn ask(&mut self) {
        let facts = &self.session.facts;
        if !self.shared.is_polled_about(facts) {
            let nobody = (facts.identity.load_full(), Said::NobodyAsked);
            self.question = Some(Question::Asked(Box::pin(std::future::ready(nobody))));
            return;
        }
        let line = self.shared.questions.line(&self.session.facts.route);
        let turn = Box::pin(Arc::clone(&line.turns).acquire_owned());
        self.question = Some(Question::InLine(line, turn));
    }

    /// When somebody answered another question, while this one waits for its turn.
    pub(crate) fn heard_in_line(&self) -> Option<Instant> {
        match self.question.as_ref()? {
            Question::InLine(line, _) => *line.answered(),
            Question::Asked(_) => None,
        }
    }

    /// Gives up the question that is under way: the session rests on something else now.
    pub(crate) fn forget(&mut self) {
        self.question = None;
    }

    /// What came of the question that is under way.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        loop {
            match &mut self.question {
                None => return Poll::Pending,
                Some(Question::InLine(line, turn)) => {
                    let turn = std::task::ready!(turn.as_mut().poll(cx));
                    let (shared, session) = (Arc::clone(&self.shared), Arc::clone(&self.session));
                    let asking = ask(shared, session, Arc::clone(line), turn.ok());
                    self.question = Some(Question::Asked(Box::pin(asking)));
                }
                Some(Question::Asked(asking)) => {
                    let (asked_about, said) = std::task::ready!(asking.as_mut().poll(cx));
                    self.question = None;
                    return Poll::Ready(self.take(&asked_about, said));
                }
            }
        }
    }

    fn take(&self, asked_about: &Arc<Identity>, said: Said) -> Answer {
        let route = &self.session.facts.route;
        let reporter = &self.shared.reporter;
        if !self.session.still_rests_on(asked_about) {
            // It was renewed while this was asked: what is said of the old credential ends nobody.
            return Answer::Unanswered;
        }
        let said = match said {
            Said::Recheck(said) => said,
            // Where nobody is to be asked, nobody is silent.
            Said::NobodyAsked => return Answer::Vouched(None),
        };
        match said {
            Recheck::Vouched(identity) => {
                reporter.rechecked(route, "vouched");
                self.learn(asked_about, &identity)
            }
            Recheck::Refused(refusal) => {
                reporter.rechecked(route, refusal.kind().as_str());
                tracing::info!(
                    target: "portcullis::recheck",
                    session = %self.session.id,
                    route = &**route,
                    subject = asked_about.subject(),
                    refusal = refusal.kind().as_str(),
                    rule = refusal.rule().map(|rule| rule.as_str()),
                    detail = %refusal.detail(),
                    "no longer vouched for"
                );
                Answer::Refused(refusal.kind())
            }
            Recheck::Unanswered(why) => {
                reporter.rechecked(route, "unanswered");
                let questions = &self.shared.questions;
                questions.tell_silence(route, &why, Instant::now());
                Answer::Unanswered
            }
        }
    }

    /// Takes over what is known now; says the session's end where that has moved.
    fn learn(&self, before: &Arc<Identity>, now: &Identity) -> Answer {
        let rests = self.session.learn(before, now);
        // Whoever revoked something meanwhile saw what it rested on before.
        if let Some(kind) = self.shared.covering(now, self.session.id).filter(|_| rests) {
            return Answer::Refused(kind);
        }
        let has_moved = rests && before.end() != now.end();
        let ends = || crate::gate::expiry_of(now, &self.session.facts.terms);
        Answer::Vouched(has_moved.then(ends))
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker")
            .field("session", &self.session.id)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

/// Asks about `session`, whose `turn` has come, by the rules of this time.
async fn ask(
    shared: Arc<Shared>,
    session: Arc<Live>,
    line: Arc<Line>,
    // A line is never closed; without a turn nobody is asked.
    turn: Option<OwnedSemaphorePermit>,
) -> (Arc<Identity>, Said) {
    let (identity, credential) = session.rests_on();
    let unanswered = |why| {
        let refusal = Refusal::new(RefusalKind::KeysUnavailable).because(why);
        Said::Recheck(Recheck::Unanswered(refusal))
    };
    let facts = &session.facts;
    let rules = Guard::into_inner(shared.rules());
    let (Some(arrival), Some(entry)) = (
        facts.asked.arrival(facts.peer.clone()),
        rules.routes.find(facts.asked.path()),
    ) else {
        // A reload that took its route away ends it.
        return (identity, unanswered("its route is gone"));
    };
    let (Some(_turn), true) = (turn, entry.asks_again_about(&identity)) else {
        return (identity, Said::NobodyAsked);
    };
    let question = entry
        .boundary
        .recheck(&arrival, &identity, credential.as_ref());
    let said = timeout(LONGEST_QUESTION, question).await;
    let said = said.map_or_else(|_| unanswered("there was no answer in time"), Said::Recheck);
    line.note(&said, Instant::now());
    (identity, said)
}
