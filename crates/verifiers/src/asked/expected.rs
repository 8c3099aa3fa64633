//! What is asked of an answer.

use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Identity, Rejection};

use crate::jwt::claims::{Claims, Times};

/// What an answer must say, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) verifier: Box<str>,
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) audience: Option<Box<str>>,
    pub(crate) subject_claim: Box<str>,
    pub(crate) keep_claims: bool,
}

/// An identity for whom somebody vouched, and when it counts.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) identity: Identity,
    pub(crate) times: Times,
}

impl Expected {
    pub(crate) fn of(verifier: impl Into<Box<str>>) -> Self {
        Self {
            verifier: verifier.into(),
            issuer: None,
            audience: None,
            subject_claim: "sub".into(),
            keep_claims: false,
        }
    }

    /// Judges all but the times, which are to be judged each time.
    pub(crate) fn accept(&self, claims: Claims) -> Result<Accepted, Rejection> {
        if self.issuer.is_some() && self.issuer.as_deref() != claims.text("iss") {
            return Err(Rejection::Invalid(InvalidReason::Issuer));
        }
        if let Some(audience) = &self.audience
            && !claims.is_for(audience)
        {
            return Err(Rejection::Invalid(InvalidReason::Audience));
        }
        let subject = claims
            .text(&self.subject_claim)
            .filter(|subject| !subject.is_empty())
            .ok_or(Rejection::Invalid(InvalidReason::Claims))?;
        let mut identity = Identity::new(subject).verified_by(self.verifier.clone());
        if let Some(audience) = &self.audience {
            identity = identity.with_audience(audience.clone());
        }
        Ok(Accepted {
            times: claims.times(),
            // Who was asked has compared it with a clock: there is nothing to allow for.
            identity: claims.complete(identity, 0, self.keep_claims),
        })
    }

    pub(crate) fn vouches_for(&self, identity: &Identity) -> bool {
        let issuer_holds = self.issuer.is_none() || self.issuer.as_deref() == identity.issuer();
        let audience_holds =
            self.audience.is_none() || self.audience.as_deref() == identity.audience();
        issuer_holds && audience_holds
    }
}
