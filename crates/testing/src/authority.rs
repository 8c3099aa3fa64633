//! Rules 6 and 7, by subject.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_boundary::{Arrival, Authority, Identity, Refusal, RefusalKind};

/// An authority that says no to some subjects. Its clones know the same, and what they know may
/// change while they are asked.
#[derive(Clone, Debug, Default)]
pub struct TestAuthority {
    denied: Arc<Mutex<HashMap<(Question, Box<str>), RefusalKind>>>,
    asked: Arc<Mutex<Vec<Question>>>,
    is_polled: bool,
}

/// What an authority is asked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Question {
    Standing,
    Right,
}

impl TestAuthority {
    /// An authority that says no to nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Can only be asked: its answers may come to be others.
    #[must_use]
    pub const fn polled(mut self) -> Self {
        self.is_polled = true;
        self
    }

    /// Says from here on, by rule 6, that the credentials of `subject` are revoked.
    pub fn revoke(&self, subject: &str) {
        self.deny(Question::Standing, subject, RefusalKind::Revoked);
    }

    /// Says from here on, by rule 6, that the account of `subject` is disabled.
    pub fn disable(&self, subject: &str) {
        self.deny(Question::Standing, subject, RefusalKind::AccountDisabled);
    }

    /// Says from here on, by rule 7, that what `subject` asks for is somebody else's.
    pub fn disown(&self, subject: &str) {
        self.deny(Question::Right, subject, RefusalKind::NotOwner);
    }

    /// How often it was asked about anybody.
    #[must_use]
    pub fn times_asked(&self) -> usize {
        locked(&self.asked, |asked| asked.len())
    }

    fn deny(&self, question: Question, subject: &str, kind: RefusalKind) {
        locked(&self.denied, |denied| {
            denied.insert((question, subject.into()), kind)
        });
    }

    fn answer(&self, question: Question, identity: &Identity) -> Result<(), Refusal> {
        locked(&self.asked, |asked| asked.push(question));
        let key = (question, identity.subject().into());
        match locked(&self.denied, |denied| denied.get(&key).copied()) {
            Some(kind) => Err(Refusal::new(kind)),
            None => Ok(()),
        }
    }
}

impl Authority for TestAuthority {
    async fn standing(&self, identity: &Identity) -> Result<(), Refusal> {
        self.answer(Question::Standing, identity)
    }

    async fn authorise(&self, identity: &Identity, _arrival: &Arrival) -> Result<(), Refusal> {
        self.answer(Question::Right, identity)
    }

    fn is_polled(&self) -> bool {
        self.is_polled
    }
}

fn locked<T, R>(mutex: &Mutex<T>, look: impl FnOnce(&mut T) -> R) -> R {
    look(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}
