//! Gates and sessions.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::SessionId;
use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{
    Cap, Caps, Full, GateLease, Lease, Ledger, LedgerError, Retention, SessionFilter,
    SessionRecord, Sessions,
};
use tokio::task::JoinSet;

use crate::support::{HOUR, NOW, Place, YEAR, at, first, in_both_databases};

in_both_databases! {
    a_burst_over_two_gates_does_not_get_past_a_cap,
    each_cap_counts_what_it_names,
    the_slots_of_a_dead_gate_come_back_at_the_end_of_its_lease,
    a_gate_without_a_lease_opens_nothing,
    a_gate_whose_clock_jumps_forth_and_back_keeps_its_places_and_no_more,
    times_at_the_end_of_all_time_are_times,
    leases_that_end_late_are_told,
    a_session_is_closed_and_touched,
    a_session_that_is_opened_again_counts_once_and_belongs_to_its_gate,
    a_gate_that_closes_takes_its_sessions_with_it,
    live_sessions_are_listed_by_who_where_and_gate,
}

fn session(number: u8, gate: &str) -> SessionRecord {
    SessionRecord {
        id: SessionId::from_bytes([number; 16]),
        gate: gate.into(),
        route: "chat".into(),
        subject: "ada".into(),
        issuer: Some("https://issuer.example".into()),
        credential_id: Some("jti".into()),
        key_id: Some("k1".into()),
        resource: Some("thread-1".into()),
        address: Some([127, 0, 0, 1].into()),
        opened_at: NOW,
        expires_at: None,
    }
}

const fn most(count: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(count)
}

fn per_subject(count: u32) -> Caps {
    Caps {
        per_subject: most(count),
        ..Caps::default()
    }
}

async fn a_burst_over_two_gates_does_not_get_past_a_cap(place: Place) {
    let gates = [place.ledger.clone(), place.another().await];
    for (ledger, gate) in gates.iter().zip(["0", "1"]) {
        ledger.renew_lease(gate, at(30), NOW).await.unwrap();
    }
    let caps = Caps {
        per_subject_and_route: most(3),
        per_subject: most(3),
        per_resource: most(3),
    };
    let mut openers = JoinSet::new();
    for number in 0..30_u8 {
        let gate = usize::from(number % 2);
        let session = session(number, &gate.to_string());
        openers.spawn(gates[gate].open_session(session, caps, NOW));
    }
    let answers = openers.join_all().await;
    let full = Full(Cap::PerSubjectAndRoute);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(Ok(()) | Err(_))))
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == Ok(Err(full)))
            .count(),
        27
    );
    let filter = SessionFilter::default();
    let live = place.ledger.list_sessions(filter, first(99), NOW).await;
    assert_eq!(live.unwrap().items.len(), 3);
}

async fn each_cap_counts_what_it_names(place: Place) {
    let ledger = place.ledger;
    ledger.renew_lease("g", at(30), NOW).await.unwrap();
    let open = |session, caps| ledger.open_session(session, caps, NOW);
    open(session(1, "g"), Caps::default())
        .await
        .unwrap()
        .unwrap();
    let on_route = Caps {
        per_subject_and_route: most(1),
        ..Caps::default()
    };
    let for_resource = Caps {
        per_resource: most(1),
        ..Caps::default()
    };
    let other = |number| SessionRecord {
        subject: "bob".into(),
        route: "other".into(),
        resource: Some("thread-2".into()),
        ..session(number, "g")
    };
    for (caps, cap) in [
        (on_route, Cap::PerSubjectAndRoute),
        (per_subject(1), Cap::PerSubject),
        (for_resource, Cap::PerResource),
    ] {
        assert_eq!(open(session(2, "g"), caps).await, Ok(Err(Full(cap))));
        assert_eq!(open(other(3), caps).await, Ok(Ok(())));
        ledger.close_session(other(3).id).await.unwrap();
    }
    let elsewhere = SessionRecord {
        route: "other".into(),
        ..session(4, "g")
    };
    assert_eq!(open(elsewhere.clone(), on_route).await, Ok(Ok(())));
    let none = SessionRecord {
        resource: None,
        ..session(5, "g")
    };
    assert_eq!(open(none, for_resource).await, Ok(Ok(())));
}

