//! A gate in this process, on real sockets.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that is wrong should fail"
)]

mod admission;
mod connections;
mod first_message;
mod goodbyes;
mod headers;
mod live;
mod login;
mod own_answers;
mod recheck;
mod reload_and_drain;
mod services;
mod sessions;
mod support;
mod terms;
mod traces;
mod upstreams;
