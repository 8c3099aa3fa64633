//! What a client is told once.

use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
    UPGRADE,
};
use portcullis_boundary::carrier::{Carrier, Dialect};
use portcullis_boundary::close::CodeTable;

use crate::address::Address;
use crate::client::Client;
use crate::connect::Dialer;
use crate::error::ConfigError;
use crate::machine::Settings;
use crate::token::Tokens;

/// What becomes of messages that were queued and never written when a connection ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Unwritten {
    /// They stay in the queue, in their order, and are written to the next connection.
    #[default]
    Keep,
    /// They are given back with [`Event::Unwritten`](crate::Event::Unwritten), as is what is sent while no
    /// connection is open: for protocols in which a new connection begins anew.
    GiveBack,
}

/// How to make a [`Client`].
///
/// # Defaults
///
/// They stand with each method. Without [`ClientBuilder::tokens`] it enters without a credential.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    config: Config,
    allows_unencrypted: bool,
}

/// What a driver keeps to.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) address: Address,
    pub(crate) dialer: Dialer,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) carrier: Carrier,
    pub(crate) dialect: Dialect,
    pub(crate) headers: HeaderMap,
    pub(crate) subprotocols: Vec<Box<str>>,
    /// The subprotocols as they are offered.
    pub(crate) offer: Option<HeaderValue>,
    pub(crate) codes: CodeTable,
    pub(crate) settings: Settings,
    pub(crate) handshake_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) max_message: usize,
    pub(crate) queue: usize,
    pub(crate) unwritten: Unwritten,
}

impl ClientBuilder {
    /// A client of `address`, which is reached by `dialer`.
    #[must_use]
    pub fn new(address: Address, dialer: Dialer) -> Self {
        Self {
            config: Config {
                address,
                dialer,
                tokens: None,
                carrier: Carrier::Header,
                dialect: Dialect::Portcullis,
                headers: HeaderMap::new(),
                subprotocols: Vec::new(),
                offer: None,
                codes: CodeTable::default(),
                settings: Settings::default(),
                handshake_timeout: Duration::from_secs(10),
                close_timeout: Duration::from_secs(5),
                max_message: 64 * 1024 * 1024,
                queue: 64,
                unwritten: Unwritten::Keep,
            },
            allows_unencrypted: false,
        }
    }

    /// Enters with the tokens of this source, which other clients may share.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.config.tokens = Some(tokens);
        self
    }

    /// Where the token travels: in `Authorization`. With a ticket, it goes to the gate's ticket desk
    /// first.
    #[must_use]
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.config.carrier = carrier;
        self
    }

    /// How the token is written where it travels as a subprotocol: as Portcullis reads it.
    #[must_use]
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.config.dialect = dialect;
        self
    }

    /// One more header of the handshake, and of what is asked of the gate beside it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OwnHeader`] for those of the handshake itself.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Result<Self, ConfigError> {
        let own = [HOST, CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING];
        if own.contains(&name) || name.as_str().starts_with("sec-websocket-") {
            let name = name.as_str().into();
            return Err(ConfigError::OwnHeader { name });
        }
        self.config.headers.append(name, value);
        Ok(self)
    }

    /// One more subprotocol that is offered, after those before it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Subprotocol`] when it is no token of RFC 9110, 5.6.2.
    pub fn subprotocol(mut self, name: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::Subprotocol { name: name.into() };
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(bad());
        }
        self.config.subprotocols.push(name.into());
        let offer = self.config.subprotocols.join(", ");
        self.config.offer = Some(HeaderValue::try_from(offer).map_err(|_| bad())?);
        Ok(self)
    }

    /// What the server's close codes mean: those of the refusal table.
    #[must_use]
    pub fn codes(mut self, codes: CodeTable) -> Self {
        self.config.codes = codes;
        self
    }

    /// How it comes back: see [`Settings`].
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.config.settings = settings;
        self
    }

    /// How long the handshake may take once the connection stands, with the first message and its
    /// answer where there is one: 10 s.
    #[must_use]
    pub const fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.config.handshake_timeout = limit;
        self
    }

    /// How long the other end may take to answer our close frame, and say what it still has to say:
    /// 5 s.
    #[must_use]
    pub const fn close_timeout(mut self, limit: Duration) -> Self {
        self.config.close_timeout = limit;
        self
    }

    /// The most bytes of a message that comes in: 64 MiB. A larger one ends the connection.
    #[must_use]
    pub const fn max_message(mut self, bytes: usize) -> Self {
        self.config.max_message = bytes;
        self
    }

    /// How many messages wait to be written, and how many to be read, at most: 64, and at least one.
    #[must_use]
    pub const fn queue(mut self, messages: usize) -> Self {
        self.config.queue = if messages == 0 { 1 } else { messages };
        self
    }

    /// What becomes of messages that were not written when a connection ends: they are kept.
    #[must_use]
    pub const fn unwritten(mut self, unwritten: Unwritten) -> Self {
        self.config.unwritten = unwritten;
        self
    }

    /// Sends the token to other machines without encryption, where whoever is between can read it.
    #[must_use]
    pub const fn dangerous_unencrypted_token(mut self) -> Self {
        self.allows_unencrypted = true;
        self
    }

    /// Starts the client, on the runtime on which this is called.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unencrypted`] and [`ConfigError::SubprotocolAlone`] when the token cannot travel
    /// as it should; [`ConfigError::Time`] for waits of nothing.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(self) -> Result<Client, ConfigError> {
        let config = self.config;
        if config.tokens.is_some() {
            if !config.address.keeps_secrets() && !self.allows_unencrypted {
                let host = config.address.authority().into();
                return Err(ConfigError::Unencrypted { host });
            }
            if config.carrier == Carrier::Subprotocol && config.subprotocols.is_empty() {
                return Err(ConfigError::SubprotocolAlone);
            }
        }
        for (what, value) in [
            ("the time between pings", config.settings.ping),
            ("the time for the answer to a ping", config.settings.silence),
            ("the time for the handshake", config.handshake_timeout),
        ] {
            if value.is_zero() {
                return Err(ConfigError::Time { what, value });
            }
        }
        Ok(Client::start(config))
    }
}
