//! What a connector is told.

use std::time::Duration;

use portcullis_client::connect::Dialer;

use super::relay_url::{RelayUrl, RelayUrlError};

/// Whether the connector dials at its start, and what happens if it cannot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature")]
pub enum Startup {
    /// It waits until somebody enables it.
    Disabled,
    /// It dials. A credential that is missing or cannot be read is waited for: somebody is served
    /// meanwhile by other means.
    AllowRecoverable,
    /// It dials. Without a credential that can be read it does not start at all: nobody would be
    /// served, and nobody would notice.
    RequireReady,
}

/// To whom the host belongs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by nature")]
pub enum AccountRule {
    /// To the account that the credential names. A credential that names none is waited for.
    #[default]
    FromCredential,
    /// To this one, whatever the credential says.
    Fixed(Box<str>),
    /// The relay knows by the credential alone.
    Unnamed,
}

/// The host, as the relay sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Host {
    /// Its name, which people see: the machine's, usually.
    pub name: Box<str>,
    /// The name of this installation, which stays the same: a UUID.
    pub installation_id: Box<str>,
    /// The version of the program.
    pub version: Box<str>,
}

impl Host {
    /// The installation `installation_id` with the name `name`, of this version of Portcullis.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, installation_id: impl Into<Box<str>>) -> Self {
        Self {
            name: name.into().trim().into(),
            installation_id: installation_id.into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// What it calls itself in `User-Agent`.
    pub(crate) fn agent(&self) -> String {
        use std::env::consts::{ARCH, OS};
        format!("portcullis/{} ({OS}; {ARCH})", self.version)
    }
}

/// Which relay, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectorConfig {
    /// The relay's base URL, as [`RelayUrl::parse`] takes it. It is not looked at while the connector
    /// is disabled.
    pub relay: Box<str>,
    /// Takes `http` with any host: see [`RelayUrl::dangerous_plain`]. No.
    pub dangerous_plain_relay: bool,
    /// Who dials.
    pub host: Host,
    /// To whom it belongs. To the account that the credential names.
    pub account: AccountRule,
    /// What it does at its start. [`Startup::AllowRecoverable`].
    pub startup: Startup,
    /// How the relay is reached, and upstreams that have no [`Dialer`] of their own.
    pub dialer: Dialer,
    /// How long it waits.
    pub times: Times,
    /// How much it keeps for guests.
    pub limits: GuestLimits,
}

impl ConnectorConfig {
    /// For the relay at `relay`, which is reached by `dialer`; all else as the fields say.
    #[must_use]
    pub fn new(relay: impl Into<Box<str>>, host: Host, dialer: Dialer) -> Self {
        Self {
            relay: relay.into(),
            dangerous_plain_relay: false,
            host,
            account: AccountRule::default(),
            startup: Startup::AllowRecoverable,
            dialer,
            times: Times::default(),
            limits: GuestLimits::default(),
        }
    }

    pub(crate) fn relay_url(&self) -> Result<RelayUrl, RelayUrlError> {
        if self.dangerous_plain_relay {
            RelayUrl::dangerous_plain(&self.relay)
        } else {
            RelayUrl::parse(&self.relay)
        }
    }
}

/// The times of a connector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// How often the credential is read while one is waited for. 1 second.
    pub poll: Duration,
    /// The wait after the first failure; each one after it is twice as long. Half of every wait is
    /// left to chance. 1 second.
    pub first_backoff: Duration,
    /// The longest of them. 30 seconds.
    pub max_backoff: Duration,
    /// How often the relay is pinged. The first answer shows that a road is good, and only then is the
    /// next wait the first one again. 10 seconds.
    pub ping: Duration,
    /// How long a road may be without the answer to a ping. 60 seconds.
    pub pong_timeout: Duration,
    /// The longest that the relay may take over a request. 30 seconds.
    pub exchange_timeout: Duration,
    /// The longest that it may take over the handshake. 30 seconds.
    pub connect_timeout: Duration,
    /// A token that lives no longer than this is refreshed before it is used. 5 minutes.
    pub refresh_before: Duration,
    /// How often a changed credential cuts a wait short. 10 times a minute.
    pub changes: Rate,
    /// How often a credential source is asked for a better credential. 3 times in 15 minutes.
    pub renewals: Rate,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            first_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            ping: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(60),
            exchange_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            refresh_before: Duration::from_secs(300),
            changes: Rate {
                most: 10,
                within: Duration::from_secs(60),
            },
            renewals: Rate {
                most: 3,
                within: Duration::from_secs(15 * 60),
            },
        }
    }
}

/// So often in so long a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "complete by nature")]
pub struct Rate {
    /// How often, at most.
    pub most: u8,
    /// In any time of this length.
    pub within: Duration,
}

/// How much is kept for guests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GuestLimits {
    /// How many there are at once. 256.
    pub guests: usize,
    /// How many messages of a guest wait for its upstream. Our own relay sends no more than 128
    /// before it hears of them. 256.
    pub inbound: usize,
    /// How many bytes of messages of all guests wait for their upstreams; one may overshoot it.
    /// 64 MiB.
    pub inbound_bytes: usize,
    /// How many messages of all upstreams wait for the road, beside what the wire keeps until it is
    /// acknowledged. 16.
    pub outbound: usize,
    /// How long the connection to an upstream may take. 10 seconds.
    pub connect: Duration,
    /// The largest message of an upstream. 16 MiB.
    pub message: usize,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            guests: 256,
            inbound: 256,
            inbound_bytes: 64 * 1024 * 1024,
            outbound: 16,
            connect: Duration::from_secs(10),
            message: 16 * 1024 * 1024,
        }
    }
}
