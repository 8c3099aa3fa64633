//! The verifiers, by the tables that say what they do.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy takes the helpers of tests for production code"
)]

mod capability;
mod jwt_identity;
mod jwt_keys;
mod jwt_table;
mod jwt_time;
mod properties;
mod secret_file;
mod support;
