//! The server's half of a WebSocket handshake, and the socket that comes of it.
//!
//! For services that answer requests and do not own the connections these came on: behind a gate, or
//! before hyper. [`is_asked`] and [`accept`] read a handshake and answer it; the connection comes as an
//! extension of the request, [`Upgrade`], and becomes a [`Socket`] once the 101 is written.
//!
//! What a refused handshake is told is the service's own: it has the [`Fault`].

mod handshake;
mod socket;

pub use self::handshake::{Fault, accept, is_asked};
pub use self::socket::{Socket, Upgrade};
