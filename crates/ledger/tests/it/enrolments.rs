//! Enrolments.

use portcullis_ledger::{Enrolment, Enrolments, LedgerError};

use crate::support::{NOW, Place, at, in_both_databases};

in_both_databases! {
    an_enrolment_is_found_by_relay_account_and_name_and_by_nothing_less,
    a_later_enrolment_takes_the_place_of_the_one_before,
    only_the_enrolment_that_is_named_is_forgotten,
    an_enrolment_is_there_for_who_opens_the_ledger_next,
    a_key_that_no_index_takes_is_refused_and_one_that_is_just_short_enough_is_kept,
}

const RELAY: &str = "https://relay.example/";

async fn an_enrolment_is_found_by_relay_account_and_name_and_by_nothing_less(place: Place) {
    let ledger = place.ledger;
    ledger.put_enrolment(enrolment("acme", "1")).await.unwrap();
    ledger.put_enrolment(enrolment("", "2")).await.unwrap();
    for (relay, account, name, found) in [
        (RELAY, "acme", "vm", Some("1")),
        (RELAY, "", "vm", Some("2")),
        (RELAY, "acme", "", None),
        (RELAY, "Acme", "vm", None),
        ("https://relay.example", "acme", "vm", None),
    ] {
        let kept = ledger.find_enrolment(relay, account, name).await.unwrap();
        let id = kept.as_ref().map(|kept| &*kept.server_id);
        assert_eq!(id, found, "{relay} {account} {name}");
    }
    let kept = ledger.find_enrolment(RELAY, "acme", "vm").await.unwrap();
    assert_eq!(kept, Some(enrolment("acme", "1")));
}

async fn a_later_enrolment_takes_the_place_of_the_one_before(place: Place) {
    let ledger = place.ledger;
    ledger.put_enrolment(enrolment("acme", "1")).await.unwrap();
    let later = Enrolment {
        enrolled_at: at(9),
        ..enrolment("acme", "2")
    };
    ledger.put_enrolment(later.clone()).await.unwrap();
    let kept = ledger.find_enrolment(RELAY, "acme", "vm").await.unwrap();
    assert_eq!(kept, Some(later));
}

async fn only_the_enrolment_that_is_named_is_forgotten(place: Place) {
    let ledger = place.ledger;
    ledger.put_enrolment(enrolment("acme", "2")).await.unwrap();
    ledger.put_enrolment(enrolment("bob", "2")).await.unwrap();
    let gone = ledger.remove_enrolment(enrolment("acme", "1")).await;
    assert!(!gone.unwrap());
    let elsewhere = Enrolment {
        environment_id: "env-1".into(),
        ..enrolment("acme", "2")
    };
    assert!(!ledger.remove_enrolment(elsewhere).await.unwrap());
    let long_ago = Enrolment {
        enrolled_at: at(-9),
        ..enrolment("acme", "2")
    };
    assert!(ledger.remove_enrolment(long_ago).await.unwrap());
    let kept = ledger.find_enrolment(RELAY, "acme", "vm").await.unwrap();
    assert_eq!(kept, None);
    let other = ledger.find_enrolment(RELAY, "bob", "vm").await.unwrap();
    assert_eq!(other, Some(enrolment("bob", "2")));
}

async fn an_enrolment_is_there_for_who_opens_the_ledger_next(place: Place) {
    let kept = enrolment("acme", "1");
    place.ledger.put_enrolment(kept.clone()).await.unwrap();
    let next = place.another().await;
    let found = next.find_enrolment(RELAY, "acme", "vm").await.unwrap();
    assert_eq!(found, Some(kept));
}

async fn a_key_that_no_index_takes_is_refused_and_one_that_is_just_short_enough_is_kept(
    place: Place,
) {
    let ledger = place.ledger;
    let longest = Enrolment {
        relay: distinct(1024),
        account: distinct(512),
        name: distinct(512),
        ..enrolment("", "1")
    };
    ledger.put_enrolment(longest.clone()).await.unwrap();
    for wrong in [
        Enrolment {
            relay: distinct(1025),
            ..longest.clone()
        },
        Enrolment {
            account: distinct(513),
            ..longest.clone()
        },
        Enrolment {
            name: distinct(513),
            ..longest.clone()
        },
        Enrolment {
            relay: "".into(),
            ..longest.clone()
        },
        Enrolment {
            server_id: "".into(),
            ..longest
        },
    ] {
        let refused = ledger.put_enrolment(wrong).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Invalid { .. }), "{refused}");
    }
}

fn enrolment(account: &str, id: &str) -> Enrolment {
    Enrolment {
        relay: RELAY.into(),
        account: account.into(),
        name: "vm".into(),
        server_id: id.into(),
        environment_id: format!("env-{id}-{account}").into(),
        enrolled_at: NOW,
    }
}

/// Text that does not become shorter when a database packs it.
fn distinct(bytes: usize) -> Box<str> {
    let mut state = 1_u32;
    let letters = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + u8::try_from((state >> 24) % 90).unwrap())
    });
    letters.take(bytes).collect::<String>().into()
}
