//! Getting in: the way to the server, the handshake, and the credential in its carrier.

mod dial;
mod enter;
mod errand;
mod meter;
mod proxy;
mod speak;
mod tls;
mod unreachable;

pub use self::dial::Dialer;
pub(crate) use self::enter::{Entered, Socket, enter};
pub(crate) use self::errand::renew;
pub(crate) use self::meter::Meter;
pub use self::proxy::Proxies;
pub use self::tls::Tls;
pub use self::unreachable::{Step, Unreachable};
