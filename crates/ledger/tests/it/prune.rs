//! What is deleted, and what stays.

use std::time::Duration;

use portcullis_boundary::revocation::Target;
use portcullis_boundary::{Revocation, Scopes, SessionId};
use portcullis_ledger::*;

use crate::support::{NOW, Place, at, first, in_both_databases};

in_both_databases! {
    what_counts_stays_and_what_does_not_goes,
    what_is_kept_for_a_while_goes_when_it_is_over,
    a_long_list_goes_in_steps,
}

async fn fill(ledger: &SqlLedger) {
    let hash = SecretHash::of(b"x");
    let ticket = Ticket {
        hash,
        subject: "ada".into(),
        route: "chat".into(),
        origin: None,
        identity: "{}".into(),
        created_at: NOW,
        expires_at: at(10),
    };
    ledger.issue_ticket(ticket, 9, NOW).await.unwrap().unwrap();
    let state = LoginState {
        hash,
        nonce: "n".into(),
        verifier: "v".into(),
        return_path: "/".into(),
        created_at: NOW,
        expires_at: at(10),
    };
    ledger.begin_login(state, 9, NOW).await.unwrap().unwrap();
    let login = Login {
        hash,
        id: "login".into(),
        subject: "ada".into(),
        issuer: "i".into(),
        sid: None,
        identity: "{}".into(),
        id_token: None,
        created_at: NOW,
        expires_at: at(10),
    };
    ledger.create_login(login).await.unwrap();
    fill_lasting(ledger, hash).await;
    fill_passing(ledger).await;
}

async fn fill_lasting(ledger: &SqlLedger, hash: SecretHash) {
    let key = Key {
        id: "key".into(),
        secret: hash,
        name: "n".into(),
        owner: "ada".into(),
        scopes: Scopes::default(),
        created_at: NOW,
        expires_at: Some(at(10)),
        revoked_at: None,
        last_used_at: None,
    };
    ledger.create_key(key).await.unwrap();
    for until in [None, Some(at(10))] {
        let revocation = NewRevocation {
            revocation: Revocation::of(Target::Everything),
            at: NOW,
            by: "o".into(),
            note: "".into(),
            until,
        };
        ledger.revoke(revocation).await.unwrap();
    }
    let entry = AuditEntry::new(AuditKind::Admin, "revoke", "g", NOW);
    ledger.append_audit(vec![entry]).await.unwrap();
}

async fn fill_passing(ledger: &SqlLedger) {
    ledger.renew_lease("g", at(10), NOW).await.unwrap();
    let session = SessionRecord {
        id: SessionId::from_bytes([1; 16]),
        gate: "g".into(),
        route: "chat".into(),
        subject: "ada".into(),
        issuer: None,
        credential_id: None,
        key_id: None,
        resource: None,
        address: None,
        opened_at: NOW,
        expires_at: None,
    };
    ledger
        .open_session(session, Caps::default(), NOW)
        .await
        .unwrap()
        .unwrap();
    let once = std::num::NonZeroU32::MIN;
    let rate = portcullis_boundary::limits::Rate::new(once, Duration::from_secs(10));
    ledger.take("m", rate, NOW).await.unwrap().unwrap();
}

const KEPT: Retention = Retention {
    audit: Duration::from_secs(100),
    keys: Duration::from_secs(100),
    withdrawn: Duration::from_secs(100),
    gates: Duration::from_secs(100),
};

async fn what_counts_stays_and_what_does_not_goes(place: Place) {
    let ledger = place.ledger;
    fill(&ledger).await;
    let pruned = ledger.prune(KEPT, at(9)).await.unwrap();
    assert_eq!(pruned, Pruned::default());
    let pruned = ledger.prune(KEPT, at(10)).await.unwrap();
    let expected = Pruned {
        tickets: 1,
        logins: 1,
        login_states: 1,
        revocations: 1,
        rates: 1,
        ..Pruned::default()
    };
    assert_eq!(pruned, expected);
    assert!(ledger.find_key("key").await.unwrap().is_some());
    assert_eq!(ledger.revocations_since(0, 9).await.unwrap().len(), 1);
}

async fn what_is_kept_for_a_while_goes_when_it_is_over(place: Place) {
    let ledger = place.ledger;
    fill(&ledger).await;
    let [kept, _] = &ledger.revocations_since(0, 9).await.unwrap()[..] else {
        panic!("two revocations")
    };
    ledger.withdraw_revocation(kept.id, at(10)).await.unwrap();
    ledger.prune(KEPT, at(99)).await.unwrap();
    let pruned = ledger.prune(KEPT, at(110)).await.unwrap();
    let expected = Pruned {
        revocations: 1,
        sessions: 1,
        gates: 1,
        keys: 1,
        audit: 1,
        ..Pruned::default()
    };
    assert_eq!(pruned, expected);
    let audit = ledger.list_audit(AuditFilter::default(), first(9)).await;
    assert_eq!(audit.unwrap().items, []);
}

async fn a_long_list_goes_in_steps(place: Place) {
    let ledger = place.ledger;
    let entry = AuditEntry::new(AuditKind::Admin, "revoke", "g", NOW);
    for _ in 0..3 {
        let batch = vec![entry.clone(); 1000];
        ledger.append_audit(batch).await.unwrap();
    }
    let pruned = ledger.prune(KEPT, at(100)).await.unwrap();
    assert_eq!(pruned.audit, 3000);
    assert!(!pruned.is_partial);
}
