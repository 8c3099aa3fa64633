//! Getting in: the way to the server, the handshake, and the credential in its carrier.
//!
//! [`Dialer`] is the one way out. Who has a protocol of its own to speak goes out by it too, and so by
//! the same proxies, authorities and time-outs: [`Dialer::ask`] is a plain request, and
//! [`Dialer::upgrade`] a handshake.

mod answer;
mod ask;
mod dial;
mod enter;
mod errand;
mod goodbye;
mod handshake;
mod meter;
mod proxy;
mod speak;
mod tls;
mod unreachable;

pub(crate) use self::answer::retry_after;
pub use self::answer::{Answer, Extent};
pub use self::ask::{Bounds, Switched, Upgraded};
pub use self::dial::{Dialer, Duplex, Stream};
pub(crate) use self::enter::{Entered, Socket, enter};
pub(crate) use self::errand::renew;
pub(crate) use self::goodbye::Goodbye;
pub use self::handshake::Handshake;
pub(crate) use self::meter::Meter;
pub use self::proxy::Proxies;
pub use self::tls::Tls;
pub use self::unreachable::{Step, Unreachable};
