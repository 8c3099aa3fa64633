//! What a ledger promises, in SQLite and in a real PostgreSQL.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "rules that two tests share are tests as well"
)]

mod support;

mod audit;
mod bus;
mod enrolments;
mod hostile;
mod hosts;
mod keys;
mod logins;
mod outage;
mod prune;
mod rates;
mod revocations;
mod runtimes;
mod sessions;
mod tickets;
mod tls;
mod users;
