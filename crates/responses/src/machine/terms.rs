//! What a connection must keep to.

use std::time::Duration;

use crate::error::ConfigError;
use crate::prepare::{ModelPolicy, Preparation};

/// What turns go through, and what a connection must keep to.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "each must be decided")]
pub struct Rules {
    /// What is done to requests.
    pub preparation: Preparation,
    /// Which models may be used.
    pub models: ModelPolicy,
    /// What a connection must keep to.
    pub terms: Terms,
}

/// Whose memory a turn goes on from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "each changes what upstreams are told"
)]
pub enum Remembers {
    /// Ours alone: the upstream is HTTP, and knows nothing of earlier turns.
    #[default]
    Bridge,
    /// Ours first; the upstream is HTTP, and keeps what it is told to store.
    BridgeAndUpstream,
    /// The upstream's, which is a socket for each of ours.
    Socket,
}

/// What a connection must keep to. The protocol's own numbers stand in constants.
#[derive(Clone, Debug)]
pub struct Terms {
    pub(crate) remembers: Remembers,
    pub(crate) keepalive: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) grace: Duration,
    pub(crate) message_bytes: usize,
    pub(crate) chain_bytes: usize,
    pub(crate) pending_bytes: usize,
}

impl Terms {
    /// Whose memory a turn goes on from.
    #[must_use]
    pub const fn with_memory(mut self, remembers: Remembers) -> Self {
        self.remembers = remembers;
        self
    }

    /// After how long a silence a client is told that its turn is still under way: 15 seconds, as proxies
    /// cut what is silent for a minute or two, and clients for five.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] below 100 milliseconds and above an hour.
    pub fn with_keepalive(self, keepalive: Duration) -> Result<Self, ConfigError> {
        let keepalive = within("keepalive in milliseconds", keepalive, 100, 3_600_000)?;
        Ok(Self { keepalive, ..self })
    }

    /// How long a connection may live: 60 minutes, as the protocol says.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] below 100 milliseconds and above a day.
    pub fn with_lifetime(self, lifetime: Duration) -> Result<Self, ConfigError> {
        let lifetime = within("lifetime in milliseconds", lifetime, 100, 86_400_000)?;
        Ok(Self { lifetime, ..self })
    }

    /// How long turns under way may take to end when the connection must: 5 minutes.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] above an hour.
    pub fn with_grace(self, grace: Duration) -> Result<Self, ConfigError> {
        let grace = within("grace in milliseconds", grace, 0, 3_600_000)?;
        Ok(Self { grace, ..self })
    }

    /// The most bytes of one message: 20 MiB, for images.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] below 1 KiB and above 256 MiB.
    pub fn with_message_bytes(self, most: usize) -> Result<Self, ConfigError> {
        let message_bytes = size_within("message bytes", most, 1 << 10, 1 << 28)?;
        Ok(Self {
            message_bytes,
            pending_bytes: self.pending_bytes.max(message_bytes),
            ..self
        })
    }

    /// The most bytes that the lanes of one connection remember: 32 MiB. What does not fit is
    /// forgotten, the lane first that was used longest ago.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] above 1 GiB.
    pub fn with_chain_bytes(self, most: usize) -> Result<Self, ConfigError> {
        let chain_bytes = size_within("chain bytes", most, 0, 1 << 30)?;
        Ok(Self {
            chain_bytes,
            ..self
        })
    }

    /// The most bytes of messages whose turns wait or are under way on one connection: 64 MiB, and at
    /// least one message. What does not fit is refused. While the requests of turns under way, with all
    /// that they go on from, are as long as that, no other begins.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] above 1 GiB.
    pub fn with_pending_bytes(self, most: usize) -> Result<Self, ConfigError> {
        let pending_bytes = size_within("pending bytes", most, 0, 1 << 30)?;
        Ok(Self {
            pending_bytes: pending_bytes.max(self.message_bytes),
            ..self
        })
    }

    /// The most bytes of one message.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        self.message_bytes
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            remembers: Remembers::Bridge,
            keepalive: Duration::from_secs(15),
            lifetime: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(5 * 60),
            message_bytes: 20 << 20,
            chain_bytes: 32 << 20,
            pending_bytes: 64 << 20,
        }
    }
}

/// How many turns may be under way on one connection.
pub(super) const MOST_IN_FLIGHT: usize = 16;

/// How many lanes may have a name on one connection.
pub(super) const MOST_NAMES: usize = 32;

/// How many turns may wait on one connection.
pub(super) const MOST_QUEUED: usize = 64;

/// How many bytes of output a turn gathers for the chain; with more, its response is not remembered.
pub(super) const MOST_OUTPUT: usize = 8 << 20;

fn within(
    name: &'static str,
    time: Duration,
    least: u64,
    most: u64,
) -> Result<Duration, ConfigError> {
    let is_good = (u128::from(least)..=u128::from(most)).contains(&time.as_millis());
    is_good
        .then_some(time)
        .ok_or(ConfigError::OutOfRange { name, least, most })
}

fn size_within(
    name: &'static str,
    size: usize,
    least: usize,
    most: usize,
) -> Result<usize, ConfigError> {
    (least..=most)
        .contains(&size)
        .then_some(size)
        .ok_or_else(|| ConfigError::OutOfRange {
            name,
            least: u64::try_from(least).unwrap_or(u64::MAX),
            most: u64::try_from(most).unwrap_or(u64::MAX),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_told_with_its_range() {
        let error = Terms::default()
            .with_keepalive(Duration::from_millis(99))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "keepalive in milliseconds must be from 100 to 3600000"
        );
        assert!(Terms::default().with_message_bytes(1 << 29).is_err());
        assert!(Terms::default().with_grace(Duration::ZERO).is_ok());
    }

    #[test]
    fn a_message_that_may_be_sent_may_wait() {
        let terms = Terms::default()
            .with_pending_bytes(0)
            .unwrap()
            .with_message_bytes(1 << 26)
            .unwrap();
        assert_eq!(terms.pending_bytes, 1 << 26);
    }
}
