//! How often a wrong code may be tried.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;

use crate::relay::Settings;

/// Wrong codes by account. A code that people type has 40 bits and lives for minutes: nobody may try many.
#[derive(Debug)]
pub(in crate::relay) struct Claims {
    wrong: Mutex<HashMap<Box<str>, (u32, Timestamp)>>,
    most: u32,
    within: Duration,
}

impl Claims {
    pub(in crate::relay) fn new(settings: &Settings) -> Self {
        Self {
            wrong: Mutex::default(),
            most: settings.wrong_claims,
            within: settings.pairing_life,
        }
    }

    /// How long `account` must wait until it may try; none when it may now.
    pub(super) fn wait(&self, account: &str, now: Timestamp) -> Option<Duration> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, since) = wrong.get(account)?;
        let left = since.after(self.within).since(now);
        (*count >= self.most && !left.is_zero()).then_some(left)
    }

    /// `account` tried a wrong code.
    pub(super) fn note(&self, account: &str, now: Timestamp) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= MAX_ACCOUNTS && !wrong.contains_key(account) {
            wrong.retain(|_, (_, since)| !since.after(self.within).since(now).is_zero());
            if wrong.len() >= MAX_ACCOUNTS {
                // Whoever has tried least often is forgotten.
                let least = wrong.iter().min_by_key(|(_, tries)| **tries);
                if let Some(least) = least.map(|(account, _)| account.clone()) {
                    wrong.remove(&least);
                }
            }
        }
        let (count, since) = wrong.entry(account.into()).or_insert((0, now));
        if since.after(self.within) <= now {
            (*count, *since) = (0, now);
        }
        *count += 1;
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
        let at = Timestamp::from_secs;
        claims.note("ada", at(0));
        assert_eq!(claims.wait("ada", at(1)), None);
        claims.note("ada", at(1));
        assert_eq!(claims.wait("ada", at(1)), Some(Duration::from_secs(59)));
        assert_eq!(claims.wait("bob", at(1)), None);
        assert_eq!(claims.wait("ada", at(60)), None);
        claims.note("ada", at(60));
        assert_eq!(claims.wait("ada", at(60)), None, "it counts anew");
    }
}
