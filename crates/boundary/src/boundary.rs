//! The decision, carried out.

use std::fmt;
use std::sync::Arc;

use crate::arrival::Arrival;
use crate::authority::{DynAuthority, NoAuthority};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::credential::Credential;
use crate::decision::{Decision, Pass, Refused, Rule};
use crate::limits::{Limiter, Limits};
use crate::policy::{HostRule, Policy};
use crate::refusal::RefusalKind;

/// A policy, and those whom its decisions ask.
///
/// This is the one place where the questions of a [`Decision`] meet real verifiers, limits and
/// authorities; the gateway, the tower layer and the axum extractor all go through it.
#[derive(Clone)]
pub struct Boundary {
    policy: Arc<Policy>,
    hosts: Arc<HostRule>,
    authority: Arc<dyn DynAuthority>,
    limiter: Arc<Limiter>,
    clock: Arc<dyn Clock>,
}

/// What a boundary says to an arrival.
#[derive(Debug)]
#[must_use = "a verdict that is dropped refuses"]
#[expect(clippy::exhaustive_enums, reason = "each must be carried out")]
pub enum Verdict {
    /// Enter.
    Admit(Pass),
    /// Accept the socket, and ask [`Boundary::admit_first_message`] about its first message.
    AwaitFirstMessage,
    /// Stay out.
    Refuse(Refused),
}

impl Boundary {
    /// A boundary that asks nobody but the policy's own verifiers, counts sessions for itself,
    /// serves any host, and lives by the system's clock.
    #[must_use]
    pub fn new(policy: impl Into<Arc<Policy>>) -> Self {
        Self {
            policy: policy.into(),
            hosts: Arc::new(HostRule::Any),
            authority: Arc::new(NoAuthority::new()),
            limiter: Limiter::new(Limits::default()),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Serves these hosts only.
    #[must_use]
    pub fn at_hosts(mut self, hosts: Arc<HostRule>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Asks `authority` about standing and rights.
    #[must_use]
    pub fn with_authority(mut self, authority: Arc<dyn DynAuthority>) -> Self {
        self.authority = authority;
        self
    }

    /// Counts with `limiter`, which several boundaries may share.
    #[must_use]
    pub fn with_limiter(mut self, limiter: Arc<Limiter>) -> Self {
        self.limiter = limiter;
        self
    }

    /// Lives by `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The hosts that it serves.
    #[must_use]
    pub const fn hosts(&self) -> &Arc<HostRule> {
        &self.hosts
    }

    pub(crate) fn authority(&self) -> &dyn DynAuthority {
        &*self.authority
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Decides about `arrival`. Cancel-safe: dropping the future refuses, and neither a session nor a
    /// failure is counted; the handshake was one, and stays counted.
    pub async fn admit(&self, arrival: &Arrival) -> Verdict {
        self.admit_at(&self.hosts, arrival).await
    }

    /// Decides about `arrival`, which came to a listener that serves `hosts`, whatever hosts the
    /// boundary itself serves. Cancel-safe as [`Boundary::admit`].
    pub async fn admit_at(&self, hosts: &HostRule, arrival: &Arrival) -> Verdict {
        let now = self.clock.now();
        self.carry_out(self.policy.decide(arrival, hosts, now), arrival)
            .await
    }

    /// Says what would be decided about `arrival`, which nobody lets in; see [`Policy::rehearse`].
    /// Cancel-safe as [`Boundary::admit`].
    pub async fn rehearse(&self, hosts: &HostRule, arrival: &Arrival) -> Verdict {
        let now = self.clock.now();
        self.carry_out(self.policy.rehearse(arrival, hosts, now), arrival)
            .await
    }

    /// Decides about an errand at a listener that serves `hosts`; see [`Policy::decide_errand`].
    /// Cancel-safe as [`Boundary::admit`].
    pub async fn admit_errand(&self, hosts: &HostRule, arrival: &Arrival) -> Verdict {
        let now = self.clock.now();
        self.carry_out(self.policy.decide_errand(arrival, hosts, now), arrival)
            .await
    }

    /// Decides about `arrival`, whose accepted socket's first message held `credential`.
    /// Cancel-safe as [`Boundary::admit`].
    pub async fn admit_first_message(&self, arrival: &Arrival, credential: Credential) -> Verdict {
        let now = self.clock.now();
        let decision = self
            .policy
            .decide_first_message(arrival, &self.hosts, credential, now);
        self.carry_out(decision, arrival).await
    }

    async fn carry_out(&self, mut decision: Decision<'_>, arrival: &Arrival) -> Verdict {
        loop {
            decision = match decision {
                Decision::Admitted(pass) => return Verdict::Admit(pass),
                Decision::FirstMessage => return Verdict::AwaitFirstMessage,
                Decision::Refused(refused) => {
                    return Verdict::Refuse(self.note_refusal(refused, arrival).await);
                }
                Decision::Throttle(question) => question.ask(&self.limiter),
                Decision::Pace(question) => {
                    let answer = match self.authority.counts_arrivals() {
                        true => self.authority.pace(arrival).await,
                        false => Ok(()),
                    };
                    question.answer(answer)
                }
                Decision::Verify(question) => question.ask().await,
                Decision::Standing(question) => {
                    let answer = self.authority.standing(question.identity()).await;
                    question.answer(answer)
                }
                Decision::Authorise(question) => {
                    let answer = self.authority.authorise(question.identity(), arrival).await;
                    question.answer(answer)
                }
                Decision::Reserve(question) => question.ask(&self.limiter),
                Decision::Share(question) => {
                    let (identity, route) = (question.identity(), question.route());
                    let answer = self.authority.reserve(identity, arrival, route).await;
                    question.answer(answer)
                }
            };
        }
    }

    /// Counts a refusal of `arrival` against its address, if it was an attempt, and says what it is then.
    /// A wrong or broken credential is one. A missing, an expired or an early one is not: no guess looks
    /// like that.
    ///
    /// What the boundary refuses it has counted. This is for whoever learns later that a credential was
    /// wrong, as from the upstream of an [`Auth::Upstream`](crate::policy::Auth::Upstream). Cancel-safe: the
    /// count of this process is made before anything is waited for.
    pub async fn note_refusal(&self, refused: Refused, arrival: &Arrival) -> Refused {
        let attempts = [
            RefusalKind::InvalidCredential,
            RefusalKind::MalformedCredential,
        ];
        if !attempts.contains(&refused.refusal.kind()) {
            return refused;
        }
        self.limiter
            .failed(arrival.peer().address(), self.clock.now());
        if !self.authority.counts_arrivals() {
            return refused;
        }
        match self.authority.failed(arrival).await {
            Ok(()) => refused,
            Err(refusal) => Refused {
                refusal: refusal.by(Rule::Limits),
                ..refused
            },
        }
    }
}

impl fmt::Debug for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Boundary")
            .field("policy", &self.policy)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}
