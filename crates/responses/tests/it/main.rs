//! The bridge: its machine in simulated time, and the whole on real sockets.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that is wrong should fail"
)]

mod bursts;
mod chain;
mod failures;
mod lanes;
mod life;
mod malformed;
mod plain;
mod pressure;
mod property;
mod relay;
mod relayed;
mod sockets;
mod support;
