//! Users.

use portcullis_boundary::Scopes;
use portcullis_ledger::{User, Users};

use crate::support::{NOW, Place, at, first, in_both_databases};

in_both_databases! {
    a_user_is_changed_but_stays_as_old_as_they_are,
    an_account_is_disabled_and_removed,
    users_are_listed_by_subject,
}

fn user(subject: &str) -> User {
    User {
        subject: subject.into(),
        is_active: true,
        scopes: Scopes::parse("read write"),
        created_at: NOW,
        updated_at: NOW,
    }
}

async fn a_user_is_changed_but_stays_as_old_as_they_are(place: Place) {
    let ledger = place.ledger;
    ledger.put_user(user("ada")).await.unwrap();
    let changed = User {
        scopes: Scopes::default(),
        created_at: at(7),
        updated_at: at(7),
        ..user("ada")
    };
    ledger.put_user(changed.clone()).await.unwrap();
    let expected = User {
        created_at: NOW,
        ..changed
    };
    assert_eq!(ledger.find_user("ada").await.unwrap(), Some(expected));
}

async fn an_account_is_disabled_and_removed(place: Place) {
    let ledger = place.ledger;
    ledger.put_user(user("ada")).await.unwrap();
    assert!(ledger.set_user_active("ada", false, at(1)).await.unwrap());
    assert!(!ledger.set_user_active("bob", false, at(1)).await.unwrap());
    let found = ledger.find_user("ada").await.unwrap().unwrap();
    assert!(!found.is_active);
    assert_eq!(found.updated_at, at(1));
    assert!(ledger.remove_user("ada").await.unwrap());
    assert!(!ledger.remove_user("ada").await.unwrap());
    assert_eq!(ledger.find_user("ada").await.unwrap(), None);
}

async fn users_are_listed_by_subject(place: Place) {
    let ledger = place.ledger;
    for subject in ["b", "c", "a"] {
        ledger.put_user(user(subject)).await.unwrap();
    }
    let one = ledger.list_users(first(2)).await.unwrap();
    let two = ledger.list_users(first(2).after(one.next.unwrap())).await;
    let two = two.unwrap();
    let all = one.items.iter().chain(&two.items);
    let all: Vec<_> = all.map(|user| &*user.subject).collect();
    assert_eq!(all, ["a", "b", "c"]);
    assert_eq!(two.next, None);
}
