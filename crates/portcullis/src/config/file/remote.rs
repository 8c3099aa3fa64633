//! `[route.relay]` and `[route.remote]`

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::at::At;
use crate::config::scalar::Scalar;

/// The gate's relay: how long things count there, and how many there may be. It is one for all
/// routes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Relay {
    /// How long a server token counts; 1h by default. A host asks for another before it dials when
    /// less than five minutes are left.
    pub(crate) token_life: Option<At<String>>,
    /// How long a pairing code counts; 10m by default.
    pub(crate) pairing_life: Option<At<String>>,
    /// The most hosts of an account; 64 by default.
    pub(crate) hosts: Option<At<i64>>,
    /// The most roads that end at this gate; 10000 by default.
    pub(crate) roads: Option<At<i64>>,
    /// The most guests of a host, and the most who wait here for the same one; 64 by default.
    pub(crate) guests: Option<At<i64>>,
    /// How long a guest waits for a host that is away; 1m by default.
    pub(crate) away: Option<At<String>>,
    /// How much a guest may say until it is known to be delivered, and while the host is away; 4MiB
    /// by default, in at most 128 messages.
    pub(crate) waiting: Option<At<Scalar>>,
    /// How much may wait for a guest to read it; 8MiB by default. Who reads more slowly is cut.
    pub(crate) unread: Option<At<Scalar>>,
    /// How much may wait for all guests of the gate together, what comes together of long messages
    /// included; 1GiB by default. Beyond it, guests are cut for whom more than 64KiB waits.
    pub(crate) all_unread: Option<At<Scalar>>,
    /// The largest message of a guest; 16MiB by default.
    pub(crate) max_message: Option<At<Scalar>>,
    /// The largest message of a host, which says long ones in parts; 100MiB by default, and at
    /// most.
    pub(crate) max_host_message: Option<At<Scalar>>,
}

/// Which host a route leads to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Remote {
    /// Whose host of that name it is, as `ISSUER#SUBJECT`, or `verifier:NAME#SUBJECT` where there
    /// is no issuer. Without it, the guest's own.
    pub(crate) account: Option<At<String>>,
}
