//! The host's end: it enrols with a relay, dials it, and serves the guests that the relay brings.
//!
//! ```text
//!   CredentialSource ──▶ ┌───────────┐ ── enrol, refresh ──▶
//!                        │ Connector │                        relay
//!   EnrolmentStore ◀───▶ └───────────┘ ════════ road ═══════▶
//!                          │   │   ▲
//!                  guests  ▼   ▼   └── ConnectorHandle: enable, disable, status, shutdown
//!               an Upstream each: ws, wss, unix, stdio
//! ```
//!
//! 1. What is wrong with a credential is waited for, and never ends a connector that has started.
//! 2. Guests outlive the road. What was said on either side arrives once and in order, or the guest is
//!    told that it is closed.
//! 3. Nothing is waited for, kept or tried without a bound.
//! 4. An order is carried out within a fifth of a second, whatever the connector is about.
//!
//! [`Forwarder`] is something else: with it, the agent's own host reaches a relay elsewhere.
//!
//! # Deployment caveat
//!
//! Whoever the relay lets in speaks with the upstream, with all that it may do. A `stdio:` upstream runs as
//! the user of this process, with its environment.
//!
//! # Example
//!
//! ```no_run
//! use portcullis_client::connect::{Dialer, Proxies, Tls};
//! use portcullis_remote::connector::{
//!     Connector, ConnectorConfig, Credential, CredentialError, CredentialSource, FileEnrolments, Host,
//!     Upstream,
//! };
//!
//! /// A credential that never changes.
//! struct Fixed;
//!
//! impl CredentialSource for Fixed {
//!     async fn read(&self) -> Result<Credential, CredentialError> {
//!         Ok(Credential::bearer("token").of_account("acme"))
//!     }
//!
//!     async fn changed(&self) {
//!         std::future::pending().await
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::new("workshop", "5a0c2f52-6f0c-4f6b-9a54-4a51a0a3c0de");
//! let dialer = Dialer::new(Tls::system()?).with_proxies(Proxies::from_environment()?);
//! let config = ConnectorConfig::new("https://relay.example", host, dialer);
//! let enrolments = FileEnrolments::at("/var/lib/portcullis/enrolments.json");
//! let upstream = Upstream::parse("stdio:codex app-server")?;
//! let (connector, handle) = Connector::new(config, Fixed, enrolments, upstream);
//! // On Ctrl-C: handle.shutdown().
//! drop(handle);
//! connector.run().await?;
//! # Ok(())
//! # }
//! ```

mod bearer;
mod config;
mod credential;
mod driver;
mod enrolment;
mod exchange;
mod forwarder;
mod guests;
mod handle;
mod machine;
mod problem;
mod relay_url;
mod road;
mod status;

pub use self::config::{AccountRule, ConnectorConfig, GuestLimits, Host, Rate, Startup, Times};
pub use self::credential::{Credential, CredentialError, CredentialSource, Renewal};
pub use self::driver::Connector;
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
