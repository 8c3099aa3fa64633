//! What is wrong with what the caller asked for.

use std::time::Duration;

/// Something that cannot work, found before anything is dialled. The texts name the mend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An address that is none.
    #[error("the address {why}")]
    Address {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A proxy's address that is none.
    #[error("the proxy in {variable} {why}")]
    Proxy {
        /// The variable that holds it.
        variable: Box<str>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Certificates or keys that cannot be used.
    #[error("TLS cannot be set up: {why}")]
    Tls {
        /// What is wrong with them.
        why: Box<str>,
    },
    /// A credential would go where others can read it.
    #[error(
        "a credential would be sent to {host} unencrypted; use `wss://`, or allow it by its dangerous name"
    )]
    Unencrypted {
        /// The host.
        host: Box<str>,
    },
    /// The subprotocol carrier, and no other subprotocol that the server could select.
    #[error("a credential as a subprotocol needs another one beside it, which the server selects")]
    SubprotocolAlone,
    /// A header that is the client's own to write.
    #[error("the header `{name}` is written by the client itself")]
    OwnHeader {
        /// Its name.
        name: Box<str>,
    },
    /// A subprotocol that is none.
    #[error("`{name}` is no name of a subprotocol")]
    Subprotocol {
        /// What was given.
        name: Box<str>,
    },
    /// A length of time that makes no sense.
    #[error("{what} cannot be {value:?}")]
    Time {
        /// Which.
        what: &'static str,
        /// What was given.
        value: Duration,
    },
}
