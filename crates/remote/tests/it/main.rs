//! What both ends of a road promise.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests are tests as well"
)]

mod bounds;
mod bus;
mod connector;
mod gates;
mod hosts;
mod road;
mod support;
mod wire;

fn first_page() -> portcullis_remote::relay::Page {
    portcullis_remote::relay::Page {
        after: None,
        limit: 100,
        is_descending: false,
    }
}
