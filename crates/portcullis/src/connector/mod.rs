//! The host's end of remote control, in the program: who it is, what it shows, what it remembers.
//!
//! What a connector does is `portcullis_remote::connector`'s. Here it is given a credential that is
//! read again ([`CredentialPlan`]), a ledger to keep its enrolment in, a name and an upstream
//! ([`ConnectorPlan`]), and it runs: by itself (`portcullis connect`), or beside listeners
//! (`[connector]` of `portcullis serve`).
//!
//! 1. Whether it is enabled is what flags or file say, at each start anew. What an operator orders
//!    over the admin API holds until then.
//! 2. What is kept in the state folder is this machine's alone: the name of the installation, the
//!    secret path of the door on loopback. The enrolment is in the ledger.

mod alone;
mod beside;
mod credentials;
mod enrolments;
mod installation;
mod life;
mod measure;
mod plan;

pub(crate) use self::alone::Alone;
#[cfg(test)]
pub(crate) use self::beside::tests::resting;
pub(crate) use self::beside::{Beside, Followed};
pub(crate) use self::credentials::CredentialPlan;
pub(crate) use self::measure::{Measured, describe};
pub(crate) use self::plan::{ConnectorPlan, UpstreamPlan, account_rule, dialer_for, host_name};