async fn the_slots_of_a_dead_gate_come_back_at_the_end_of_its_lease(place: Place) {
    let ledger = place.ledger;
    ledger.renew_lease("dead", at(30), NOW).await.unwrap();
    ledger.renew_lease("alive", at(90), NOW).await.unwrap();
    ledger
        .open_session(session(1, "dead"), per_subject(1), NOW)
        .await
        .unwrap()
        .unwrap();
    let open = |now| ledger.open_session(session(2, "alive"), per_subject(1), now);
    assert_eq!(open(at(29)).await, Ok(Err(Full(Cap::PerSubject))));
    assert_eq!(open(at(30)).await, Ok(Ok(())));
    let dead = session(1, "dead").id;
    assert_eq!(ledger.find_session(dead, at(30)).await.unwrap(), None);
    // It was only slow, and comes back to what it had.
    let lease = ledger.renew_lease("dead", at(90), at(31)).await.unwrap();
    assert_eq!(lease, Lease::Anew);
    assert!(ledger.find_session(dead, at(31)).await.unwrap().is_some());
}

async fn a_gate_without_a_lease_opens_nothing(place: Place) {
    let ledger = place.ledger;
    let open = |now| ledger.open_session(session(1, "g"), Caps::default(), now);
    assert_eq!(open(NOW).await, Err(LedgerError::NoLease));
    assert_eq!(ledger.renew_lease("g", at(30), NOW).await, Ok(Lease::Anew));
    assert_eq!(
        ledger.renew_lease("g", at(40), at(1)).await,
        Ok(Lease::Kept)
    );
    assert_eq!(open(at(40)).await, Err(LedgerError::NoLease));
    assert_eq!(open(at(39)).await, Ok(Ok(())));
}

async fn a_gate_whose_clock_jumps_forth_and_back_keeps_its_places_and_no_more(place: Place) {
    let ledger = place.ledger;
    let renew = |now: i64| ledger.renew_lease("g", at(now + 15), at(now));
    let opens = |number, now| ledger.open_session(session(number, "g"), per_subject(1), at(now));
    let full = Ok(Err(Full(Cap::PerSubject)));
    renew(0).await.unwrap();
    assert_eq!(opens(1, 0).await, Ok(Ok(())));
    for jump in [HOUR, -HOUR, YEAR, -YEAR] {
        for now in [jump, 0] {
            // Until it has renewed its lease it may open nothing, or it is as full as it was.
            let early = opens(2, now).await;
            assert!(
                early == Err(LedgerError::NoLease) || early == full,
                "{jump}"
            );
            renew(now).await.unwrap();
            assert_eq!(opens(2, now).await, full, "{jump}");
            let mine = session(1, "g").id;
            let found = ledger.find_session(mine, at(now)).await;
            assert!(found.unwrap().is_some(), "{jump}");
        }
    }
    ledger.close_session(session(1, "g").id).await.unwrap();
    assert_eq!(opens(2, 0).await, Ok(Ok(())));
    // The lease is that of now: it ends as if nothing had been.
    assert_eq!(opens(2, 15).await, Err(LedgerError::NoLease));
}

async fn times_at_the_end_of_all_time_are_times(place: Place) {
    let ledger = place.ledger;
    for now in [i64::MIN, i64::MAX].map(Timestamp::from_millis) {
        let until = now.after(Duration::from_secs(15));
        ledger.renew_lease("g", until, now).await.unwrap();
        let opened = ledger.open_session(session(1, "g"), per_subject(1), now);
        let opened = opened.await;
        assert!(matches!(opened, Ok(Ok(())) | Err(LedgerError::NoLease)));
        ledger.leases_after(now).await.unwrap();
        ledger.prune(Retention::default(), now).await.unwrap();
    }
}

async fn leases_that_end_late_are_told(place: Place) {
    let ledger = place.ledger;
    for (gate, until) in [("a", 15), ("b", HOUR), ("c", YEAR)] {
        ledger.renew_lease(gate, at(until), NOW).await.unwrap();
    }
    let lease = |gate: &str, until| GateLease {
        gate: gate.into(),
        until: at(until),
    };
    let told = ledger.leases_after(at(30)).await;
    assert_eq!(told, Ok(vec![lease("c", YEAR), lease("b", HOUR)]));
    ledger.forget_gate("c").await.unwrap();
    let told = ledger.leases_after(at(30)).await;
    assert_eq!(told, Ok(vec![lease("b", HOUR)]));
}

