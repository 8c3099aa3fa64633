//! Where in an arrival a credential travels.
//!
//! A [`Carrier`] reads a credential on the server's side ([`Carrier::extract`]), puts one on the
//! client's side ([`Carrier::attach`]), and takes it away before a request goes upstream
//! ([`Carrier::strip`]). What one attaches, the same one extracts: a property test ties them.
//!
//! A route names the carriers it reads. They are asked in one fixed order, and the first that holds
//! a credential is the one that counts:
//!
//! 1. header: `Authorization: Bearer …` (RFC 6750, 2.1)
//! 2. subprotocol: one of four dialects of `Sec-WebSocket-Protocol`
//! 3. ticket: `?ticket=`, which serves once
//! 4. cookie: by name
//! 5. query: `?token=` or `?access_token=` (RFC 6750, 2.3)
//! 6. first message, after the socket was accepted
//!
//! # Deployment caveat
//!
//! A query string is logged by nearly everything that a request passes; that carrier is for clients
//! that know no other. A cookie travels without the page's knowledge, so the decision asks for a
//! good `Origin` besides.

mod cookie;
pub mod first_message;
mod header;
mod query;
mod subprotocol;

use std::fmt;
use std::str::FromStr;

use http::request::Parts;

pub use self::cookie::CookieName;
pub use self::subprotocol::Dialect;
pub(crate) use self::subprotocol::offered as offered_subprotocols;
use crate::credential::Credential;

/// A place in an arrival where a credential may be.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one means must be decided everywhere"
)]
pub enum Carrier {
    /// `Authorization: Bearer …`
    Header,
    /// `Sec-WebSocket-Protocol`, in any of the [`Dialect`]s.
    Subprotocol,
    /// `?ticket=`
    Ticket,
    /// A cookie of this name.
    Cookie(CookieName),
    /// `?token=` or `?access_token=`.
    Query,
    /// The first message on the accepted socket.
    FirstMessage,
}

impl Carrier {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> CarrierKind {
        match self {
            Self::Header => CarrierKind::Header,
            Self::Subprotocol => CarrierKind::Subprotocol,
            Self::Ticket => CarrierKind::Ticket,
            Self::Cookie(_) => CarrierKind::Cookie,
            Self::Query => CarrierKind::Query,
            Self::FirstMessage => CarrierKind::FirstMessage,
        }
    }

    /// The credential in this place of a request; none when the place is empty. A first message is
    /// never in a request.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when something is there that is no credential, or more than one.
    pub fn extract(&self, head: &Parts) -> Result<Option<Credential>, Malformed> {
        let secret = match self {
            Self::Header => header::extract(&head.headers)?,
            Self::Subprotocol => subprotocol::extract(&head.headers)?,
            Self::Cookie(name) => name.extract(&head.headers)?,
            Self::Ticket => query::extract(query::TICKET, &head.uri)?,
            Self::Query => query::extract(query::TOKEN, &head.uri)?,
            Self::FirstMessage => None,
        };
        Ok(secret.map(|secret| Credential::new(secret, self.kind())))
    }

    /// Puts `credential` in this place of a request. A subprotocol is attached in the dialect
    /// [`Dialect::Portcullis`]; a first message is written with [`first_message::write`] instead.
    ///
    /// # Errors
    ///
    /// [`Unattachable`] when the place cannot hold the credential's characters, or is no part of a
    /// request.
    pub fn attach(&self, credential: &Credential, head: &mut Parts) -> Result<(), Unattachable> {
        let secret = credential.expose();
        match self {
            Self::Header => header::attach(secret, &mut head.headers),
            Self::Subprotocol => Dialect::Portcullis.attach(secret, &mut head.headers),
            Self::Cookie(name) => name.attach(secret, &mut head.headers),
            Self::Ticket => query::attach(query::TICKET, secret, &mut head.uri),
            Self::Query => query::attach(query::TOKEN, secret, &mut head.uri),
            Self::FirstMessage => Err(Unattachable),
        }
    }

