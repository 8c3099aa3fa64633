//! Revocations.

use std::collections::BTreeSet;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::revocation::{Cause, Target};
use portcullis_boundary::{Revocation, SessionId};
use portcullis_ledger::{NewRevocation, RevocationRecord, Revocations, SqlLedger};
use tokio::task::JoinSet;

use crate::support::{HOUR, NOW, Place, YEAR, at, first, in_both_databases};

in_both_databases! {
    each_revocation_is_read_as_it_was_said,
    a_reader_misses_none_that_many_write_at_once,
    what_is_withdrawn_is_a_change_that_readers_see,
    what_clocks_that_jump_revoke_and_withdraw_is_read_in_its_order,
    a_page_is_as_long_as_asked_and_a_huge_one_is_an_error,
}

fn of(target: Target) -> NewRevocation {
    NewRevocation {
        revocation: Revocation::of(target),
        at: NOW,
        by: "an operator".into(),
        note: "leaked".into(),
        until: None,
    }
}

fn subject(name: &str) -> NewRevocation {
    of(Target::Subject(name.into()))
}

async fn each_revocation_is_read_as_it_was_said(place: Place) {
    let ledger = place.ledger;
    let mut said: Vec<_> = [
        Target::Subject("ada".into()),
        Target::Credential("c".into()),
        Target::Key("k".into()),
        Target::Issuer("https://issuer.example".into()),
        Target::Session(SessionId::from_bytes([7; 16])),
        Target::Everything,
    ]
    .map(of)
    .into();
    let narrow = Revocation::of(Target::Everything)
        .issued_before(at(-1))
        .because(Cause::AccountDisabled);
    said.push(NewRevocation {
        revocation: narrow,
        until: Some(at(9)),
        ..subject("")
    });
    for revocation in &said {
        ledger.revoke(revocation.clone()).await.unwrap();
    }
    let records = ledger.revocations_since(0, 1000).await.unwrap();
    let read: Vec<_> = records.iter().map(|record| record.said.clone()).collect();
    assert_eq!(read, said);
    let listed = ledger.list_revocations(first(1000)).await.unwrap();
    assert_eq!(listed.items, records);
}

async fn a_reader_misses_none_that_many_write_at_once(place: Place) {
    const WRITERS: usize = 4;
    const EACH: usize = 25;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let ledger = place.another().await;
        writers.spawn(async move {
            for number in 0..EACH {
                let said = subject(&format!("{writer}-{number}"));
                ledger.revoke(said).await.unwrap();
            }
        });
    }
    let mut seen = BTreeSet::new();
    let mut last = 0;
    loop {
        let all_is_written = writers.is_empty();
        while let Some(written) = writers.try_join_next() {
            written.unwrap();
        }
        let news = since(&place.ledger, last).await;
        // A reader who is behind has more than one look to take.
        if all_is_written && news.is_empty() {
            break;
        }
        for record in news {
            assert!(record.seq > last);
            last = record.seq;
            seen.insert(record.said.revocation.target().clone());
        }
    }
    assert_eq!(seen.len(), WRITERS * EACH);
}

async fn since(ledger: &SqlLedger, seq: u64) -> Vec<RevocationRecord> {
    ledger.revocations_since(seq, 10).await.unwrap()
}

async fn what_clocks_that_jump_revoke_and_withdraw_is_read_in_its_order(place: Place) {
    let ledger = place.ledger;
    let jumps = [0, HOUR, -HOUR, YEAR, -YEAR].map(at);
    let extremes = [i64::MAX, i64::MIN].map(Timestamp::from_millis);
    let mut last = 0;
    for (number, now) in jumps.into_iter().chain(extremes).enumerate() {
        let said = NewRevocation {
            at: now,
            ..subject(&number.to_string())
        };
        let id = ledger.revoke(said.clone()).await.unwrap();
        let news = ledger.revocations_since(last, 9).await.unwrap();
        let read: Vec<_> = news.iter().map(|record| &record.said).collect();
        assert_eq!(read, [&said]);
        last = news[0].seq;
        // By a gate whose clock has jumped the other way.
        let then = Timestamp::from_millis(NOW.as_millis().saturating_sub(now.as_millis()));
        assert_eq!(ledger.withdraw_revocation(id, then).await, Ok(true));
        let news = ledger.revocations_since(last, 9).await.unwrap();
        let read: Vec<_> = news
            .iter()
            .map(|record| (record.id, record.withdrawn_at))
            .collect();
        assert_eq!(read, [(id, Some(then))]);
        assert!(news[0].seq > last);
        last = news[0].seq;
    }
}

async fn what_is_withdrawn_is_a_change_that_readers_see(place: Place) {
    let ledger = place.ledger;
    let id = ledger.revoke(subject("ada")).await.unwrap();
    let other = ledger.revoke(subject("bob")).await.unwrap();
    assert!(ledger.withdraw_revocation(id, at(1)).await.unwrap());
    assert!(!ledger.withdraw_revocation(id, at(2)).await.unwrap());
    assert!(!ledger.withdraw_revocation(999, at(2)).await.unwrap());
    let changes = ledger.revocations_since(other, 9).await.unwrap();
    let [change] = &changes[..] else {
        panic!("one change")
    };
    assert_eq!((change.id, change.withdrawn_at), (id, Some(at(1))));
    assert!(change.seq > other);
    let listed = ledger.list_revocations(first(9)).await.unwrap();
    let ids: Vec<_> = listed.items.iter().map(|record| record.id).collect();
    assert_eq!(ids, [id, other]);
}

async fn a_page_is_as_long_as_asked_and_a_huge_one_is_an_error(place: Place) {
    let ledger = place.ledger;
    for name in ["a", "b", "c"] {
        ledger.revoke(subject(name)).await.unwrap();
    }
    assert_eq!(ledger.revocations_since(0, 2).await.unwrap().len(), 2);
    assert!(ledger.revocations_since(0, 1001).await.is_err());
    assert!(ledger.revocations_since(0, 0).await.is_err());
    let page = ledger.list_revocations(first(2)).await.unwrap();
    let rest = first(2).after(page.next.unwrap());
    assert_eq!(ledger.list_revocations(rest).await.unwrap().items.len(), 1);
}
