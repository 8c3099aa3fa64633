//! What happens to a client, and what it does about it.

use std::time::Duration;

use portcullis_boundary::close::Recovery;

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be handled")]
pub enum Event {
    /// The token source gave what was asked for.
    Fetched,
    /// It did not.
    NotFetched(NotFetched),
    /// The connection is open, and its credential expires after this time, where that is known.
    Opened(Option<Duration>),
    /// The door did not open, or the connection ended, and this is what to do about it.
    Ended(Verdict),
    /// The other end closed the connection in good order, for there is no more to say.
    Finished,
    /// A frame came in.
    Heard,
    /// No frame came, and the other end is not to blame for it: a part of one came, or one of ours is
    /// on its way there, or nothing is being read here.
    Busy,
    /// The token source may have something else to give.
    Changed,
    /// Somebody logged in.
    LoggedIn,
    /// Nobody did, or nobody is there to ask.
    NotLoggedIn,
    /// The other end says after which time the credential expires.
    Expires(Duration),
    /// The session was renewed, until after this time where that is known.
    Renewed(Option<Duration>),
    /// The session was not renewed, and this is what to do about it.
    NotRenewed(Verdict),
    /// Whoever uses the client has no more to say.
    Leave,
}

/// What a no means for the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "all that the machine has to know"
)]
pub struct Verdict {
    /// What to do.
    pub recovery: Recovery,
    /// How long to wait at least.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// Come back later: what to do when the network fails.
    pub const RETRY: Self = Self {
        recovery: Recovery::Retry,
        retry_after: None,
    };
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be handled")]
pub enum NotFetched {
    /// A fresher one was asked for, and it is still the same.
    Unchanged,
    /// The source cannot give one before a person has logged in.
    LoginNeeded,
    /// The source cannot say right now; it may after this time.
    Unavailable(Option<Duration>),
}

/// What is to be done. Each replaces the one before it, which need not be finished any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be carried out")]
pub enum Action {
    /// Ask the token source.
    Fetch(Which),
    /// Connect with the token that was fetched.
    Connect,
    /// Ask for a login.
    AskLogin,
    /// Send a ping, and go on.
    Ping,
    /// Renew the session, and go on meanwhile.
    Renew,
    /// Drop the connection: the other end is gone.
    Cut,
}

/// Which token is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Which {
    /// The one that the source has.
    Current,
    /// One that is not the one which was refused.
    Fresher,
}
