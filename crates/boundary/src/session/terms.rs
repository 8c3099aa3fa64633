//! What a session must keep to.

use std::time::Duration;

use crate::close::CodeTable;
use crate::limits::Rate;

/// What a session must keep to, beside its credential's expiry. Shared by the sessions of a route.
///
/// # Defaults
///
/// Only stalls are ended, after a minute: a session that nobody limits lives until one end leaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Terms {
    /// How long neither end may pass a frame on. The gate's own pings do not count.
    pub idle: Option<Duration>,
    /// How long the session may live.
    pub lifetime: Option<Duration>,
    /// The most bytes in a message from the client, over all its fragments, as they are on the
    /// wire: a compressed message counts compressed.
    pub max_message: Option<u64>,
    /// The same for a message from the upstream.
    pub max_message_down: Option<u64>,
    /// How often the client may begin a message.
    pub message_rate: Option<Rate>,
    /// How long before its credential's expiry the client is told of it, in a text message.
    pub notice: Option<Duration>,
    /// At most how much earlier than its credential's expiry a session ends, drawn anew for each,
    /// so that those that began together do not all come back together.
    pub expiry_jitter: Option<Duration>,
    /// How often those are asked again about the session who can only be asked, such as an
    /// introspection endpoint. The machine is told of each answer, and when to ask again: see
    /// [`Session::asking_from`](super::Session::asking_from).
    pub recheck: Option<Duration>,
    /// For how long nobody may be able to answer such a question; then the session ends.
    pub recheck_silence: Option<Duration>,
    /// How long the client may be silent before the gate pings it.
    pub ping: Option<Duration>,
    /// How long an end may fail to take what is written to it.
    pub stall: Option<Duration>,
    /// The close codes.
    pub codes: CodeTable,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            idle: None,
            lifetime: None,
            max_message: None,
            max_message_down: None,
            message_rate: None,
            notice: None,
            expiry_jitter: None,
            recheck: None,
            recheck_silence: None,
            ping: None,
            stall: Some(Duration::from_secs(60)),
            codes: CodeTable::default(),
        }
    }
}
