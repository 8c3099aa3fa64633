//! What clients and upstreams say, as far as the bridge must understand it.
//!
//! Unknown fields and unknown events pass: only what decides something is read.

mod client;
mod credential;
mod error_event;
mod fault;
mod made;
mod server;

pub(crate) use self::client::{ClientEvent, Create, Misread, Steer};
pub(crate) use self::credential::{refuses_credential, without_credential};
pub(crate) use self::error_event::ErrorEvent;
pub(crate) use self::fault::Fault;
pub(crate) use self::made::{CreatedAt, Made, NoUsage, ResponseShape, SteerRefusal, failed_event};
pub(crate) use self::server::{Body, Head, Kind};
