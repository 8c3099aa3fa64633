//! The decision: eight rules in one order, for HTTP and WebSocket alike.
//!
//! [`Policy::decide`] is pure. Where a rule needs something from outside, the decision stops and
//! asks: each question is a value that holds the decision so far and takes only its own answer, so
//! that no rule can be skipped and none be answered twice. [`Boundary`](crate::Boundary) asks the
//! questions of real verifiers, limits and authorities; `explain` and the tests ask them of others.
//!
//! The rules, in this order; the first that fails is the refusal:
//!
//! 1. **Host** is one that the listener serves.
//! 2. **Origin** passes the route's rule.
//! 3. **Shape**: an upgrade is a WebSocket handshake.
//! 4. **Credential**: there is one, in the first of the route's carriers that is not empty.
//! 5. **Verification**: the verifier that the credential's shape selects vouches for it.
//! 6. **Revocation** and the state of the account.
//! 7. **Authorisation**: scopes, claims, ownership.
//! 8. **Limits**: sessions and rates.
//!
//! Two things stand where a reader might not look for them, each with its reason:
//!
//! - The *rates per address* of rule 8 are asked before rule 4. An address that failed too often must not
//!   learn from the kind of its refusal whether its next guess was right.
//! - A credential from a *cookie* is judged once more by rule 2 when it has been found: whatever the
//!   rule says, a browser sends cookies for pages of any origin, so the origin must be good. A plain
//!   request without `Origin` is good when the browser says in `Sec-Fetch-Site` that it is.
//!
//! # Deployment caveat
//!
//! Behind a proxy every arrival has the proxy's address, and `Host` is what the proxy makes of it.
//! Limits per address then count the proxy, and the origin rule `same-host` needs a proxy that
//! keeps `Host`.

#![deny(clippy::wildcard_enum_match_arm)]

mod pass;
mod questions;
mod rates;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use self::pass::Pass;
use self::questions::Case;
pub use self::questions::{Authorise, Reserve, Share, Standing, Verify};
pub use self::rates::{Pace, Throttle};
use crate::arrival::{Arrival, Protocol};
use crate::carrier::CarrierKind;
use crate::clock::Timestamp;
use crate::credential::Credential;
use crate::identity::Identity;
use crate::policy::{Auth, HostRule, Judgement, Policy, Protocols};
use crate::refusal::{HandshakeFault, Refusal, RefusalKind};
use crate::verifier::DynVerifier;

/// A rule of the decision, by its number.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the rules are numbered in every document"
)]
pub enum Rule {
    /// 1: the host is served.
    Host = 1,
    /// 2: the origin passes.
    Origin = 2,
    /// 3: an upgrade is a handshake.
    Shape = 3,
    /// 4: there is a credential.
    Credential = 4,
    /// 5: it is true.
    Verification = 5,
    /// 6: it is not revoked, and the account is not disabled.
    Revocation = 6,
    /// 7: it permits what is asked.
    Authorisation = 7,
    /// 8: there is room.
    Limits = 8,
}

impl Rule {
    /// Every rule, in order.
    pub const ALL: [Self; 8] = [
        Self::Host,
        Self::Origin,
        Self::Shape,
        Self::Credential,
        Self::Verification,
        Self::Revocation,
        Self::Authorisation,
        Self::Limits,
    ];

    /// The word in logs and in `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Shape => "shape",
            Self::Credential => "credential",
            Self::Verification => "verification",
            Self::Revocation => "revocation",
            Self::Authorisation => "authorisation",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A no, and what was known by then.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a refusal says nothing until it is told"]
#[non_exhaustive]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The carrier in which a credential was found.
    pub carrier: Option<CarrierKind>,
    /// Who it is, when the credential had been verified.
    pub identity: Option<Box<Identity>>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            carrier: None,
            identity: None,
        }
    }
}

