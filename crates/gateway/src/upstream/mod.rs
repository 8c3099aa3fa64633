//! What stands behind a route, and how it is reached.

mod builtin;
mod dial;
pub(crate) mod headers;
mod http;
mod refusal;
pub(crate) mod service;
mod websocket;

pub(crate) use self::dial::{DialError, dial};
pub use self::http::Body;
pub(crate) use self::http::{Client, Reply, Unanswered, Unfinished, full};
pub(crate) use self::websocket::{
    Accepted, HandshakeError, Offer, accept_key, header_map, open, write_header,
};