async fn a_session_is_closed_and_touched(place: Place) {
    let ledger = place.ledger;
    ledger.renew_lease("g", at(90), NOW).await.unwrap();
    let one = session(1, "g");
    ledger
        .open_session(one.clone(), per_subject(1), NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        ledger.find_session(one.id, NOW).await.unwrap(),
        Some(one.clone())
    );
    assert!(ledger.touch_session(one.id, Some(at(5))).await.unwrap());
    let touched = ledger.find_session(one.id, at(4)).await.unwrap().unwrap();
    assert_eq!(touched.expires_at, Some(at(5)));
    assert_eq!(ledger.find_session(one.id, at(5)).await.unwrap(), None);
    let two = ledger
        .open_session(session(2, "g"), per_subject(1), at(5))
        .await;
    assert_eq!(two, Ok(Ok(())));
    for _ in 0..2 {
        ledger.close_session(session(2, "g").id).await.unwrap();
    }
    assert!(
        !ledger
            .touch_session(session(2, "g").id, None)
            .await
            .unwrap()
    );
}

async fn a_session_that_is_opened_again_counts_once_and_belongs_to_its_gate(place: Place) {
    let ledger = place.ledger;
    for gate in ["g", "h"] {
        ledger.renew_lease(gate, at(90), NOW).await.unwrap();
    }
    for _ in 0..3 {
        let again = ledger
            .open_session(session(1, "g"), per_subject(1), NOW)
            .await;
        assert_eq!(again, Ok(Ok(())));
    }
    let stolen = ledger
        .open_session(session(1, "h"), Caps::default(), NOW)
        .await;
    assert_eq!(stolen, Err(LedgerError::Conflict));
}

async fn a_gate_that_closes_takes_its_sessions_with_it(place: Place) {
    let ledger = place.ledger;
    for (gate, number) in [("g", 1), ("h", 2)] {
        ledger.renew_lease(gate, at(90), NOW).await.unwrap();
        let opened = ledger.open_session(session(number, gate), Caps::default(), NOW);
        opened.await.unwrap().unwrap();
    }
    ledger.forget_gate("g").await.unwrap();
    assert_eq!(ledger.renew_lease("g", at(90), NOW).await, Ok(Lease::Anew));
    let all = ledger
        .list_sessions(SessionFilter::default(), first(9), NOW)
        .await;
    assert_eq!(all.unwrap().items, [session(2, "h")]);
}

async fn live_sessions_are_listed_by_who_where_and_gate(place: Place) {
    let ledger = place.ledger;
    for gate in ["g", "h"] {
        ledger.renew_lease(gate, at(90), NOW).await.unwrap();
    }
    let bob = SessionRecord {
        subject: "bob".into(),
        route: "other".into(),
        expires_at: Some(at(10)),
        ..session(3, "h")
    };
    for session in [session(2, "g"), session(1, "h"), bob.clone()] {
        ledger
            .open_session(session, Caps::default(), NOW)
            .await
            .unwrap()
            .unwrap();
    }
    let list = |filter, page, now| ledger.list_sessions(filter, page, now);
    let page = list(SessionFilter::default(), first(2), NOW).await.unwrap();
    assert_eq!(page.items, [session(1, "h"), session(2, "g")]);
    let rest = first(2).after(page.next.unwrap());
    let rest = list(SessionFilter::default(), rest, NOW).await.unwrap();
    assert_eq!(rest.items, std::slice::from_ref(&bob));
    for (subject, route, gate) in [
        (Some("bob"), None, None),
        (None, Some("other"), None),
        (Some("bob"), Some("other"), Some("h")),
    ] {
        let filter = SessionFilter {
            subject: subject.map(Into::into),
            route: route.map(Into::into),
            gate: gate.map(Into::into),
        };
        let found = list(filter.clone(), first(9), NOW).await.unwrap();
        assert_eq!(found.items, std::slice::from_ref(&bob));
        assert_eq!(list(filter, first(9), at(10)).await.unwrap().items, []);
    }
}