/// How far a decision has come.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
#[expect(
    clippy::exhaustive_enums,
    reason = "each question must be answered by who asks for decisions"
)]
pub enum Decision<'a> {
    /// Every rule passed.
    Admitted(Pass),
    /// A rule failed.
    Refused(Refused),
    /// Rule 8, its rates: has this address tried too often?
    Throttle(Throttle<'a>),
    /// The same, as far as others count with us.
    Pace(Pace<'a>),
    /// Rule 4: the credential must come as the first message. Accept the socket, read it, and
    /// decide again with [`Policy::decide_first_message`].
    FirstMessage,
    /// Rule 5: is this credential true?
    Verify(Verify<'a>),
    /// Rule 6: is it revoked?
    Standing(Standing<'a>),
    /// Rule 7: may it have what it asks for?
    Authorise(Authorise<'a>),
    /// Rule 8, its sessions: is there room?
    Reserve(Reserve<'a>),
    /// Rule 8, as far as others count with us.
    Share(Share<'a>),
}

impl Policy {
    /// Decides about `arrival` at a listener that serves `hosts`, at the time `now`.
    pub fn decide<'a>(
        &'a self,
        arrival: &'a Arrival,
        hosts: &HostRule,
        now: Timestamp,
    ) -> Decision<'a> {
        self.begin(arrival, hosts, None, now)
    }

    /// Decides about `arrival`, whose socket was accepted and whose first message held
    /// `credential`. Every rule is asked again: time has passed.
    pub fn decide_first_message<'a>(
        &'a self,
        arrival: &'a Arrival,
        hosts: &HostRule,
        credential: Credential,
        now: Timestamp,
    ) -> Decision<'a> {
        self.begin(arrival, hosts, Some(credential), now)
    }

    /// Says what would be decided about `arrival`, for those who only want to know. All rules are asked
    /// as by [`Policy::decide`], and it counts as an attempt, but a credential that is good once is not
    /// used up ([`Place::is_rehearsal`](crate::Place::is_rehearsal)). Nobody is let in with the pass.
    pub fn rehearse<'a>(
        &'a self,
        arrival: &'a Arrival,
        hosts: &HostRule,
        now: Timestamp,
    ) -> Decision<'a> {
        let case = Case::new(self, arrival, now).for_rehearsal();
        self.begin_with(case, arrival, hosts, None)
    }

    /// Decides about a plain request that is an errand for a session at this policy's route, such as
    /// to fetch a ticket for it or to renew it. It asks the same rules, but for two: the errand is no
    /// handshake, so rule 3 has nothing to say, and it is no session, so none is counted. It may
    /// always bring its credential as `Authorization`, which script can set on a request and not on
    /// a handshake.
    pub fn decide_errand<'a>(
        &'a self,
        arrival: &'a Arrival,
        hosts: &HostRule,
        now: Timestamp,
    ) -> Decision<'a> {
        let case = Case::new(self, arrival, now).for_errand();
        match self.check_page(arrival, hosts) {
            Ok(()) => case.throttle(),
            Err(refusal) => case.refuse(refusal, None),
        }
    }

    /// Asks rules 1, 2 and 7 again of a session that was admitted earlier: what a new policy can
    /// say of it without its credential.
    ///
    /// # Errors
    ///
    /// [`RefusalKind::PolicyChanged`], with the rule that fails now.
    pub fn rejudge(
        &self,
        arrival: &Arrival,
        hosts: &HostRule,
        identity: &Identity,
        carrier: Option<CarrierKind>,
    ) -> Result<(), Refusal> {
        let changed = |refusal: Refusal| {
            let why = refusal.to_string();
            let refusal = Refusal::new(RefusalKind::PolicyChanged).because(why);
            refusal.by(Rule::Authorisation)
        };
        hosts.check(arrival).map_err(changed)?;
        check_origin(self, arrival).map_err(changed)?;
        match (&self.auth, identity.verifier()) {
            (Auth::Off | Auth::Public | Auth::Upstream, _) => Ok(()),
            (Auth::Required { .. }, None) => {
                Err(changed(Refusal::new(RefusalKind::MissingCredential)))
            }
            (Auth::Required { carriers, .. }, Some(_)) => {
                if !self.is_vouched_for(identity) {
                    return Err(changed(
                        Refusal::new(RefusalKind::InvalidCredential)
                            .because("its verifier no longer vouches for it"),
                    ));
                }
                if !carriers.iter().any(|own| Some(own.kind()) == carrier) {
                    return Err(changed(
                        Refusal::new(RefusalKind::MissingCredential)
                            .because("its carrier is no longer read"),
                    ));
                }
                check_rights(self, identity).map_err(changed)
            }
        }
    }

    /// Whether the verifier that an identity names is one of the policy's, and vouches for it now.
    fn is_vouched_for(&self, identity: &Identity) -> bool {
        let mut named = self.named_by(identity);
        named.any(|verifier| verifier.vouches_for(identity))
    }

    /// The verifier that an identity names, where it can only be asked about it.
    pub(crate) fn polled(&self, identity: &Identity) -> Option<&Arc<dyn DynVerifier>> {
        let mut named = self.named_by(identity);
        named.find(|verifier| verifier.is_polled())
    }

    fn named_by(&self, identity: &Identity) -> impl Iterator<Item = &Arc<dyn DynVerifier>> {
        let verifiers = match &self.auth {
            Auth::Required { verifiers, .. } => &**verifiers,
            Auth::Off | Auth::Public | Auth::Upstream => &[],
        };
        let named = |verifier: &&Arc<dyn DynVerifier>| Some(verifier.name()) == identity.verifier();
        verifiers.iter().filter(named)
    }

    /// Asks rules 1 and 2 alone, of a request that no other rule is for.
    ///
    /// # Errors
    ///
    /// [`RefusalKind::HostForbidden`] or [`RefusalKind::OriginForbidden`].
    pub fn check_page(&self, arrival: &Arrival, hosts: &HostRule) -> Result<(), Refusal> {
        hosts
            .check(arrival)
            .and_then(|()| check_origin(self, arrival))
    }

    fn begin<'a>(
        &'a self,
        arrival: &'a Arrival,
        hosts: &HostRule,
        first_message: Option<Credential>,
        now: Timestamp,
    ) -> Decision<'a> {
        let case = Case::new(self, arrival, now);
        self.begin_with(case, arrival, hosts, first_message)
    }

    fn begin_with<'a>(
        &'a self,
        case: Case<'a>,
        arrival: &'a Arrival,
        hosts: &HostRule,
        first_message: Option<Credential>,
    ) -> Decision<'a> {
        let shape = || check_shape(self, arrival);
        let checked = hosts
            .check(arrival)
            .and_then(|()| check_origin(self, arrival))
            .and_then(|()| shape());
        match checked {
            Err(refusal) => case.refuse(refusal, None),
            // The address was asked when the socket was accepted.
            Ok(()) if first_message.is_some() => case.credential(first_message),
            Ok(()) => case.throttle(),
        }
    }
}

