//! Routes to hosts behind a NAT: the relay of `portcullis-remote` behind a gate.
//!
//! The relay knows hosts and guests, the gate knows who entered; here they meet. A gate has one relay, which
//! all routes share and which outlives reloads. What it must remember is kept in the ledger.
//!
//! # Rules
//!
//! 1. What is asked in the name of an account is asked by who entered, and by nobody else.
//! 2. What is asked with a server token is decided by the relay alone: the gate lets it through and knows
//!    nobody there, so that no account comes of it.

mod account;
mod book;
mod place;
mod service;

pub(crate) use self::account::account_of;
pub(crate) use self::place::{RelayPlan, RemotePlace};
pub(crate) use self::service::{AskedAs, GuestRoute, HostRoute};
