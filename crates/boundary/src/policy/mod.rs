//! What a route asks of an arrival.

mod host;
mod origin;

use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::Value;

pub use self::host::{HostRule, is_loopback};
pub(crate) use self::origin::Judgement;
pub use self::origin::{Origin, OriginRule};
use crate::arrival::{Arrival, OriginHeader, Protocol};
use crate::carrier::{CarrierKind, Carriers};
use crate::close::CodeTable;
use crate::identity::Scopes;
use crate::refusal::RefusalKind;
use crate::verifier::DynVerifier;

/// What a route asks of an arrival.
///
/// # Defaults
///
/// A policy made by [`Policy::new`] takes HTTP and WebSocket, origins of the same host or none, any
/// scopes, any number of sessions per subject; it tells refusals by [`Signal::Auto`] in the codes
/// of the default preset.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) name: Arc<str>,
    pub(crate) auth: Auth,
    pub(crate) origin: OriginRule,
    pub(crate) protocols: Protocols,
    pub(crate) scopes: Scopes,
    pub(crate) claims: Vec<(Box<str>, Value)>,
    pub(crate) sessions_per_subject: Option<NonZeroU32>,
    pub(crate) keeps_credentials: bool,
    pub(crate) signal: Signal,
    pub(crate) codes: CodeTable,
}

/// How an arrival shows who it is.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one admits must be decided"
)]
pub enum Auth {
    /// No-auth mode: the one switch that opens every route, for HTTP and WebSocket alike. Each
    /// arrival is the synthetic identity `local`.
    Off,
    /// This route is for everybody. Each arrival is the identity `public`.
    Public,
    /// The upstream decides, by a credential that only it knows and that the gate must pass on. Each
    /// arrival is the identity `unasked`, of which nothing is known. Whoever carries that out tells
    /// [`Boundary::note_refusal`](crate::Boundary::note_refusal) of a credential that the upstream refuses.
    Upstream,
    /// A credential in one of the carriers, true by the verifier that recognises it.
    Required {
        /// The verifiers, in the order in which they are asked whether they recognise a credential.
        verifiers: Vec<Arc<dyn DynVerifier>>,
        /// Where a credential may travel.
        carriers: Carriers,
    },
}

impl Auth {
    /// Whether arrivals are asked who they are: rules 4 to 7 are for these alone.
    #[must_use]
    pub const fn asks_who_it_is(&self) -> bool {
        match self {
            Self::Off | Self::Public | Self::Upstream => false,
            Self::Required { .. } => true,
        }
    }
}

/// Which protocols a route speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one admits must be decided"
)]
pub enum Protocols {
    /// HTTP requests and WebSocket handshakes.
    #[default]
    Both,
    /// WebSocket handshakes; whatever else comes is one with a fault.
    WebSocketOnly,
}

/// How a refusal reaches the client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one means must be decided"
)]
pub enum Signal {
    /// A handshake with an `Origin` comes from a browser, whose script can read nothing but a close
    /// code: it is accepted and closed. Any other gets the HTTP denial.
    #[default]
    Auto,
    /// Accept, then a close code.
    Close,
    /// The HTTP denial.
    Http,
}

impl Policy {
    /// The policy of the route `name`.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, auth: Auth) -> Self {
        Self {
            name: name.into(),
            auth,
            origin: OriginRule::default(),
            protocols: Protocols::default(),
            scopes: Scopes::default(),
            claims: Vec::new(),
            sessions_per_subject: None,
            keeps_credentials: false,
            signal: Signal::default(),
            codes: CodeTable::default(),
        }
    }

    /// Sets which origins may connect.
    #[must_use]
    pub fn with_origin(mut self, rule: OriginRule) -> Self {
        self.origin = rule;
        self
    }

    /// Whether the route reads this kind of carrier.
    #[must_use]
    pub fn reads(&self, kind: CarrierKind) -> bool {
        match &self.auth {
            Auth::Required { carriers, .. } => carriers.iter().any(|own| own.kind() == kind),
            Auth::Off | Auth::Public | Auth::Upstream => false,
        }
    }

    /// Sets which protocols the route speaks.
    #[must_use]
    pub const fn with_protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// Sets the scopes that an identity must have. They do not count in no-auth mode.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Requires the claim `name` to be `value`, or to be an array that contains it.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<Box<str>>, value: Value) -> Self {
        self.claims.push((name.into(), value));
        self
    }

    /// Sets how many sessions one subject may have open on this route.
    #[must_use]
    pub const fn with_sessions_per_subject(mut self, most: NonZeroU32) -> Self {
        self.sessions_per_subject = Some(most);
        self
    }

    /// Has passes keep the credential where its verifier can only be asked
    /// ([`Verifier::is_polled`](crate::Verifier::is_polled)), so that it can be asked again. By default
    /// no credential outlives its decision.
    #[must_use]
    pub const fn keeping_credentials(mut self, keeps: bool) -> Self {
        self.keeps_credentials = keeps;
        self
    }

    /// Sets how refusals reach the client.
    #[must_use]
    pub const fn with_signal(mut self, signal: Signal) -> Self {
        self.signal = signal;
        self
    }

    /// Sets the close codes.
    #[must_use]
    pub fn with_codes(mut self, codes: CodeTable) -> Self {
        self.codes = codes;
        self
    }

    /// The name of the route.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How an arrival shows who it is.
    #[must_use]
    pub const fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The close codes.
    #[must_use]
    pub const fn codes(&self) -> &CodeTable {
        &self.codes
    }

    /// The scopes that an identity must have.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Whether it asks for the claim `name`.
    pub(crate) fn needs_claim(&self, name: &str) -> bool {
        self.claims.iter().any(|(needed, _)| **needed == *name)
    }

    /// How a refusal of `kind` reaches `arrival`.
    ///
    /// A plain request, a handshake that is none, and whoever comes to the wrong host or from the
    /// wrong origin get the HTTP denial: these are never accepted.
    #[must_use]
    pub fn delivery(&self, arrival: &Arrival, kind: RefusalKind) -> Delivery {
        let acceptable =
            arrival.protocol() == Protocol::WebSocket && arrival.check_handshake().is_ok();
        let wanted = match self.signal {
            Signal::Auto => arrival.origin() != OriginHeader::Absent,
            Signal::Close => true,
            Signal::Http => false,
        };
        match self.codes.code(kind) {
            Some(code) if acceptable && wanted => Delivery::Close(code),
            Some(_) | None => Delivery::Denial,
        }
    }
}

/// How one refusal reaches one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Delivery {
    /// An HTTP response before the socket is accepted.
    Denial,
    /// The socket is accepted and closed with this code.
    Close(crate::close::CloseCode),
}
