//! The host's end: it enrols with a relay, dials it, and serves the guests that the relay brings.

mod config;
mod credential;
mod dial;
mod driver;
mod enrolment;
mod exchange;
mod forwarder;
mod guests;
mod handle;
mod handshake;
mod machine;
mod problem;
mod relay_url;
mod road;
mod status;

pub use self::config::{AccountRule, ConnectorConfig, GuestLimits, Host, Rate, Startup, Times};
pub use self::credential::{Credential, CredentialError, CredentialSource, Renewal};
pub use self::driver::{Connector, ConnectorError};
pub use self::enrolment::{
    Enrolment, EnrolmentKey, EnrolmentStore, EnrolmentStoreError, FileEnrolments, MemoryEnrolments,
};
pub use self::forwarder::{Forwarder, ForwarderConfig, ForwarderError};
pub use self::guests::{Upstream, UpstreamError};
pub use self::handle::ConnectorHandle;
pub use self::problem::{Problem, ProblemKind, StartError};
pub use self::relay_url::{RelayUrl, RelayUrlError};
pub use self::status::{Phase, Status};

#[cfg(test)]
mod tests;
