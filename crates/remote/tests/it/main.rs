//! What both ends of a road promise.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are tests as well"
)]

mod connector;
mod road;
mod support;
mod wire;