    /// Takes whatever this place holds away from a request, and leaves the rest as it was.
    pub fn strip(&self, head: &mut Parts) {
        match self {
            Self::Header => header::strip(&mut head.headers),
            Self::Subprotocol => subprotocol::strip(&mut head.headers),
            Self::Cookie(name) => name.strip(&mut head.headers),
            Self::Ticket => query::strip(query::TICKET, &mut head.uri),
            Self::Query => query::strip(query::TOKEN, &mut head.uri),
            Self::FirstMessage => {}
        }
    }
}

/// The name used in configuration: `header`, `subprotocol`, `ticket`, `cookie:NAME`, `query`,
/// `first-message`.
impl FromStr for Carrier {
    type Err = UnknownCarrier;

    fn from_str(name: &str) -> Result<Self, UnknownCarrier> {
        match name {
            "header" => Ok(Self::Header),
            "subprotocol" => Ok(Self::Subprotocol),
            "ticket" => Ok(Self::Ticket),
            "query" => Ok(Self::Query),
            "first-message" => Ok(Self::FirstMessage),
            _ => name
                .strip_prefix("cookie:")
                .and_then(CookieName::new)
                .map(Self::Cookie)
                .ok_or(UnknownCarrier),
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            other => other.kind().fmt(f),
        }
    }
}

/// The kind of a carrier, without its parameters.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one means must be decided everywhere"
)]
pub enum CarrierKind {
    /// See [`Carrier::Header`].
    Header,
    /// See [`Carrier::Subprotocol`].
    Subprotocol,
    /// See [`Carrier::Ticket`].
    Ticket,
    /// See [`Carrier::Cookie`].
    Cookie,
    /// See [`Carrier::Query`].
    Query,
    /// See [`Carrier::FirstMessage`].
    FirstMessage,
}

impl CarrierKind {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Subprotocol => "subprotocol",
            Self::Ticket => "ticket",
            Self::Cookie => "cookie",
            Self::Query => "query",
            Self::FirstMessage => "first-message",
        }
    }
}

impl fmt::Display for CarrierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The carriers that a route reads, in the order in which they are asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Carriers(Vec<Carrier>);

impl Carriers {
    /// These carriers, put into the fixed order, each once.
    #[must_use]
    pub fn new(carriers: impl IntoIterator<Item = Carrier>) -> Self {
        let mut carriers: Vec<_> = carriers.into_iter().collect();
        carriers.sort();
        carriers.dedup();
        Self(carriers)
    }

    /// The credential in the first carrier that holds one.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the first carrier that is not empty holds no credential, or several.
    pub fn extract(&self, head: &Parts) -> Result<Option<Credential>, Malformed> {
        for carrier in &self.0 {
            if let Some(credential) = carrier.extract(head)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// Takes the credentials away from a request, in every carrier that is read.
    pub fn strip(&self, head: &mut Parts) {
        for carrier in &self.0 {
            carrier.strip(head);
        }
    }

    /// Whether a first message is one of them.
    #[must_use]
    pub fn include_first_message(&self) -> bool {
        self.0.contains(&Carrier::FirstMessage)
    }

    /// The carriers in the order in which they are asked.
    pub fn iter(&self) -> impl Iterator<Item = &Carrier> {
        self.0.iter()
    }
}

/// `Authorization: Bearer` alone.
impl Default for Carriers {
    fn default() -> Self {
        Self(vec![Carrier::Header])
    }
}

/// Whether a subprotocol is a credential in disguise, which no server may select.
pub(crate) fn is_credential(subprotocol: &str) -> bool {
    Dialect::of(subprotocol).is_some()
}

/// A carrier that holds no credential, or several.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

/// A credential that cannot travel in this carrier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this carrier cannot hold this credential")]
#[non_exhaustive]
pub struct Unattachable;

/// A name that is no carrier's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("use `header`, `subprotocol`, `ticket`, `cookie:NAME`, `query` or `first-message`")]
#[non_exhaustive]
pub struct UnknownCarrier;

#[cfg(test)]
mod tests;
