//! How often a wrong code may be tried.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;

use crate::relay::Settings;

/// Tries by account. A code that people type has 40 bits and lives for minutes: nobody may try many.
///
/// A try is taken before the book is asked, so that many at once are not more than they are one after the
/// other, and given back when it was no guess.
#[derive(Debug)]
pub(in crate::relay) struct Claims {
    tried: Mutex<HashMap<Box<str>, Tried>>,
    most: u32,
    within: Duration,
}

/// What an account has tried since its first try, for as long as that counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Tried {
    count: u32,
    since: Timestamp,
}

/// A try, which counts unless it is given back.
#[derive(Debug)]
pub(super) struct Try<'a> {
    claims: &'a Claims,
    account: &'a str,
    since: Timestamp,
}

impl Claims {
    pub(in crate::relay) fn new(settings: &Settings) -> Self {
        Self {
            tried: Mutex::default(),
            most: settings.wrong_claims,
            within: settings.pairing_life,
        }
    }

    /// Lets `account` try a code; or says how long it must wait until it may.
    pub(super) fn take<'a>(
        &'a self,
        account: &'a str,
        now: Timestamp,
    ) -> Result<Try<'a>, Duration> {
        let mut tried = self.lock();
        self.make_room(&mut tried, account, now);
        let new = Tried {
            count: 0,
            since: now,
        };
        let own = tried.entry(account.into()).or_insert(new);
        let mut left = self.left(*own, now);
        if left.is_zero() {
            *own = new;
            left = self.within;
        }
        if own.count >= self.most {
            return Err(left);
        }
        own.count += 1;
        Ok(Try {
            claims: self,
            account,
            since: own.since,
        })
    }

    /// Makes room for `account`, if there is none.
    fn make_room(&self, tried: &mut HashMap<Box<str>, Tried>, account: &str, now: Timestamp) {
        if tried.len() < MAX_ACCOUNTS || tried.contains_key(account) {
            return;
        }
        tried.retain(|_, tried| !self.left(*tried, now).is_zero());
        if tried.len() < MAX_ACCOUNTS {
            return;
        }
        // Whoever has tried least often is forgotten.
        let least = tried.iter().min_by_key(|(_, tried)| **tried);
        if let Some(least) = least.map(|(account, _)| account.clone()) {
            tried.remove(&least);
        }
    }

    /// How long `tried` still counts.
    fn left(&self, tried: Tried, now: Timestamp) -> Duration {
        tried.since.after(self.within).since(now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Tried>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Try<'_> {
    /// It was no guess: the code was good, or nobody could say.
    pub(super) fn give_back(self) {
        let mut tried = self.claims.lock();
        // What counts anew, or was forgotten, does not count this try.
        let own = tried.get_mut(self.account);
        let Some(own) = own.filter(|own| own.since == self.since) else {
            return;
        };
        own.count = own.count.saturating_sub(1);
        if own.count == 0 {
            tried.remove(self.account);
        }
    }
}

/// The most accounts that are remembered.
const MAX_ACCOUNTS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_tries_as_many_wrong_codes_as_it_may() {
        let settings = Settings {
            wrong_claims: 2,
            pairing_life: Duration::from_secs(60),
            ..Settings::default()
        };
        let claims = Claims::new(&settings);
        let may = |account, seconds| {
            claims
                .take(account, Timestamp::from_secs(seconds))
                .map(drop)
        };
        assert_eq!(may("ada", 0), Ok(()));
        assert_eq!(may("ada", 1), Ok(()));
        assert_eq!(may("ada", 1), Err(Duration::from_secs(59)));
        assert_eq!(may("bob", 1), Ok(()));
        assert_eq!(may("ada", 60), Ok(()), "it counts anew");
        assert_eq!(may("ada", 61), Ok(()));
        assert_eq!(may("ada", 61), Err(Duration::from_secs(59)));
    }

    #[test]
    fn a_try_counts_from_its_beginning_and_not_when_it_is_given_back() {
        let settings = Settings {
            wrong_claims: 2,
            pairing_life: Duration::from_secs(60),
            ..Settings::default()
        };
        let claims = Claims::new(&settings);
        let take = |seconds| claims.take("ada", Timestamp::from_secs(seconds));
        let first = take(0).expect("a try");
        let second = take(0).expect("a try");
        assert!(take(0).is_err(), "two are under way");
        first.give_back();
        let third = take(1).expect("a try");
        assert!(take(1).is_err());
        // What was taken before it counts anew is not given back from the new count.
        let late = (take(60).expect("a try"), take(60).expect("a try"));
        second.give_back();
        third.give_back();
        assert!(take(60).is_err());
        late.0.give_back();
        late.1.give_back();
        assert!(claims.lock().is_empty(), "nobody is remembered for nothing");
    }

    #[test]
    fn who_has_tried_least_often_is_forgotten_when_there_are_too_many() {
        let claims = Claims::new(&Settings {
            wrong_claims: 2,
            ..Settings::default()
        });
        let now = Timestamp::EPOCH;
        let may = |account: &str| claims.take(account, now).is_ok();
        assert!(may("eve") && may("eve") && !may("eve"));
        for number in 0..MAX_ACCOUNTS + 50 {
            assert!(may(&number.to_string()));
        }
        assert_eq!(claims.lock().len(), MAX_ACCOUNTS);
        assert!(!may("eve"));
    }
}
