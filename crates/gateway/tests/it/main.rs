//! A gate in this process, on real sockets.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that is wrong should fail"
)]

mod admission;
mod connections;
mod sessions;
mod support;
mod upstreams;
