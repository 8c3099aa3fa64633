//! API keys.

use portcullis_boundary::Scopes;
use portcullis_ledger::{Key, Keys, LedgerError, SecretHash, User, Users};

use crate::support::{NOW, Place, at, first, in_both_databases};

in_both_databases! {
    a_key_is_found_with_its_owner_or_without,
    an_id_is_given_once,
    keys_are_listed_by_page_and_owner,
    revoking_counts_once_and_a_use_is_noted_when_it_is_later,
    what_cannot_be_kept_is_refused,
}

fn key(id: &str, owner: &str) -> Key {
    Key {
        id: id.into(),
        secret: SecretHash::of(id.as_bytes()),
        name: "a laptop".into(),
        owner: owner.into(),
        scopes: Scopes::parse("write read"),
        created_at: NOW,
        expires_at: Some(at(60)),
        revoked_at: None,
        last_used_at: None,
    }
}

async fn a_key_is_found_with_its_owner_or_without(place: Place) {
    let ledger = place.ledger;
    let user = User {
        subject: "ada".into(),
        is_active: false,
        scopes: Scopes::parse("read"),
        created_at: NOW,
        updated_at: at(1),
    };
    ledger.put_user(user.clone()).await.unwrap();
    for owner in ["ada", "bob"] {
        ledger.create_key(key(owner, owner)).await.unwrap();
    }
    let found = ledger.find_key("ada").await.unwrap();
    assert_eq!(found, Some((key("ada", "ada"), Some(user))));
    let found = ledger.find_key("bob").await.unwrap();
    assert_eq!(found, Some((key("bob", "bob"), None)));
    assert_eq!(ledger.find_key("ADA").await.unwrap(), None);
    assert_eq!(ledger.find_key("").await.unwrap(), None);
}

async fn an_id_is_given_once(place: Place) {
    let ledger = place.ledger;
    ledger.create_key(key("k", "ada")).await.unwrap();
    let again = ledger.create_key(key("k", "mallory")).await;
    assert_eq!(again, Err(LedgerError::Conflict));
    let (found, _) = ledger.find_key("k").await.unwrap().unwrap();
    assert_eq!(&*found.owner, "ada");
}

async fn keys_are_listed_by_page_and_owner(place: Place) {
    let ledger = place.ledger;
    for id in ["c", "a", "e", "b", "d"] {
        let owner = if id < "d" { "ada" } else { "bob" };
        ledger.create_key(key(id, owner)).await.unwrap();
    }
    let mut page = first(2);
    let mut seen = Vec::new();
    loop {
        let listed = ledger.list_keys(None, page.clone()).await.unwrap();
        assert!(listed.items.len() <= 2);
        seen.extend(listed.items.into_iter().map(|key| key.id));
        let Some(next) = listed.next else { break };
        page = page.after(next);
    }
    assert_eq!(seen.concat(), "abcde");
    let listed = ledger.list_keys(Some("ada"), first(3)).await.unwrap();
    assert_eq!(listed.items.len(), 3);
    assert_eq!(listed.next, None);
}

async fn revoking_counts_once_and_a_use_is_noted_when_it_is_later(place: Place) {
    let ledger = place.ledger;
    ledger.create_key(key("k", "ada")).await.unwrap();
    for seconds in [5, 9] {
        assert!(ledger.revoke_key("k", at(seconds)).await.unwrap());
    }
    assert!(!ledger.revoke_key("other", NOW).await.unwrap());
    let uses = vec![("k".into(), at(3)), ("k".into(), at(2)), ("no".into(), NOW)];
    ledger.note_key_uses(uses).await.unwrap();
    let (found, _) = ledger.find_key("k").await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(at(5)));
    assert_eq!(found.last_used_at, Some(at(3)));
    let many = vec![("k".into(), NOW); 1001];
    assert!(ledger.note_key_uses(many).await.is_err());
}

async fn what_cannot_be_kept_is_refused(place: Place) {
    let ledger = place.ledger;
    for bad in [
        key("", "ada"),
        key("k", ""),
        key("k\0", "ada"),
        key(&"k".repeat(1025), "ada"),
        Key {
            scopes: ["read admin"].into_iter().collect(),
            ..key("k", "ada")
        },
    ] {
        let refused = ledger.create_key(bad).await;
        assert!(matches!(refused, Err(LedgerError::Invalid { .. })));
    }
    assert_eq!(ledger.list_keys(None, first(9)).await.unwrap().items, []);
}
