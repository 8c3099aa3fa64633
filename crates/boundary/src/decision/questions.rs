//! The questions that a decision asks, each with the decision so far in it.

use std::sync::Arc;

use super::{Decision, Pass, Refused, Rule, Throttle, check_rights, origin_refused};
use crate::arrival::{Arrival, OriginHeader, Protocol};
use crate::authority::Reservation;
use crate::carrier::{Carrier, CarrierKind, Carriers, Malformed};
use crate::clock::Timestamp;
use crate::credential::Credential;
use crate::identity::{Identity, PUBLIC_SUBJECT, UNASKED_SUBJECT};
use crate::limits::{Claim, Limiter, Slots};
use crate::policy::{Auth, Judgement, Policy};
use crate::refusal::{Detail, InvalidReason, Refusal, RefusalKind};
use crate::verifier::{DynVerifier, Place, Rejection};

/// What every question holds: the decision so far.
#[derive(Debug)]
pub(super) struct Case<'a> {
    policy: &'a Policy,
    pub(super) arrival: &'a Arrival,
    carrier: Option<CarrierKind>,
    is_errand: bool,
    is_rehearsal: bool,
    /// What it was vouched for by, where somebody may be asked about it again.
    kept: Option<Credential>,
    pub(super) now: Timestamp,
}

impl<'a> Case<'a> {
    pub(super) const fn new(policy: &'a Policy, arrival: &'a Arrival, now: Timestamp) -> Self {
        Self {
            policy,
            arrival,
            carrier: None,
            is_errand: false,
            is_rehearsal: false,
            kept: None,
            now,
        }
    }

    pub(super) const fn for_errand(mut self) -> Self {
        self.is_errand = true;
        self
    }

    pub(super) const fn for_rehearsal(mut self) -> Self {
        self.is_rehearsal = true;
        self
    }

    /// Rule 8, its rates.
    pub(super) const fn throttle(self) -> Decision<'a> {
        Decision::Throttle(Throttle::new(self))
    }

    pub(super) fn refuse(self, refusal: Refusal, identity: Option<Identity>) -> Decision<'a> {
        let identity = identity.map(Box::new);
        Decision::Refused(Refused {
            refusal,
            carrier: self.carrier,
            identity,
        })
    }

    /// Rule 4.
    pub(super) fn credential(self, first_message: Option<Credential>) -> Decision<'a> {
        let (verifiers, carriers) = match &self.policy.auth {
            Auth::Off => return self.reserve(Identity::local()),
            Auth::Public => return self.reserve(Identity::new(PUBLIC_SUBJECT)),
            Auth::Upstream => return self.reserve(Identity::new(UNASKED_SUBJECT)),
            Auth::Required {
                verifiers,
                carriers,
            } => (verifiers, carriers),
        };
        let found = match first_message {
            Some(credential) => Ok(Some(credential)),
            None => self.extract(carriers),
        };
        let waits_for_message =
            carriers.include_first_message() && self.arrival.protocol() == Protocol::WebSocket;
        match found {
            Err(Malformed(why)) => {
                let refusal = Refusal::new(RefusalKind::MalformedCredential).because(why);
                self.refuse(refusal.by(Rule::Credential), None)
            }
            Ok(None) if waits_for_message => Decision::FirstMessage,
            Ok(None) => {
                let refusal = Refusal::new(RefusalKind::MissingCredential);
                self.refuse(refusal.by(Rule::Credential), None)
            }
            Ok(Some(credential)) => self.found(credential, verifiers),
        }
    }

    fn extract(&self, carriers: &Carriers) -> Result<Option<Credential>, Malformed> {
        let head = self.arrival.head();
        match self.is_errand {
            true => match Carrier::Header.extract(head)? {
                Some(credential) => Ok(Some(credential)),
                None => carriers.extract(head),
            },
            false => carriers.extract(head),
        }
    }

    fn found(
        mut self,
        credential: Credential,
        verifiers: &'a [Arc<dyn DynVerifier>],
    ) -> Decision<'a> {
        self.carrier = Some(credential.carrier());
        if credential.carrier() == CarrierKind::Cookie && !self.is_caused_by_a_good_page() {
            let refusal = origin_refused(self.arrival);
            return self.refuse(refusal, None);
        }
        let is_plain = self.arrival.protocol() == Protocol::Http;
        if credential.carrier() == CarrierKind::Ticket && is_plain {
            // It is not asked about, and so stays good for what it is for.
            let refusal = Refusal::new(RefusalKind::InvalidCredential)
                .because("a ticket opens a socket, and does nothing else");
            return self.refuse(refusal.by(Rule::Credential), None);
        }
        match verifiers
            .iter()
            .find(|verifier| verifier.recognises(&credential))
        {
            Some(verifier) => Decision::Verify(Verify {
                case: self,
                credential,
                verifier: &**verifier,
            }),
            None => {
                let refusal = Refusal::new(RefusalKind::InvalidCredential)
                    .with_detail(Detail::Invalid(InvalidReason::Unread));
                self.refuse(refusal.by(Rule::Verification), None)
            }
        }
    }

    fn is_caused_by_a_good_page(&self) -> bool {
        match self.policy.origin.judge(self.arrival) {
            Judgement::Good => true,
            Judgement::Absent => {
                self.arrival.protocol() == Protocol::Http && self.arrival.is_same_site_fetch()
            }
            Judgement::Tolerated | Judgement::Refused => false,
        }
    }

    /// Rule 8, or its end for what is no session.
    fn reserve(self, identity: Identity) -> Decision<'a> {
        match self.arrival.protocol() {
            Protocol::WebSocket => Decision::Reserve(Reserve {
                case: self,
                identity,
            }),
            Protocol::Http => {
                Decision::Admitted(Pass::new(identity, self.carrier, None).keeping(self.kept))
            }
        }
    }
}

