//! One of the crowd.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use portcullis_client::connect::{Dialer, Tls};
use portcullis_client::token::{Token, TokenError, TokenSource, Tokens};
use portcullis_client::{Address, ClientBuilder, Event, State};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Seen;
use super::gate::SECRET;
use crate::token::Minter;

/// A client with all of its settings as they are by default, and whoever watches it.
pub(super) struct Client {
    builder: ClientBuilder,
    seen: watch::Sender<Seen>,
}

impl Client {
    /// A client whose first token expires at `expires`, in seconds since 1970, and whose next ones do not.
    pub(super) fn new(gate: SocketAddr, expires: u64, seen: watch::Sender<Seen>) -> Result<Self> {
        let mint = |expires| Minter::new(SECRET.as_bytes(), expires).mint();
        let source = TwoTokens {
            first: mint(expires)?,
            next: mint(expires + 24 * 3600)?,
            is_refreshed: AtomicBool::new(false),
            seen: seen.clone(),
        };
        let address = Address::parse(&format!("ws://{gate}/"))?;
        let builder = ClientBuilder::new(address, Dialer::new(Tls::none()?))
            .tokens(Tokens::new(Arc::new(source)));
        Ok(Self { builder, seen })
    }

    /// Stays in, and writes down how.
    pub(super) async fn live(self) -> Result<()> {
        let seen = self.seen;
        let mut client = self.builder.start()?;
        let mut states = client.states();
        let mut was_cut = false;
        loop {
            tokio::select! {
                event = client.next() => match event? {
                    Event::Opened(_) => seen.send_modify(|seen| {
                        seen.open += 1;
                        seen.last_open = Some(Instant::now());
                    }),
                    Event::Lost(_) => seen.send_modify(|seen| {
                        seen.open -= 1;
                        seen.cut += usize::from(!std::mem::replace(&mut was_cut, true));
                        seen.losses.push(Instant::now());
                    }),
                    Event::Message(_) | Event::Unwritten(_) => {}
                },
                state = states.next() => match state {
                    Some(State::Connecting) => {
                        seen.send_modify(|seen| seen.attempts.push(Instant::now()));
                    }
                    Some(_) => {}
                    None => bail!("a client has ended"),
                },
            }
        }
    }
}

struct TwoTokens {
    first: String,
    next: String,
    is_refreshed: AtomicBool,
    seen: watch::Sender<Seen>,
}

impl TokenSource for TwoTokens {
    async fn token(&self) -> Result<Token, TokenError> {
        let token = match self.is_refreshed.load(Ordering::SeqCst) {
            true => &self.next,
            false => &self.first,
        };
        Ok(Token::new(token.as_str().into()))
    }

    async fn refresh(&self, _: &Token) -> Result<Token, TokenError> {
        self.is_refreshed.store(true, Ordering::SeqCst);
        self.seen.send_modify(|seen| seen.refreshes += 1);
        self.token().await
    }
}
