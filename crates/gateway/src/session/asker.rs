//! Asking those again about a live session who can only be asked.
//!
//! Each session asks when its machine says so, at a time of its own: the first question comes
//! somewhere within the interval, and each later one up to a quarter of it early, so that sessions
//! that opened together are not asked about together. All of a gate share [`Questions`], which bounds
//! how many are under way; a session whose turn has not come waits, and lives on meanwhile.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::Guard;
use portcullis_boundary::{Identity, Recheck, Refusal, RefusalKind};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::registry::Live;
use crate::gate::Shared;
use crate::random;

/// The most questions about live sessions that are under way at once, over all of a gate. An authority
/// that needs ten milliseconds for each answers 6,400 of them in a second.
const MOST_QUESTIONS: usize = 64;

/// The longest that a question may be under way: whoever is asked ends sooner by itself.
const LONGEST_QUESTION: Duration = Duration::from_secs(30);

/// How often operators are told that nobody answers.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What the questions of all sessions of a gate share.
#[derive(Debug)]
pub(crate) struct Questions {
    turns: Semaphore,
    /// When operators were told last that nobody answers, and how many questions that was since.
    silence: Mutex<(Option<Instant>, u64)>,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(MOST_QUESTIONS),
            silence: Mutex::default(),
        }
    }
}

impl Questions {
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

type Question = Pin<Box<dyn Future<Output = (Arc<Identity>, Recheck)> + Send>>;

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
    /// Who asks about `session`; nobody where its route does not want it, or nobody is polled.
    pub(crate) fn new(shared: Arc<Shared>, session: &Arc<Live>) -> Option<Box<Self>> {
        let every = session.facts.terms.recheck;
        // Who would be asked at every moment would do nothing else.
        let every = every.filter(|every| !every.is_zero())?;
        shared.is_polled_about(&session.facts).then(|| {
            Box::new(Self {
                shared,
                session: Arc::clone(session),
                every,
                question: None,
            })
        })
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
        let (shared, session) = (Arc::clone(&self.shared), Arc::clone(&self.session));
        self.question = Some(Box::pin(ask(shared, session)));
    }

    /// Gives up the question that is under way: the session rests on something else now.
    pub(crate) fn forget(&mut self) {
        self.question = None;
    }

    /// What came of the question that is under way.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(question) = &mut self.question else {
            return Poll::Pending;
        };
        let (asked_about, said) = std::task::ready!(question.as_mut().poll(cx));
        self.question = None;
        Poll::Ready(self.take(&asked_about, said))
    }

    fn take(&self, asked_about: &Arc<Identity>, said: Recheck) -> Answer {
        let route = &self.session.facts.route;
        let reporter = &self.shared.reporter;
        if !self.session.still_rests_on(asked_about) {
            // It was renewed while this was asked: what is said of the old credential ends nobody.
            return Answer::Unanswered;
        }
        match said {
            Recheck::Vouched(identity) => {
                reporter.rechecked(route, "vouched");
                Answer::Vouched(self.learn(asked_about, &identity))
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
    fn learn(&self, before: &Arc<Identity>, now: &Identity) -> Option<Renewed> {
        let rests = self.session.learn(before, now);
        let has_moved = rests && before.end() != now.end();
        has_moved.then(|| crate::gate::expiry_of(now, &self.session.facts.terms))
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

/// Asks about `session` when its turn has come, by the rules of that time.
async fn ask(shared: Arc<Shared>, session: Arc<Live>) -> (Arc<Identity>, Recheck) {
    // It is never closed; without a turn nobody is asked.
    let _turn = shared.questions.turns.acquire().await;
    let (identity, credential) = session.rests_on();
    let unanswered = |why| {
        let refusal = Refusal::new(RefusalKind::KeysUnavailable).because(why);
        Recheck::Unanswered(refusal)
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
    let question = entry
        .boundary
        .recheck(&arrival, &identity, credential.as_ref());
    let said = timeout(LONGEST_QUESTION, question).await;
    let said = said.unwrap_or_else(|_| unanswered("there was no answer in time"));
    (identity, said)
}
