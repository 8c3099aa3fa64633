//! The boundary from outside: what its users may rely on.

#![cfg(test)]

#[cfg(feature = "axum")]
mod axum;
mod entry;
mod limits;
mod parity;
mod recheck;
mod rules;
mod session;
mod session_properties;
mod shared;
mod tower;
