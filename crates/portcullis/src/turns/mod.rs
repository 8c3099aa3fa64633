//! Routes to models: the bridge of `portcullis-responses` behind a gate.
//!
//! The bridge knows its protocol, the gate knows who entered; here they meet. Each turn is decided anew:
//! whether the credential still holds, and whether its subject has tokens left. Each turn is told to
//! the log, the metrics and the audit log.

mod log;
mod permit;
mod service;
mod spending;

pub(crate) use self::log::{TurnLog, describe, millis, status};
pub(crate) use self::permit::Asker;
pub(crate) use self::service::BridgeRoute;
pub(crate) use self::spending::{Budget, Spending};
