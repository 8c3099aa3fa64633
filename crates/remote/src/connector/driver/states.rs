//! A loop for each state: what is done, and what the machine is told of it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Connector;
use crate::connector::credential::{Credential, CredentialError, Renewal};
use crate::connector::enrolment::{EnrolmentKey, EnrolmentStoreError};
use crate::connector::machine::{Beat, Cause, Event, Failure, Loss, Pulse, State};
use crate::connector::relay_url::RelayUrl;
use crate::connector::road::{Arrived, Road};

impl Connector {
    /// Until somebody enables it.
    pub(super) async fn run_resting(&mut self) {
        self.attend(pending::<()>()).await;
    }

    /// Until it is time, or the credential has changed.
    pub(super) async fn run_waiting(&mut self) {
        self.attend(pending::<()>()).await;
    }

    pub(super) async fn run_reading(&mut self) {
        let credentials = Arc::clone(&self.credentials);
        let read = async move {
            timeout(READING, credentials.read())
                .await
                .unwrap_or_else(|_| {
                    let reason = "it took longer than ten seconds".into();
                    Err(CredentialError::Unreadable { reason })
                })
        };
        if let Some(read) = self.attend(read).await {
            self.tell(Event::CredentialRead(read));
        }
    }

    pub(super) async fn run_renewing(&mut self) {
        let credentials = Arc::clone(&self.credentials);
        let refused = self.machine.credential().cloned();
        let renew = async move {
            let Some(refused) = refused else {
                return Renewal::Impossible;
            };
            timeout(RENEWING, credentials.renew(&refused))
                .await
                .unwrap_or_else(|_| Renewal::Failed {
                    reason: "it took longer than half a minute".into(),
                })
        };
        if let Some(renewal) = self.attend(renew).await {
            self.tell(Event::Renewed(renewal));
        }
    }

    pub(super) async fn run_loading(&mut self) {
        let enrolments = Arc::clone(&self.enrolments);
        let key = self.machine.key();
        let load = async move {
            let Some(key) = key else {
                return Ok(None);
            };
            timeout(READING, enrolments.load(&key))
                .await
                .unwrap_or_else(|_| {
                    Err(EnrolmentStoreError::unread(
                        "it took longer than ten seconds",
                    ))
                })
        };
        if let Some(loaded) = self.attend(load).await {
            self.tell(Event::EnrolmentLoaded(loaded));
        }
    }

    pub(super) async fn run_enrolling(&mut self) {
        let stale = match self.machine.state() {
            State::Enrolling { stale } => stale.clone(),
            _ => None,
        };
        let Some((key, relay, credential)) = self.who() else {
            return self.tell(Event::Enrolled(Err(nobody())));
        };
        let (exchange, enrolments) = (self.exchange.clone(), Arc::clone(&self.enrolments));
        let now = self.wall();
        let enrol = async move {
            if let Some(stale) = stale {
                note(timeout(READING, enrolments.clear(&key, &stale)).await);
            }
            let grant = exchange
                .enrol(&relay, &credential, &key.account, now)
                .await?;
            // An enrolment that cannot be kept is one all the same, until the process ends.
            note(timeout(READING, enrolments.save(&key, &grant.enrolment)).await);
            Ok(grant)
        };
        if let Some(answer) = self.attend(enrol).await {
            self.tell(Event::Enrolled(answer));
        }
    }

    pub(super) async fn run_refreshing(&mut self) {
        let enrolment = self.machine.enrolment().cloned();
        let (Some((key, relay, credential)), Some(enrolment)) = (self.who(), enrolment) else {
            return self.tell(Event::Refreshed(Err(nobody())));
        };
        let exchange = self.exchange.clone();
        let now = self.wall();
        let refresh = async move {
            exchange
                .refresh(&relay, &credential, &key.account, &enrolment, now)
                .await
        };
        if let Some(answer) = self.attend(refresh).await {
            self.tell(Event::Refreshed(answer));
        }
    }

    pub(super) async fn run_connecting(&mut self) {
        let config = Arc::clone(&self.config);
        let relay = self.machine.relay().cloned();
        let enrolment = self.machine.enrolment().cloned();
        let token = self.machine.token().cloned();
        let (Some(relay), Some(enrolment), Some(token)) = (relay, enrolment, token) else {
            return self.tell(Event::Dialled(Err(nobody())));
        };
        let cursor = self.guests.cursor().map(str::to_owned);
        let now = self.wall();
        let dial = async move {
            let who = (&enrolment, &token);
            Road::open(&config, &relay, who, cursor.as_deref(), now).await
        };
        match self.attend(dial).await {
            Some(Ok(road)) => {
                self.road = Some(road);
                self.roads += 1;
                self.guests.reconnect();
                self.tell(Event::Dialled(Ok(())));
            }
            Some(Err(failure)) => self.tell(Event::Dialled(Err(failure))),
            None => {}
        }
    }

    /// Until the road ends, or somebody ends it.
    pub(super) async fn run_connected(&mut self) {
        if let Some(mut road) = self.road.take() {
            let times = self.config.times;
            let mut pulse = Pulse::new(times.ping, times.pong_timeout, self.now().moment);
            while let State::Connected { .. } = self.machine.state() {
                if let Err(loss) = self.travel(&mut road, &mut pulse).await {
                    self.tell(Event::RoadLost(loss));
                }
            }
        } else {
            let text = "it was never there".into();
            self.tell(Event::RoadLost(Loss {
                text,
                refusal: None,
            }));
        }
    }

    /// One thing that happens on an open road.
    async fn travel(&mut self, road: &mut Road, pulse: &mut Pulse) -> Result<(), Loss> {
        let sweep = self.guests.deadline();
        let due = pulse.deadline();
        let due = self.until(Some(sweep.map_or(due, |sweep| sweep.min(due))));
        tokio::select! {
            biased;
            orders = self.orders.next() => self.obey(orders),
            () = due => {
                let now = self.now().moment;
                self.guests.sweep(now);
                match pulse.beat(now) {
                    Beat::Nothing => {}
                    Beat::Ping => road.ping(),
                    Beat::Dead => {
                        let seconds = self.config.times.pong_timeout.as_secs();
                        let text = format!("no ping was answered for {seconds} s").into();
                        return Err(Loss { text, refusal: None });
                    }
                }
            }
            arrived = road.carry(&mut self.guests) => {
                let now = self.now().moment;
                match arrived? {
                    Arrived::Text(text) => self.guests.hear(&text, now),
                    Arrived::Pong => {
                        if pulse.answered(now) {
                            self.tell(Event::Proven);
                        }
                    }
                    Arrived::Nothing => {}
                }
            }
        }
        if self.status.borrow().guests != self.guests.len() {
            self.report();
        }
        Ok(())
    }

    /// What a request needs.
    fn who(&self) -> Option<(EnrolmentKey, RelayUrl, Credential)> {
        Some((
            self.machine.key()?,
            self.machine.relay()?.clone(),
            self.machine.credential()?.clone(),
        ))
    }
}

/// The machine never asks for what it has nothing for; should it, it hears of it.
fn nobody() -> Failure {
    Failure::new(Cause::Garbage, "there is nothing to show to the relay")
}

fn note(done: Result<Result<(), EnrolmentStoreError>, tokio::time::error::Elapsed>) {
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the host enrols anew at its next start"),
        Err(_) => tracing::warn!("keeping the enrolment took longer than ten seconds"),
    }
}

/// How long the credential, or the enrolment, may take to be read or written.
const READING: Duration = Duration::from_secs(10);

/// How long a source may take over a better credential.
const RENEWING: Duration = Duration::from_secs(30);
