//! The verifiers, by the tables that say what they do.

#![expect(
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy takes the helpers of tests for production code"
)]

mod api_keys;
mod callout;
mod capability;
mod firebase;
mod introspection;
mod jwks_fetch;
mod jwks_foreign;
mod jwks_known;
mod jwks_tokens;
mod jwt_identity;
mod jwt_keys;
mod jwt_table;
mod jwt_time;
mod key_sets;
mod login;
mod login_cookies;
mod logouts;
mod properties;
mod secret_file;
mod service;
mod signer;
mod support;
