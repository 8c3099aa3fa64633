//! Logins.

use portcullis_ledger::{LedgerError, Login, LoginState, Logins, LogoutOf, SecretHash, TooMany};
use tokio::task::JoinSet;

use crate::support::{NOW, Place, at, first, in_both_databases};

in_both_databases! {
    a_login_is_found_until_it_expires,
    a_login_ends_by_cookie_by_sid_and_by_subject,
    a_login_that_has_begun_is_taken_once,
    strangers_begin_as_many_logins_as_they_may,
    logins_are_listed_by_subject,
}

fn login(name: &str) -> Login {
    Login {
        hash: SecretHash::of(name.as_bytes()),
        id: name.into(),
        subject: "ada".into(),
        issuer: "https://issuer.example".into(),
        sid: Some(format!("sid-{name}").into()),
        identity: "{}".into(),
        id_token: Some("e30.e30.e30".into()),
        created_at: NOW,
        expires_at: at(60),
    }
}

fn state(name: &str) -> LoginState {
    LoginState {
        hash: SecretHash::of(name.as_bytes()),
        nonce: "nonce".into(),
        verifier: "verifier".into(),
        return_path: "/app?x=1".into(),
        created_at: NOW,
        expires_at: at(60),
    }
}

async fn a_login_is_found_until_it_expires(place: Place) {
    let ledger = place.ledger;
    let one = login("one");
    ledger.create_login(one.clone()).await.unwrap();
    assert_eq!(
        ledger.create_login(one.clone()).await,
        Err(LedgerError::Conflict)
    );
    let find = |now| ledger.find_login(one.hash, now);
    assert_eq!(find(at(59)).await.unwrap(), Some(one.clone()));
    assert_eq!(find(at(60)).await.unwrap(), None);
    assert!(!ledger.extend_login(one.hash, at(99), at(60)).await.unwrap());
    assert!(ledger.extend_login(one.hash, at(99), at(59)).await.unwrap());
    assert!(find(at(98)).await.unwrap().is_some());
}

async fn a_login_ends_by_cookie_by_sid_and_by_subject(place: Place) {
    let ledger = place.ledger;
    for name in ["one", "two", "three", "four"] {
        ledger.create_login(login(name)).await.unwrap();
    }
    let issuer: Box<str> = "https://issuer.example".into();
    let ended = ledger.end_login(login("one").hash).await.unwrap();
    assert_eq!(ended, Some(login("one")));
    assert_eq!(ledger.end_login(login("one").hash).await.unwrap(), None);
    let by_sid = |issuer: &str| LogoutOf::Sid {
        issuer: issuer.into(),
        sid: "sid-two".into(),
    };
    assert_eq!(
        ledger
            .end_logins(by_sid("https://other.example"))
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        ledger.end_logins(by_sid(&issuer)).await.unwrap(),
        [login("two")]
    );
    let subject = "ada".into();
    let by_subject = LogoutOf::Subject { issuer, subject };
    assert_eq!(
        ledger.end_logins(by_subject.clone()).await.unwrap().len(),
        2
    );
    assert_eq!(ledger.end_logins(by_subject).await.unwrap(), []);
}

async fn a_login_that_has_begun_is_taken_once(place: Place) {
    let gates = [place.ledger.clone(), place.another().await];
    gates[0]
        .begin_login(state("s"), 9, NOW)
        .await
        .unwrap()
        .unwrap();
    let mut takers = JoinSet::new();
    for taker in 0..20 {
        takers.spawn(gates[taker % 2].take_login_state(state("s").hash, at(1)));
    }
    let answers = takers.join_all().await;
    let got: Vec<_> = answers.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(got, [state("s")]);
    gates[0]
        .begin_login(state("late"), 9, NOW)
        .await
        .unwrap()
        .unwrap();
    let late = gates[0].take_login_state(state("late").hash, at(60)).await;
    assert_eq!(late, Ok(None));
}

async fn strangers_begin_as_many_logins_as_they_may(place: Place) {
    let ledger = place.ledger;
    for (name, begun) in [("a", Ok(())), ("b", Ok(())), ("c", Err(TooMany))] {
        let answer = ledger.begin_login(state(name), 2, NOW).await;
        assert_eq!(answer, Ok(begun), "{name}");
    }
    assert_eq!(ledger.begin_login(state("d"), 2, at(60)).await, Ok(Ok(())));
}

async fn logins_are_listed_by_subject(place: Place) {
    let ledger = place.ledger;
    let bob = Login {
        subject: "bob".into(),
        ..login("b")
    };
    for login in [login("c"), login("a"), bob.clone()] {
        ledger.create_login(login).await.unwrap();
    }
    let list = |subject, page, now| ledger.list_logins(subject, page, now);
    let all = list(None, first(2), NOW).await.unwrap();
    assert_eq!(all.items, [login("a"), bob.clone()]);
    let rest = list(None, first(2).after(all.next.unwrap()), NOW).await;
    assert_eq!(rest.unwrap().items, [login("c")]);
    assert_eq!(list(Some("bob"), first(9), NOW).await.unwrap().items, [bob]);
    assert_eq!(list(None, first(9), at(60)).await.unwrap().items, []);
}
