//! Texts that would be more than text, were they not.

use portcullis_boundary::limits::Rate;
use portcullis_boundary::revocation::Target;
use portcullis_boundary::{Revocation, Scopes, SessionId};
use portcullis_ledger::*;

use crate::support::{NOW, Place, at, first, in_both_databases};

in_both_databases! {
    a_text_of_any_shape_is_kept_as_it_is_and_finds_only_itself,
}

const SHAPES: [&str; 14] = [
    "'; DROP TABLE keys; --",
    "' OR '1'='1",
    "\" OR \"\"=\"",
    "\\'; SELECT pg_sleep(9); --",
    "$1",
    "$$; SELECT 1; $$",
    "?1 :x @x",
    "%_*[a-z]",
    "a\r\nb\tc",
    "\u{202e}txet\u{1f512}\u{0301}",
    "NULL",
    "0x00",
    "{\"$ne\":null}",
    "ada ",
];

async fn a_text_of_any_shape_is_kept_as_it_is_and_finds_only_itself(place: Place) {
    let ledger = place.ledger;
    ledger.renew_lease("gate", at(99), NOW).await.unwrap();
    for (number, shape) in (1_u8..).zip(SHAPES) {
        keep(&ledger, number, shape).await;
    }
    for (number, shape) in (1_u8..).zip(SHAPES) {
        find(&ledger, number, shape).await;
    }
    let keys = ledger.list_keys(None, first(99)).await.unwrap();
    assert_eq!(keys.items.len(), SHAPES.len());
    let all = ledger.revocations_since(0, 99).await.unwrap();
    let targets = all.iter().map(|record| record.said.revocation.target());
    let shapes = SHAPES.map(|shape| Target::Subject(shape.into()));
    assert!(targets.eq(&shapes));
}

async fn keep(ledger: &SqlLedger, number: u8, shape: &str) {
    let text = || -> Box<str> { shape.into() };
    let user = User {
        subject: text(),
        is_active: true,
        scopes: Scopes::parse(shape),
        created_at: NOW,
        updated_at: NOW,
    };
    ledger.put_user(user).await.unwrap();
    let key = Key {
        id: text(),
        secret: SecretHash::of(shape.as_bytes()),
        name: text(),
        owner: text(),
        scopes: Scopes::parse(shape),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    ledger.create_key(key).await.unwrap();
    let session = SessionRecord {
        id: SessionId::from_bytes([number; 16]),
        gate: "gate".into(),
        route: text(),
        subject: text(),
        issuer: Some(text()),
        credential_id: Some(text()),
        key_id: Some(text()),
        resource: Some(text()),
        address: None,
        opened_at: NOW,
        expires_at: None,
    };
    let once = Some(std::num::NonZeroU32::MIN);
    let caps = Caps {
        per_subject_and_route: once,
        per_subject: once,
        per_resource: once,
    };
    assert_eq!(ledger.open_session(session, caps, NOW).await, Ok(Ok(())));
    let revocation = NewRevocation {
        revocation: Revocation::of(Target::Subject(text())),
        at: NOW,
        by: text(),
        note: text(),
        until: None,
    };
    ledger.revoke(revocation).await.unwrap();
    keep_what_is_shown_once(ledger, shape).await;
    let entry = AuditEntry {
        subject: Some(text()),
        path: Some(text()),
        ..AuditEntry::new(AuditKind::Decision, shape, shape, NOW)
    };
    ledger.append_audit(vec![entry]).await.unwrap();
}

fn ticket(shape: &str) -> Ticket {
    Ticket {
        hash: SecretHash::of(shape.as_bytes()),
        subject: shape.into(),
        route: shape.into(),
        origin: Some(shape.into()),
        identity: shape.into(),
        created_at: NOW,
        expires_at: at(9),
    }
}

fn login(shape: &str) -> Login {
    Login {
        hash: SecretHash::of(shape.as_bytes()),
        id: shape.into(),
        subject: shape.into(),
        issuer: shape.into(),
        sid: Some(shape.into()),
        identity: shape.into(),
        id_token: Some(shape.into()),
        created_at: NOW,
        expires_at: at(9),
    }
}

fn state(shape: &str) -> LoginState {
    LoginState {
        hash: SecretHash::of(shape.as_bytes()),
        nonce: shape.into(),
        verifier: shape.into(),
        return_path: shape.into(),
        created_at: NOW,
        expires_at: at(9),
    }
}

async fn keep_what_is_shown_once(ledger: &SqlLedger, shape: &str) {
    // One of each subject: had a shape meant another, it would count for that.
    let issued = ledger.issue_ticket(ticket(shape), 1, NOW).await;
    assert_eq!(issued, Ok(Ok(())));
    ledger.create_login(login(shape)).await.unwrap();
    let begun = ledger.begin_login(state(shape), 99, NOW).await;
    assert_eq!(begun, Ok(Ok(())));
    let rate = Rate::new(std::num::NonZeroU32::MIN, std::time::Duration::from_secs(9));
    assert_eq!(ledger.take(shape, rate, NOW).await, Ok(Ok(())));
}

async fn find_what_is_shown_once(ledger: &SqlLedger, shape: &str) {
    let hash = SecretHash::of(shape.as_bytes());
    let consumed = ledger.consume_ticket(hash, NOW).await.unwrap();
    assert_eq!(consumed, Some(ticket(shape)));
    let taken = ledger.take_login_state(hash, NOW).await.unwrap();
    assert_eq!(taken, Some(state(shape)));
    let of = LogoutOf::Sid {
        issuer: shape.into(),
        sid: shape.into(),
    };
    assert_eq!(ledger.end_logins(of).await.unwrap(), [login(shape)]);
}

async fn find(ledger: &SqlLedger, number: u8, shape: &str) {
    find_what_is_shown_once(ledger, shape).await;
    let (key, owner) = ledger.find_key(shape).await.unwrap().unwrap();
    assert_eq!((&*key.id, &*key.name), (shape, shape));
    assert_eq!(&*owner.unwrap().subject, shape);
    let filter = SessionFilter {
        subject: Some(shape.into()),
        route: Some(shape.into()),
        gate: None,
    };
    let found = ledger.list_sessions(filter, first(99), NOW).await.unwrap();
    let ids: Vec<_> = found.items.iter().map(|session| session.id).collect();
    assert_eq!(ids, [SessionId::from_bytes([number; 16])], "{shape}");
    let filter = AuditFilter {
        subject: Some(shape.into()),
        outcome: Some(shape.into()),
        ..AuditFilter::default()
    };
    let found = ledger.list_audit(filter, first(99)).await.unwrap();
    assert_eq!(found.items.len(), 1, "{shape}");
}
