//! Tickets.

use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{LedgerError, Secret, SecretHash, Ticket, Tickets, TooMany};
use tokio::task::JoinSet;

use crate::support::{HOUR, NOW, Place, YEAR, at, in_both_databases};

in_both_databases! {
    a_hundred_ask_for_one_ticket_and_one_gets_it,
    a_ticket_that_is_looked_at_is_as_good_as_before,
    a_ticket_that_expired_is_none,
    a_ticket_counts_by_clocks_that_nearly_agree_however_they_jump,
    a_clock_that_ran_ahead_leaves_nobody_without_tickets,
    a_subject_has_as_many_live_tickets_as_it_may_and_no_more,
    a_burst_of_issuers_does_not_get_past_the_bound,
    an_identity_that_is_too_long_is_refused,
}

fn ticket(secret: &str, subject: &str) -> Ticket {
    Ticket {
        hash: SecretHash::of(secret.as_bytes()),
        subject: subject.into(),
        route: "chat".into(),
        origin: Some("https://app.example".into()),
        identity: r#"{"sub":"ada"}"#.into(),
        created_at: NOW,
        expires_at: at(30),
    }
}

async fn a_hundred_ask_for_one_ticket_and_one_gets_it(place: Place) {
    let secret = Secret::generate().unwrap();
    let ticket = Ticket {
        hash: secret.hash(),
        ..ticket("", "ada")
    };
    place
        .ledger
        .issue_ticket(ticket.clone(), 9, NOW)
        .await
        .unwrap()
        .unwrap();
    let gates = [place.ledger.clone(), place.another().await];
    let mut askers = JoinSet::new();
    for asker in 0..100 {
        askers.spawn(gates[asker % 2].consume_ticket(secret.hash(), at(1)));
    }
    let answers = askers.join_all().await;
    let got: Vec<_> = answers.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(got, [ticket]);
}

async fn a_ticket_that_is_looked_at_is_as_good_as_before(place: Place) {
    let (ledger, ticket) = (&place.ledger, ticket("t", "ada"));
    let hash = ticket.hash;
    assert_eq!(ledger.find_ticket(hash, NOW).await, Ok(None));
    ledger
        .issue_ticket(ticket.clone(), 9, NOW)
        .await
        .unwrap()
        .unwrap();
    for _ in 0..3 {
        let found = ledger.find_ticket(hash, NOW).await;
        assert_eq!(found, Ok(Some(ticket.clone())));
    }
    assert_eq!(ledger.find_ticket(hash, at(30)).await, Ok(None));
    assert_eq!(ledger.consume_ticket(hash, NOW).await, Ok(Some(ticket)));
    assert_eq!(ledger.find_ticket(hash, NOW).await, Ok(None));
}

async fn a_ticket_that_expired_is_none(place: Place) {
    let ledger = place.ledger;
    let hash = SecretHash::of(b"a");
    ledger
        .issue_ticket(ticket("a", "ada"), 9, NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ledger.consume_ticket(hash, at(30)).await.unwrap(), None);
    assert_eq!(ledger.consume_ticket(hash, at(1)).await.unwrap(), None);
}

async fn a_ticket_counts_by_clocks_that_nearly_agree_however_they_jump(place: Place) {
    let ledger = place.ledger;
    let jumps = [
        (0, true),
        (29, true),
        (30, false),
        (HOUR, false),
        (YEAR, false),
        (-30, true),
        (-31, false),
        (-HOUR, false),
        (-YEAR, false),
    ];
    let extremes = [i64::MIN, i64::MAX].map(|millis| (Timestamp::from_millis(millis), false));
    let times = jumps.map(|(jump, is_live)| (at(jump), is_live));
    for (number, (now, is_live)) in times.into_iter().chain(extremes).enumerate() {
        let ticket = ticket(&number.to_string(), "ada");
        let issued = ledger.issue_ticket(ticket.clone(), 99, NOW).await;
        issued.unwrap().unwrap();
        let wanted = is_live.then(|| ticket.clone());
        let found = ledger.find_ticket(ticket.hash, now).await;
        assert_eq!(found, Ok(wanted.clone()), "{now:?}");
        // Who only looks leaves it as good as it was, for who has the right time.
        let found = ledger.find_ticket(ticket.hash, NOW).await;
        assert_eq!(found, Ok(Some(ticket.clone())), "{now:?}");
        let taken = ledger.consume_ticket(ticket.hash, now).await;
        assert_eq!(taken, Ok(wanted), "{now:?}");
        // It was shown, and is gone, whatever time it is then.
        let again = ledger.consume_ticket(ticket.hash, NOW).await;
        assert_eq!(again, Ok(None), "{now:?}");
    }
}

async fn a_clock_that_ran_ahead_leaves_nobody_without_tickets(place: Place) {
    let ledger = place.ledger;
    for (number, ahead) in [HOUR, YEAR].into_iter().enumerate() {
        let subject = number.to_string();
        let issue = |secret: String, jump: i64| {
            let ticket = Ticket {
                created_at: at(jump),
                expires_at: at(jump + 30),
                ..ticket(&secret, &subject)
            };
            ledger.issue_ticket(ticket, 2, at(jump))
        };
        for (secret, jump, is_issued) in [
            ("a", ahead, true),
            ("b", ahead, true),
            ("c", ahead, false),
            ("d", 0, true),
            ("e", 0, true),
            ("f", 0, false),
        ] {
            let issued = issue(format!("{secret}{ahead}"), jump).await;
            assert_eq!(issued.unwrap().is_ok(), is_issued, "{secret} {ahead}");
        }
    }
}

async fn a_subject_has_as_many_live_tickets_as_it_may_and_no_more(place: Place) {
    let ledger = place.ledger;
    for (secret, now, issued) in [
        ("a", NOW, Ok(())),
        ("b", NOW, Ok(())),
        ("c", NOW, Err(TooMany)),
        ("d", at(30), Ok(())),
    ] {
        let answer = ledger.issue_ticket(ticket(secret, "ada"), 2, now).await;
        assert_eq!(answer.unwrap().is_ok(), issued.is_ok(), "{secret}");
    }
    ledger
        .issue_ticket(ticket("e", "bob"), 2, NOW)
        .await
        .unwrap()
        .unwrap();
    let again = ledger.issue_ticket(ticket("e", "bob"), 2, NOW).await;
    assert_eq!(again, Err(LedgerError::Conflict));
}

async fn a_burst_of_issuers_does_not_get_past_the_bound(place: Place) {
    let gates = [place.ledger.clone(), place.another().await];
    let mut issuers = JoinSet::new();
    for issuer in 0..20 {
        let ticket = ticket(&issuer.to_string(), "ada");
        issuers.spawn(gates[issuer % 2].issue_ticket(ticket, 3, NOW));
    }
    let answers = issuers.join_all().await;
    let issued = answers.into_iter().filter(|answer| answer == &Ok(Ok(())));
    assert_eq!(issued.count(), 3);
}

async fn an_identity_that_is_too_long_is_refused(place: Place) {
    let long = Ticket {
        identity: "x".repeat(8193).into(),
        ..ticket("a", "ada")
    };
    let answer = place.ledger.issue_ticket(long, 9, NOW).await;
    assert!(matches!(answer, Err(LedgerError::Invalid { .. })));
}
