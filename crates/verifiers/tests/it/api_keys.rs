//! API keys: each way to be good and wrong, and what is remembered.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Identity, Rejection, Scopes, Verifier};
use portcullis_verifiers::LookupUnavailable;
use portcullis_verifiers::api_key::{ApiKeyToken, ApiKeys, KeyLookup, StoredKey};
use tokio::sync::Semaphore;

use crate::support::{FORM, NOW, ask, ask_at, header};

const UNKNOWN: Rejection = Rejection::Invalid(InvalidReason::UnknownToken);

/// A ledger in memory, which can be down and can be slow.
struct Ledger {
    keys: Mutex<HashMap<String, StoredKey>>,
    lookups: AtomicUsize,
    used: Mutex<Vec<String>>,
    is_down: Mutex<bool>,
    turns: Semaphore,
}

impl Ledger {
    fn holding(key: StoredKey) -> Arc<Self> {
        Arc::new(Self {
            keys: Mutex::new(HashMap::from([(key.id.to_string(), key)])),
            lookups: AtomicUsize::new(0),
            used: Mutex::default(),
            is_down: Mutex::new(false),
            turns: Semaphore::new(1000),
        })
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut StoredKey)) {
        change(self.keys.lock().unwrap().get_mut(id).unwrap());
    }

    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }
}

struct Shared(Arc<Ledger>);

impl KeyLookup for Shared {
    async fn find(&self, id: &str) -> Result<Option<StoredKey>, LookupUnavailable> {
        self.0.lookups.fetch_add(1, Ordering::SeqCst);
        let found = self.0.keys.lock().unwrap().get(id).cloned();
        self.0.turns.acquire().await.unwrap().forget();
        if *self.0.is_down.lock().unwrap() {
            let retry_after = Duration::from_secs(3);
            return Err(LookupUnavailable { retry_after });
        }
        Ok(found)
    }

    fn used(&self, id: &str, _: Timestamp) {
        self.0.used.lock().unwrap().push(id.into());
    }
}

fn stored(token: &ApiKeyToken) -> StoredKey {
    StoredKey {
        id: token.id().into(),
        secret_sha256: token.sha256(),
        name: "ci".into(),
        owner: "ada".into(),
        scopes: Scopes::parse("admin read"),
        created_at: Timestamp::from_secs(NOW - 100),
        expires_at: None,
        revoked: false,
        owner_scopes: None,
        owner_active: None,
    }
}

fn gate() -> (ApiKeyToken, Arc<Ledger>, ApiKeys<Shared>) {
    let token = ApiKeyToken::generate();
    let ledger = Ledger::holding(stored(&token));
    let keys = ApiKeys::new("keys", Shared(Arc::clone(&ledger)));
    (token, ledger, keys)
}

#[test]
fn a_key_is_its_owner_with_the_scopes_that_it_was_made_for() {
    let (token, ledger, keys) = gate();
    let identity = ask(&keys, &token.expose()).unwrap();
    let expected = Identity::new("ada")
        .verified_by("keys")
        .with_scopes(Scopes::parse("admin read"))
        .with_credential_id(token.id())
        .issued_at(Timestamp::from_secs(NOW - 100));
    assert_eq!(identity, expected);
    assert_eq!(*ledger.used.lock().unwrap(), [token.id()]);
}

#[test]
fn each_way_to_be_wrong_has_its_answer_and_is_no_use() {
    let at = Timestamp::from_secs;
    type Change = fn(&mut StoredKey);
    let rows: [(Change, Result<(), Rejection>); 9] = [
        (|_| {}, Ok(())),
        (|key| key.revoked = true, Err(Rejection::Revoked)),
        (|key| key.owner_active = Some(true), Ok(())),
        (
            |key| key.owner_active = Some(false),
            Err(Rejection::AccountDisabled),
        ),
        (
            |key| key.expires_at = Some(Timestamp::from_secs(NOW + 1)),
            Ok(()),
        ),
        (
            |key| key.expires_at = Some(Timestamp::from_secs(NOW)),
            Err(Rejection::Expired),
        ),
        (|key| key.secret_sha256[31] ^= 1, Err(UNKNOWN)),
        (|key| key.id = "another".into(), Err(UNKNOWN)),
        (
            |key| {
                key.revoked = true;
                key.expires_at = Some(Timestamp::EPOCH);
                key.secret_sha256 = [0; 32];
            },
            Err(UNKNOWN),
        ),
    ];
    for (index, (change, expected)) in rows.into_iter().enumerate() {
        let (token, ledger, keys) = gate();
        ledger.change(token.id(), change);
        let verdict = ask_at(&keys, &token.expose(), at(NOW)).map(drop);
        assert_eq!(verdict, expected, "row {index}");
        assert_eq!(
            ledger.used.lock().unwrap().len(),
            usize::from(expected.is_ok())
        );
    }
}