fn check_origin(policy: &Policy, arrival: &Arrival) -> Result<(), Refusal> {
    match policy.origin.judge(arrival) {
        Judgement::Absent | Judgement::Good | Judgement::Tolerated => Ok(()),
        Judgement::Refused => Err(origin_refused(arrival)),
    }
}

fn origin_refused(arrival: &Arrival) -> Refusal {
    let why = format!("the route's rule does not take {:?}", arrival.origin());
    Refusal::new(RefusalKind::OriginForbidden)
        .because(why)
        .by(Rule::Origin)
}

fn check_shape(policy: &Policy, arrival: &Arrival) -> Result<(), Refusal> {
    let checked: Result<(), HandshakeFault> = match (policy.protocols, arrival.protocol()) {
        (Protocols::Both, Protocol::Http) => Ok(()),
        (Protocols::Both | Protocols::WebSocketOnly, _) => arrival.check_handshake(),
    };
    checked.map_err(|fault| Refusal::handshake(fault).by(Rule::Shape))
}

pub(crate) fn check_rights(policy: &Policy, identity: &Identity) -> Result<(), Refusal> {
    let lacking = |what: String| {
        Refusal::new(RefusalKind::InsufficientScope)
            .because(what)
            .by(Rule::Authorisation)
    };
    if let Some(scope) = identity.scopes().first_missing(&policy.scopes) {
        return Err(lacking(format!("the scope `{scope}` is missing")));
    }
    for (name, required) in &policy.claims {
        let held = match identity.claim(name) {
            Some(Value::Array(values)) => values.contains(required),
            Some(value) => value == required,
            None => false,
        };
        if !held {
            return Err(lacking(format!(
                "the claim `{name}` is not what the route requires"
            )));
        }
    }
    Ok(())
}
