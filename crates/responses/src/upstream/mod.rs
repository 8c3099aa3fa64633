//! Who answers.
//!
//! An [`Upstream`] is asked for one turn at a time and gives its events, or the one [`Failure`] with which
//! it ended. [`HttpUpstream`] asks over HTTP, [`Mock`](crate::mock::Mock) is a script. [`SocketUpstream`]
//! is another kind: one WebSocket for each of ours, with the protocol's own lanes and memory.

mod answer;
mod credential;
mod http;
mod http_events;
mod silence;
mod socket;
mod whole;

pub use self::answer::{Answer, Call, DynUpstream, Events, Upstream};
pub use self::credential::UpstreamCredential;
pub use self::http::{HttpUpstream, Timeouts};
pub(crate) use self::silence::Silence;
pub use self::socket::SocketUpstream;
pub(crate) use self::socket::UpstreamSocket;
pub(crate) use self::whole::events as whole_events;

#[cfg(doc)]
use crate::Failure;
