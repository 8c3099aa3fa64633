//! The audit log.

use portcullis_boundary::SessionId;
use portcullis_ledger::{AuditEntry, AuditFilter, AuditKind, AuditLog, Page};

use crate::support::{NOW, Place, at, first, in_both_databases};

in_both_databases! {
    an_entry_is_read_as_it_was_written,
    entries_are_listed_the_latest_first_page_by_page,
    each_filter_finds_what_it_names,
    a_batch_is_bounded_and_texts_are_cut,
}

fn entry(seconds: i64, outcome: &str) -> AuditEntry {
    AuditEntry::new(AuditKind::Decision, outcome, "gate-1", at(seconds))
}

fn full() -> AuditEntry {
    AuditEntry {
        route: Some("chat".into()),
        protocol: Some("websocket".into()),
        subject: Some("ada".into()),
        issuer: Some("https://issuer.example".into()),
        credential_id: Some("jti".into()),
        key_id: Some("k1".into()),
        session: Some(SessionId::from_bytes([3; 16])),
        rule: Some(5),
        detail: Some("it expired".into()),
        code: Some(4001),
        status: Some(101),
        address: Some([0_u16, 0, 0, 0, 0, 0, 0, 1].into()),
        path: Some("/chat".into()),
        duration_ms: Some(12),
        bytes_up: Some(u64::from(u32::MAX) * 8),
        bytes_down: Some(0),
        messages_up: Some(1),
        messages_down: Some(2),
        by: Some("gate".into()),
        ..AuditEntry::new(AuditKind::End, "expired", "gate-1", NOW)
    }
}

async fn an_entry_is_read_as_it_was_written(place: Place) {
    let ledger = place.ledger;
    let entries = vec![full(), entry(-1, "admitted")];
    ledger.append_audit(entries.clone()).await.unwrap();
    ledger.append_audit(Vec::new()).await.unwrap();
    let listed = ledger.list_audit(AuditFilter::default(), first(9)).await;
    assert_eq!(listed.unwrap().items, entries);
}

async fn entries_are_listed_the_latest_first_page_by_page(place: Place) {
    let ledger = place.ledger;
    // Three of each second, out of order, more than one statement takes.
    let entries = (0..150).map(|n| entry((n * 7) % 50, &n.to_string()));
    ledger.append_audit(entries.collect()).await.unwrap();
    let mut page: Page = first(40);
    let mut times = Vec::new();
    loop {
        let listed = ledger
            .list_audit(AuditFilter::default(), page.clone())
            .await;
        let listed = listed.unwrap();
        times.extend(listed.items.iter().map(|entry| entry.at));
        let Some(next) = listed.next else { break };
        page = page.after(next);
    }
    let mut expected: Vec<_> = (0..150).map(|n| at((n * 7) % 50)).collect();
    expected.sort_by(|one, two| two.cmp(one));
    assert_eq!(times, expected);
    let stray = first(9).after("1700000000000");
    assert!(
        ledger
            .list_audit(AuditFilter::default(), stray)
            .await
            .is_err()
    );
}

async fn each_filter_finds_what_it_names(place: Place) {
    let ledger = place.ledger;
    let other = entry(5, "admitted");
    ledger
        .append_audit(vec![full(), other.clone()])
        .await
        .unwrap();
    let filter = |change: fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        change(&mut filter);
        filter
    };
    for (filter, found) in [
        (filter(|it| it.since = Some(at(5))), &other),
        (filter(|it| it.until = Some(at(5))), &full()),
        (filter(|it| it.kind = Some(AuditKind::End)), &full()),
        (filter(|it| it.subject = Some("ada".into())), &full()),
        (filter(|it| it.route = Some("chat".into())), &full()),
        (filter(|it| it.outcome = Some("admitted".into())), &other),
        (filter(|it| it.session = full().session), &full()),
    ] {
        let listed = ledger.list_audit(filter.clone(), first(9)).await.unwrap();
        assert_eq!(&listed.items[..], std::slice::from_ref(found), "{filter:?}");
    }
}

async fn a_batch_is_bounded_and_texts_are_cut(place: Place) {
    let ledger = place.ledger;
    assert!(ledger.append_audit(vec![full(); 1001]).await.is_err());
    let long = AuditEntry {
        path: Some("/\0".repeat(9000).into()),
        subject: Some("ä".repeat(9000).into()),
        ..full()
    };
    ledger.append_audit(vec![long; 1000]).await.unwrap();
    let listed = ledger.list_audit(AuditFilter::default(), first(1000)).await;
    let listed = listed.unwrap().items;
    assert_eq!(listed.len(), 1000);
    assert_eq!(listed[0].subject.as_deref(), Some(&*"ä".repeat(512)));
    assert_eq!(listed[0].path.as_deref(), Some(&*"/\u{fffd}".repeat(2048)));
}
