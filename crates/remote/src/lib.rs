//! A gateway behind a NAT.
//!
//! A machine that nobody can reach dials out: its connector holds the **road**, and the relay is the end
//! that it dials. Clients of the relay, the **guests**, reach the machine, the **host**, over its road.
//!
//! - [`connector`] is the host's end: it enrols, dials, comes back, and serves guests.
//! - [`relay`] is the end that hosts dial, as `tower::Service`s.
//! - [`wire`] is what both ends say to each other, pure: envelopes, and a machine for each end and
//!   direction.

pub mod connector;
pub mod relay;
mod socket;
pub mod wire;