#[test]
fn scopes_are_clamped_to_the_owners_of_now() {
    let (token, ledger, keys) = gate();
    let keys = keys.remember_for(Duration::ZERO);
    for (owner, expected) in [
        (Some("admin read write"), "admin read"),
        (Some("read"), "read"),
        (Some(""), ""),
        (None, "admin read"),
    ] {
        ledger.change(token.id(), |key| {
            key.owner_scopes = owner.map(Scopes::parse);
        });
        let identity = ask(&keys, &token.expose()).unwrap();
        assert_eq!(identity.scopes().to_string(), expected, "{owner:?}");
    }
}

#[test]
fn a_session_of_a_key_ends_when_the_key_does() {
    let (token, ledger, keys) = gate();
    let end = Timestamp::from_secs(NOW + 10);
    ledger.change(token.id(), |key| key.expires_at = Some(end));
    let identity = ask(&keys, &token.expose()).unwrap();
    assert_eq!((identity.expiry(), identity.end()), (Some(end), Some(end)));
}

#[test]
fn unknown_ids_foreign_secrets_and_other_forms_are_refused() {
    let (token, ledger, keys) = gate();
    assert_eq!(ask(&keys, &ApiKeyToken::generate().expose()), Err(UNKNOWN));
    let foreign = ApiKeyToken::generate().expose();
    let crossed = format!("pk_{}_{}", token.id(), &foreign[foreign.len() - 43..]);
    assert_eq!(ask(&keys, &crossed), Err(UNKNOWN));
    let lookups = ledger.lookups();
    for no in [
        "pk_",
        "pk_a_b",
        "pk_a_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
    ] {
        assert_eq!(ask(&keys, no), Err(FORM), "{no}");
    }
    assert_eq!(ledger.lookups(), lookups);
    assert!(keys.recognises(&header("pk_x")));
    assert!(!keys.recognises(&header("a.b.c")));
}

#[test]
fn when_nobody_can_look_nobody_can_say() {
    let (token, ledger, keys) = gate();
    *ledger.is_down.lock().unwrap() = true;
    let retry_after = Duration::from_secs(3);
    let expected = Err(Rejection::Unavailable { retry_after });
    assert_eq!(ask(&keys, &token.expose()), expected);
    *ledger.is_down.lock().unwrap() = false;
    assert!(ask(&keys, &token.expose()).is_ok());
}

#[test]
fn what_was_found_is_remembered_for_seconds_and_judged_anew_each_time() {
    let (token, ledger, keys) = gate();
    let end = Timestamp::from_secs(NOW + 3);
    ledger.change(token.id(), |key| key.expires_at = Some(end));
    let at = |seconds| {
        let now = Timestamp::from_secs(NOW + seconds);
        let verdict = ask_at(&keys, &token.expose(), now).map(drop);
        (verdict, ledger.lookups())
    };
    assert_eq!(at(0), (Ok(()), 1));
    assert_eq!(at(2), (Ok(()), 1));
    assert_eq!(at(3), (Err(Rejection::Expired), 1));
    ledger.change(token.id(), |key| key.revoked = true);
    assert_eq!(at(4), (Err(Rejection::Expired), 1));
    assert_eq!(at(5), (Err(Rejection::Revoked), 2));
    // A clock that was set back does not keep it.
    assert_eq!(at(-3600), (Err(Rejection::Revoked), 3));
}

#[test]
fn a_wrong_secret_is_refused_whether_the_key_is_remembered_or_not() {
    let (token, ledger, keys) = gate();
    assert!(ask(&keys, &token.expose()).is_ok());
    let foreign = ApiKeyToken::generate().expose();
    let crossed = format!("pk_{}_{}", token.id(), &foreign[foreign.len() - 43..]);
    assert_eq!(ask(&keys, &crossed), Err(UNKNOWN));
    assert_eq!(ledger.lookups(), 1);
}

#[test]
fn a_key_that_is_forgotten_is_looked_up_again() {
    let (token, ledger, keys) = gate();
    assert!(ask(&keys, &token.expose()).is_ok());
    ledger.change(token.id(), |key| key.revoked = true);
    assert!(ask(&keys, &token.expose()).is_ok());
    keys.forget(token.id());
    assert_eq!(ask(&keys, &token.expose()), Err(Rejection::Revoked));
}

#[test]
fn a_key_that_is_forgotten_while_it_is_looked_up_is_not_remembered() {
    let (token, ledger, keys) = gate();
    let credential = header(&token.expose());
    let mut context = Context::from_waker(Waker::noop());
    let turns = ledger.turns.forget_permits(1000);
    let mut slow = pin!(keys.verify(&credential, Timestamp::from_secs(NOW)));
    assert!(slow.as_mut().poll(&mut context).is_pending());
    ledger.change(token.id(), |key| key.revoked = true);
    keys.forget(token.id());
    ledger.turns.add_permits(turns);
    assert!(matches!(slow.poll(&mut context), Poll::Ready(Ok(_))));
    assert_eq!(ask(&keys, &token.expose()), Err(Rejection::Revoked));
}
