//! What may happen to live sessions from outside: they are shown, renewed, revoked and ended.

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::revocation::{Revocation, RevocationSet};
use portcullis_boundary::session::Terms;
use portcullis_boundary::{Credential, Identity, Refusal, RefusalKind, SessionId};
use tokio::time::Instant;

use super::{Gate, Shared};
use crate::config::Route;
use crate::random;
use crate::services::{LiveFilter, LiveSession, NotRenewed};
use crate::standing::Authorities;

impl Gate {
    /// Takes `set` for all that is revoked, and ends the live sessions that it covers. Returns how
    /// many these are.
    pub fn set_revocations(&self, set: RevocationSet) -> usize {
        let standing = &self.shared.asked.standing;
        standing.replace(set);
        let mut ended = 0;
        for session in self.shared.registry.all() {
            let identity = session.facts.identity.load();
            if let Some(kind) = standing.covering(&identity, Some(session.id)) {
                session.order(kind);
                ended += 1;
            }
        }
        ended
    }

    /// Adds to what is revoked, and ends the live sessions that it covers. Returns how many these
    /// are. An arrival that is being decided meanwhile is refused, or ended once it has entered.
    pub fn revoke(&self, revocation: &Revocation) -> usize {
        self.shared.asked.standing.add(revocation);
        let kind = revocation.cause().refusal();
        let mut ended = 0;
        for session in self.shared.registry.all() {
            let identity = session.facts.identity.load();
            if revocation.covers(&identity, Some(session.id)) {
                session.order(kind);
                ended += 1;
            }
        }
        ended
    }

    /// Says whether what it was told of revocations is all there is. While it is not, rule 6 refuses
    /// every credential with `overloaded`, and `/readyz` says so; admitted sessions live on.
    pub fn set_informed(&self, is_informed: bool) {
        self.shared.asked.standing.set_informed(is_informed);
    }

    /// Rule 6 as this gate answers it by itself, for others that decide about the same credentials.
    ///
    /// # Errors
    ///
    /// The refusal of what is revoked, and of everybody while it is not informed.
    pub fn standing(&self, identity: &Identity) -> Result<(), Refusal> {
        self.shared.asked.standing.check(identity)
    }

    /// Says what else its operator should know, in `/readyz`, until the next call.
    pub fn set_notes(&self, notes: Vec<String>) {
        self.shared.notes.store(Arc::new(notes));
    }

    /// The live sessions that `filter` means, in the order of their names, from the one after
    /// `after`; `limit` at most.
    #[must_use]
    pub fn live_sessions(
        &self,
        filter: &LiveFilter,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<LiveSession> {
        let all = self.shared.registry.all();
        let mut found: Vec<LiveSession> = all
            .into_iter()
            .filter(|session| after.is_none_or(|after| session.id > after))
            .map(|session| session.shown())
            .filter(|session| filter.means(session))
            .collect();
        found.sort_unstable_by_key(|session| session.id);
        found.truncate(limit);
        found
    }

    /// The live session `id`.
    #[must_use]
    pub fn live_session(&self, id: SessionId) -> Option<LiveSession> {
        self.shared.registry.find(id).map(|session| session.shown())
    }

    /// Orders the session `id` to end with `kind`; says whether there is such a session.
    pub fn end_session(&self, id: SessionId, kind: RefusalKind) -> bool {
        let session = self.shared.registry.find(id);
        if let Some(session) = &session {
            session.order(kind);
        }
        session.is_some()
    }

    /// Rests the session `id` on the fresh credential of `by`, which was admitted at `route`, by
    /// another gate: it must be the session's own. Returns when that expires. The credential itself
    /// does not come along: whoever can only be asked about it cannot be asked any more.
    ///
    /// # Errors
    ///
    /// [`NotRenewed`], and the session is as it was.
    pub fn renew_session(
        &self,
        id: SessionId,
        by: &Identity,
        route: &str,
    ) -> Result<Option<Timestamp>, NotRenewed> {
        self.shared.renew(id, by, None, route)
    }
}

impl Shared {
    /// All whom rules 6 to 8 of `route` ask.
    pub(crate) fn authorities(&self, route: &Route) -> Authorities {
        self.asked.authorities(route)
    }

    /// The refusal of a session `id` that rests on `identity`, where that was revoked.
    pub(crate) fn covering(&self, identity: &Identity, id: SessionId) -> Option<RefusalKind> {
        self.asked.standing.covering(identity, Some(id))
    }

    pub(crate) fn renew(
        &self,
        id: SessionId,
        by: &Identity,
        credential: Option<Credential>,
        route: &str,
    ) -> Result<Option<Timestamp>, NotRenewed> {
        let session = self.registry.find(id).ok_or(NotRenewed::Unknown)?;
        // Another route may ask less.
        if *session.facts.route != *route {
            return Err(NotRenewed::Unknown);
        }
        session.renew(by, credential, expiry_of(by, &session.facts.terms))?;
        // What was revoked or reloaded while it was decided did not see the new credential.
        if let Some(kind) = self.covering(by, id) {
            session.order(kind);
        } else if !self.rules().still_admit(&session.facts) {
            session.order(RefusalKind::PolicyChanged);
        }
        Ok(by.expiry())
    }
}

/// When a session that rests on `identity` ends.
pub(crate) fn expiry_of(identity: &Identity, terms: &Terms) -> Option<Instant> {
    let left = identity.end()?.since(SystemClock::new().now());
    Some(Instant::now() + life_of(left, terms))
}

/// How long a session lives whose credential has `left`: as long, or up to the jitter of `terms`
/// shorter, but not shorter than half of it.
fn life_of(left: Duration, terms: &Terms) -> Duration {
    let most = terms.expiry_jitter.unwrap_or_default().min(left / 2);
    left.saturating_sub(random::up_to(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `sessions` whose credentials end together, how many end in each second before that.
    fn ends(sessions: u32, left: Duration, jitter: Duration) -> Vec<u32> {
        let mut terms = Terms::default();
        terms.expiry_jitter = Some(jitter);
        let mut ends = vec![0; usize::try_from(left.as_secs()).expect("seconds") + 1];
        for _ in 0..sessions {
            let early = left - life_of(left, &terms);
            ends[usize::try_from(early.as_secs()).expect("seconds")] += 1;
        }
        ends
    }

    #[test]
    fn ten_thousand_sessions_with_one_expiry_end_evenly_over_the_jitter() {
        let ends = ends(10_000, Duration::from_secs(3600), Duration::from_secs(100));
        let (within, beyond) = ends.split_at(100);
        // A hundred in each second, and eight standard deviations of that to either side.
        let uneven = within.iter().find(|count| !(20..=180).contains(*count));
        assert_eq!(uneven, None, "{within:?}");
        assert_eq!(beyond.iter().sum::<u32>(), 0, "none is earlier");
    }

    #[test]
    fn a_jitter_that_is_longer_than_the_credential_lives_spreads_over_half_of_its_life() {
        let ends = ends(10_000, Duration::from_secs(100), Duration::from_secs(900));
        let (within, beyond) = ends.split_at(50);
        let uneven = within.iter().find(|count| !(80..=320).contains(*count));
        assert_eq!(uneven, None, "{within:?}");
        assert_eq!(beyond.iter().sum::<u32>(), 0, "none is earlier");
    }

    #[test]
    fn without_jitter_a_session_lives_as_long_as_its_credential() {
        let left = Duration::from_secs(60);
        assert_eq!(life_of(left, &Terms::default()), left);
    }
}
