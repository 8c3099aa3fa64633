//! What a machine is told once.

use std::num::NonZeroU32;
use std::time::Duration;

use super::backoff::Backoff;

/// How a client comes back.
///
/// # Defaults
///
/// Those of [`Settings::default`] stand with each field. They suit a program that should stay
/// connected for days; a person who waits at a terminal may want a shorter first wait.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data, all of it optional")]
pub struct Settings {
    /// The waits between attempts: 1 s at first, 30 s at most. The first one also spreads those who
    /// were all cut at one moment.
    pub backoff: Backoff,
    /// The most attempts in any 60 s, in whatever state and for whatever reason: 20. An attempt is
    /// the token source being asked, and the connection that follows; or a renewal.
    pub attempts_per_minute: NonZeroU32,
    /// How long a connection must have been open before a message or the answer to a ping proves
    /// that it is good: 5 s. One that ends earlier has failed, like one that did not open.
    pub steady: Duration,
    /// How long the other end may say nothing before it is pinged: 20 s.
    pub ping: Duration,
    /// How long a ping may stay unanswered before the connection is given up: 15 s.
    pub silence: Duration,
    /// The longest wait that a server can ask for with `Retry-After`: an hour.
    pub longest_retry_after: Duration,
    /// After how many failures in a row to give up: never.
    pub give_up_after: Option<NonZeroU32>,
    /// Whether to come back at all: yes.
    pub comes_back: bool,
    /// How long before its credential expires a session is renewed, where it can be: not at all.
    /// Each client takes any time between half of it and the whole.
    pub renew_before: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            attempts_per_minute: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN),
            steady: Duration::from_secs(5),
            ping: Duration::from_secs(20),
            silence: Duration::from_secs(15),
            longest_retry_after: Duration::from_secs(3600),
            give_up_after: None,
            comes_back: true,
            renew_before: None,
        }
    }
}