/// Asks whether a credential is true.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
pub struct Verify<'a> {
    case: Case<'a>,
    credential: Credential,
    verifier: &'a dyn DynVerifier,
}

impl<'a> Verify<'a> {
    /// Asks the verifier, and goes on with rule 6. Cancel-safe: dropping the future refuses.
    pub async fn ask(self) -> Decision<'a> {
        let Case {
            policy,
            arrival,
            is_rehearsal,
            now,
            ..
        } = self.case;
        let origin = match arrival.origin() {
            OriginHeader::Present(origin) => Some(origin),
            OriginHeader::Absent | OriginHeader::Unreadable => None,
        };
        let place = Place {
            route: policy.name(),
            origin,
            is_rehearsal,
        };
        let answer = self.verifier.verify_at(&self.credential, place, now).await;
        self.answer(answer)
    }

    /// The name of the verifier that the credential's shape selected.
    #[must_use]
    pub fn verifier(&self) -> &str {
        self.verifier.name()
    }

    fn answer(mut self, answer: Result<Identity, Rejection>) -> Decision<'a> {
        match answer {
            Ok(identity) => {
                // A ticket speaks for another verifier, which may have changed its mind meanwhile.
                let identity = match identity.verifier() {
                    None => identity.verified_by(self.verifier.name()),
                    Some(_) if self.case.policy.is_vouched_for(&identity) => identity,
                    Some(_) => {
                        let refusal = Refusal::new(RefusalKind::InvalidCredential)
                            .because("its verifier no longer vouches for it")
                            .by(Rule::Verification);
                        return self.case.refuse(refusal, Some(identity));
                    }
                };
                // The name is the session's that will come: its place is not taken for a rehearsal.
                let identity = match self.case.is_rehearsal {
                    true => identity.without_session(),
                    false => identity,
                };
                if self.case.policy.keeps_credentials && self.verifier.is_polled() {
                    self.case.kept = Some(self.credential);
                }
                Decision::Standing(Standing {
                    case: self.case,
                    identity,
                })
            }
            Err(rejection) => {
                let refusal = Refusal::from(rejection).by(Rule::Verification);
                self.case.refuse(refusal, None)
            }
        }
    }
}

/// Asks whether an identity is in good standing.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
pub struct Standing<'a> {
    case: Case<'a>,
    identity: Identity,
}

impl<'a> Standing<'a> {
    /// Whom to ask about.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes the answer, and goes on with the scopes and claims of rule 7.
    pub fn answer(self, answer: Result<(), Refusal>) -> Decision<'a> {
        let Self { case, identity } = self;
        match answer.map_err(|refusal| refusal.by(Rule::Revocation)) {
            Ok(()) => match check_rights(case.policy, &identity) {
                Ok(()) => Decision::Authorise(Authorise { case, identity }),
                Err(refusal) => case.refuse(refusal, Some(identity)),
            },
            Err(refusal) => case.refuse(refusal, Some(identity)),
        }
    }
}

/// Asks whether an identity may have what the arrival asks for.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
pub struct Authorise<'a> {
    case: Case<'a>,
    identity: Identity,
}

impl<'a> Authorise<'a> {
    /// Whom to ask about.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it asks for.
    pub const fn arrival(&self) -> &'a Arrival {
        self.case.arrival
    }

    /// Takes the answer, and goes on with rule 8.
    pub fn answer(self, answer: Result<(), Refusal>) -> Decision<'a> {
        match answer {
            Ok(()) => self.case.reserve(self.identity),
            Err(refusal) => self
                .case
                .refuse(refusal.by(Rule::Authorisation), Some(self.identity)),
        }
    }
}

/// Asks whether there is room for a session.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
pub struct Reserve<'a> {
    case: Case<'a>,
    identity: Identity,
}

impl<'a> Reserve<'a> {
    /// Asks `limiter`, which holds a place for the session until its pass is dropped.
    pub fn ask(self, limiter: &Arc<Limiter>) -> Decision<'a> {
        let claim = Claim {
            route: Arc::clone(&self.case.policy.name),
            subject: self.identity.subject().into(),
            address: self.case.arrival.peer().address(),
            sessions_per_subject: self.case.policy.sessions_per_subject,
        };
        match limiter.reserve(claim) {
            Ok(slots) => Decision::Share(Share {
                case: self.case,
                identity: self.identity,
                slots,
            }),
            Err(refusal) => self
                .case
                .refuse(refusal.by(Rule::Limits), Some(self.identity)),
        }
    }
}

/// Asks whether those who count with us have room for a session.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
pub struct Share<'a> {
    case: Case<'a>,
    identity: Identity,
    slots: Slots,
}

impl Share<'_> {
    /// For whom.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The name of the policy.
    #[must_use]
    pub fn route(&self) -> &str {
        self.case.policy.name()
    }
}

impl<'a> Share<'a> {
    /// Takes the answer, which is the last one.
    pub fn answer(self, answer: Result<Option<Reservation>, Refusal>) -> Decision<'a> {
        let Self {
            case,
            identity,
            slots,
        } = self;
        match answer {
            Ok(shared) => {
                let pass = Pass::new(identity, case.carrier, Some(slots));
                Decision::Admitted(pass.sharing(shared).keeping(case.kept))
            }
            Err(refusal) => case.refuse(refusal.by(Rule::Limits), Some(identity)),
        }
    }
}
