//! The bridge as a `tower::Service`.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET` that asks for a WebSocket | 101, and a task on the tracker; 426 where the route has none |
//! | `POST` | a stream of events, or one response where the request does not ask for a stream |
//! | `GET …/models` | the models that are listed by name |
//! | another method | 405 |
//!
//! Who may come in is not decided here, but by whoever passes the request on. He puts extensions into
//! it: [`Caller`], who is asked about each turn; [`Tasks`], where its work is done; and for a WebSocket
//! [`Upgrade`], the socket.

mod body;
mod bridge;
mod caller;
mod models;
mod post;
mod reply;

pub use portcullis_upgrade::{Socket, Upgrade};

pub use self::body::ResponsesBody;
pub use self::bridge::{Bridge, Setup, Sockets, Tasks};
pub use self::caller::{Caller, DynPermit, Permit};
