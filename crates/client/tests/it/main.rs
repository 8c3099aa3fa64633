//! Clients on real sockets: against a gate in this process, and servers that are played by hand.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that goes wrong should fail"
)]

mod carriers;
mod every_refusal;
mod messages;
mod mid_session;
mod network;
mod refresh_endpoint;
mod refusals;
mod renewal;
mod returns;
mod support;
