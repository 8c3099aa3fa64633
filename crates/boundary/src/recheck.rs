//! Asking again about a live session, where somebody can only be asked.
//!
//! Expiry is known from the start, and revocations are pushed. What is left are authorities that say
//! what they think when they are asked, and only then: an introspection endpoint, a call-out, the
//! state of an account. They are asked rules 5 and 7 once more:
//!
//! 5. **Verification**: the verifier that vouched for the session's credential still does, and for the
//!    same subject.
//! 7. **Authorisation**: the scopes and claims of its answer are what the policy asks for, and the
//!    [`Authority`](crate::Authority) admits, where it is polled.
//!
//! A refusal ends the session with the words of the door, but for one: a credential that was good
//! once, and of which its verifier now says that it is not true, was taken back. That is `revoked`.
//! A refusal whose recovery is to come back later is no refusal of the session: nobody could say.
//!
//! Where the policy asks nobody who it is, in no-auth mode and on a route for everybody, the door does
//! not ask these rules, and so they are not asked again: a session that was opened before lives on.

use crate::arrival::{Arrival, OriginHeader};
use crate::authority::DynAuthority;
use crate::boundary::Boundary;
use crate::close::Recovery;
use crate::credential::Credential;
use crate::decision::{Rule, check_rights};
use crate::identity::Identity;
use crate::refusal::{Refusal, RefusalKind};
use crate::verifier::{DynVerifier, Place};

/// What is said of a session when it is asked about again.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be carried out")]
pub enum Recheck {
    /// It lives on, and this is what is known of it now.
    Vouched(Box<Identity>),
    /// It ends.
    Refused(Refusal),
    /// Nobody could say, and this is why.
    Unanswered(Refusal),
}

impl From<Refusal> for Recheck {
    fn from(refusal: Refusal) -> Self {
        match (refusal.kind(), refusal.kind().row().recovery) {
            (_, Recovery::Retry) => Self::Unanswered(refusal),
            (RefusalKind::InvalidCredential, _) => {
                Self::Refused(refusal.told_as(RefusalKind::Revoked))
            }
            (_, Recovery::Login | Recovery::Refresh | Recovery::Stop) => Self::Refused(refusal),
        }
    }
}

impl Boundary {
    /// Whether somebody can only be asked about a session that rests on `identity`.
    #[must_use]
    pub fn is_polled_about(&self, identity: &Identity) -> bool {
        self.polled_authority().is_some() || self.policy().polled(identity).is_some()
    }

    /// Asks those again who can only be asked, about a session that `arrival` opened and that rests
    /// on `identity`. `credential` is what it was vouched for by, if it was kept: without it a
    /// verifier that is polled cannot answer. Cancel-safe: the session stays as it was.
    pub async fn recheck(
        &self,
        arrival: &Arrival,
        identity: &Identity,
        credential: Option<&Credential>,
    ) -> Recheck {
        match self.ask_again(arrival, identity, credential).await {
            Ok(fresh) => Recheck::Vouched(Box::new(fresh)),
            Err(refusal) => refusal.into(),
        }
    }

    async fn ask_again(
        &self,
        arrival: &Arrival,
        identity: &Identity,
        credential: Option<&Credential>,
    ) -> Result<Identity, Refusal> {
        let verifier = self.policy().polled(identity).map(|verifier| &**verifier);
        let fresh = match (verifier, credential) {
            (Some(verifier), Some(credential)) => {
                let answer = self.verify_again(verifier, arrival, identity, credential);
                answer.await?
            }
            (Some(_), None) | (None, _) => identity.clone(),
        };
        if let Some(authority) = self.polled_authority() {
            let answer = authority.authorise(&fresh, arrival).await;
            answer.map_err(|refusal| refusal.by(Rule::Authorisation))?;
        }
        if verifier.is_some() && credential.is_none() {
            let why = "the gate does not have the credential on which the session rests";
            let refusal = Refusal::new(RefusalKind::KeysUnavailable).because(why);
            return Err(refusal.by(Rule::Verification));
        }
        Ok(fresh)
    }

    /// Whoever answers rule 7, where that is asked at the door, and can only be asked.
    fn polled_authority(&self) -> Option<&dyn DynAuthority> {
        let authority = self.authority();
        let is_asked = self.policy().auth().asks_who_it_is();
        (is_asked && authority.is_polled()).then_some(authority)
    }

    async fn verify_again(
        &self,
        verifier: &dyn DynVerifier,
        arrival: &Arrival,
        identity: &Identity,
        credential: &Credential,
    ) -> Result<Identity, Refusal> {
        let policy = self.policy();
        let place = Place {
            route: policy.name(),
            origin: match arrival.origin() {
                OriginHeader::Present(origin) => Some(origin),
                OriginHeader::Absent | OriginHeader::Unreadable => None,
            },
            is_rehearsal: false,
        };
        let answer = verifier.verify_at(credential, place, self.now()).await;
        let by_verifier = |refusal: Refusal| refusal.by(Rule::Verification);
        let fresh = answer.map_err(|rejection| by_verifier(rejection.into()))?;
        let fresh = match fresh.verifier() {
            Some(_) => fresh,
            None => fresh.verified_by(verifier.name()),
        };
        if !fresh.is_same_person_as(identity) {
            let why = "its credential is somebody else's now";
            let refusal = Refusal::new(RefusalKind::InvalidCredential).because(why);
            return Err(by_verifier(refusal));
        }
        check_rights(policy, &fresh)?;
        // It has what the session had, at most; what nobody asks for is not kept.
        let scopes = fresh.scopes().clamped_to(identity.scopes());
        let is_needed = |name: &str| policy.needs_claim(name);
        Ok(fresh.with_scopes(scopes).with_needed_claims(is_needed))
    }
}
