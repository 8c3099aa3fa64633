//! While no connection is open: waiting, asking for a token, knocking, and asking a person.

use std::sync::Arc;

use portcullis_boundary::clock::{Clock as _, SystemClock};
use tokio::time::{Instant, sleep_until};

use super::{Driver, WORTH_TELLING};
use crate::cause::Cause;
use crate::connect::enter;
use crate::machine::{Event as Input, Which};
use crate::state::State;
use crate::token::{Issued, Tokens};

impl Driver {
    /// Waits for the next attempt, or for a change at the token source.
    pub(super) async fn rest(&mut self) {
        let tokens = self.config.tokens.clone();
        let Some(until) = self.machine.deadline() else {
            return;
        };
        let wait = until.since(self.now());
        if wait >= WORTH_TELLING {
            let until = SystemClock::new().now().after(wait);
            self.watchers.tell(State::Waiting { wait, until });
        }
        let until = self.instant(until);
        let woken = async {
            tokio::select! {
                biased;
                () = sleep_until(until) => false,
                () = changed(tokens.as_ref()) => true,
            }
        };
        if self.meanwhile(woken).await == Some(true) {
            self.handle(Input::Changed);
            // A second change could bring nothing that the first has not.
            let until = self.machine.deadline().map(|until| self.instant(until));
            let sleep = sleep_until(until.unwrap_or_else(Instant::now));
            self.meanwhile(sleep).await;
        }
        if self.next.is_none() {
            self.next = self.machine.tick(self.now());
        }
    }

    pub(super) async fn fetch(&mut self, which: Which) {
        self.watchers.tell(State::Connecting);
        let Some(tokens) = self.config.tokens.clone() else {
            self.handle(Input::Fetched);
            return;
        };
        let stale = self.issued.clone();
        let fetched = async move {
            match (which, &stale) {
                (Which::Fresher, Some(stale)) => tokens.fresher(stale).await,
                (Which::Fresher, None) | (Which::Current, _) => tokens.current().await,
            }
        };
        match self.meanwhile(fetched).await {
            None => {}
            Some(Ok(issued)) => {
                self.issued = Some(issued);
                self.handle(Input::Fetched);
            }
            Some(Err(error)) => {
                let verdict = error.verdict();
                self.no(Cause::NoToken(error), Input::NotFetched(verdict));
            }
        }
    }

    /// Knocks, and stays for as long as the connection does.
    pub(super) async fn connect(&mut self) {
        let config = Arc::clone(&self.config);
        let issued = self.issued.clone();
        let entering = async move { enter(&config, issued.as_ref().map(Issued::token)).await };
        match self.meanwhile(Box::pin(entering)).await {
            None => {}
            Some(Ok(entered)) => self.open(entered).await,
            Some(Err(cause)) => {
                let verdict = cause.verdict();
                self.no(cause, Input::Ended(verdict));
            }
        }
    }

    /// Asks for a login; a change at the token source serves as well.
    pub(super) async fn ask_login(&mut self) {
        let Some(tokens) = self.config.tokens.clone() else {
            self.login = Some("give the client a token source".into());
            self.handle(Input::NotLoggedIn);
            return;
        };
        self.watchers.tell(State::LoggingIn);
        let refused = self.cause.as_ref().and_then(Cause::refused).cloned();
        let asked = async {
            tokio::select! {
                biased;
                login = tokens.log_in(refused.as_ref()) => Some(login),
                () = tokens.changed() => None,
            }
        };
        match self.meanwhile(asked).await {
            None => {}
            Some(None) => self.handle(Input::Changed),
            Some(Some(Ok(()))) => self.handle(Input::LoggedIn),
            Some(Some(Err(why))) => {
                self.login = Some(why.to_string().into());
                self.handle(Input::NotLoggedIn);
            }
        }
    }
}

async fn changed(tokens: Option<&Tokens>) {
    match tokens {
        Some(tokens) => tokens.changed().await,
        None => std::future::pending().await,
    }
}
