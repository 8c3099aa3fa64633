//! The decision in front of any `tower` service.
//!
//! [`BoundaryLayer`] puts a [`Boundary`](crate::Boundary) before a service: what is admitted goes
//! on with its [`Pass`](crate::Pass) in the request's extensions and its credential taken out, and
//! what is refused gets a [`denial`](crate::denial::denial). Plain requests and handshakes pass the
//! same rules, so that no upgrade slips by.
//!
//! A refusal is always told as an HTTP response here, since only the owner of the socket could
//! accept it first. A handler that wants to tell a browser a close code decides for itself with
//! [`Boundary::admit`](crate::Boundary::admit) and [`Policy::delivery`](crate::Policy::delivery).
//! A route that waits for a first message cannot be served by this layer; it answers 500.
//!
//! # Deployment caveat
//!
//! The layer takes the peer from a [`Peer`](crate::Peer) in the request's extensions. Where nobody
//! puts one there, limits per address do not count.

mod future;
mod layer;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::BoundaryLayer;
pub use self::service::BoundaryService;
