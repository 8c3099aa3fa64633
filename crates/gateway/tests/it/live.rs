//! What happens to live sessions from outside: revoked, ended, renewed, told of their expiry.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_boundary::carrier::{Carrier, CarrierKind, Carriers};
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::policy::{Auth, OriginRule};
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::revocation::{Cause, Revocation, RevocationSet, Target};
use portcullis_boundary::{
    Credential, Identity, Peer, Place, Refusal, RefusalKind, Rejection, Scopes, SessionId, Verifier,
};
use portcullis_gateway::{
    Decided, Desk, IssuedTicket, Later, LiveFilter, NotRenewed, Observer, Services, SessionEnd,
    WantedTicket,
};
use tokio::io::AsyncWriteExt;

use super::support::{Answer, Played, Setup, Socket, TestGate, required_with, unmasked, within};

/// Vouches for tokens that say who they are: `SUBJECT,CREDENTIAL,MILLISECONDS,SCOPE SCOPE`.
#[derive(Clone, Default)]
struct Spoken {
    tickets: Arc<Mutex<Vec<(String, String, Identity)>>>,
}

impl Verifier for Spoken {
    fn name(&self) -> &str {
        "spoken"
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let parts: Vec<&str> = credential.expose().split(',').collect();
        let [subject, id, life, scopes] = parts[..] else {
            return Err(Rejection::Invalid(InvalidReason::UnknownToken));
        };
        let expires = now.after(Duration::from_millis(life.parse().expect("a number")));
        Ok(Identity::new(subject)
            .with_credential_id(id)
            .with_scopes(Scopes::parse(scopes))
            .issued_at(now)
            .expires_at(expires, expires))
    }

    async fn verify_at(
        &self,
        credential: &Credential,
        place: Place<'_>,
        now: Timestamp,
    ) -> Result<Identity, Rejection> {
        if credential.carrier() != CarrierKind::Ticket {
            return self.verify(credential, now).await;
        }
        let mut tickets = self.tickets.lock().expect("no panic");
        let found = tickets
            .iter()
            .position(|(ticket, route, _)| ticket == credential.expose() && route == place.route);
        match found {
            Some(at) => Ok(tickets.remove(at).2),
            None => Err(Rejection::Invalid(InvalidReason::UnknownToken)),
        }
    }
}

/// Keeps tickets in memory.
impl Desk for Spoken {
    fn issue_ticket<'a>(
        &'a self,
        wanted: WantedTicket<'a>,
    ) -> Later<'a, Result<IssuedTicket, Refusal>> {
        Box::pin(async move {
            let session = SessionId::from_bytes([5; 16]);
            let identity = wanted.identity.clone().for_session(session);
            let ticket = "one-ticket".to_owned();
            let mut tickets = self.tickets.lock().expect("no panic");
            tickets.push((ticket.clone(), wanted.route.to_owned(), identity));
            Ok(IssuedTicket {
                ticket: Credential::new(ticket, CarrierKind::Ticket),
                session,
                expires_at: Timestamp::from_secs(7),
            })
        })
    }

    fn renew_elsewhere<'a>(
        &'a self,
        _: SessionId,
        _: &'a Identity,
        _: &'a str,
    ) -> Later<'a, Result<Option<Timestamp>, NotRenewed>> {
        Box::pin(async { Err(NotRenewed::Unknown) })
    }

    fn serve<'a>(&'a self, request: Request<Bytes>, _: &'a Peer) -> Later<'a, Response<Bytes>> {
        let told = format!(
            "{} {} {}",
            request.method(),
            request.uri(),
            request.body().len()
        );
        Box::pin(async move { Response::new(Bytes::from(told)) })
    }
}

/// Remembers what it was told, in words.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn decided(&self, decided: &Decided<'_>) {
        let outcome = decided
            .refusal
            .map_or("admitted", |refusal| refusal.kind().as_str());
        let subject = decided.identity.map(Identity::subject);
        let line = format!("{} {} {subject:?}", decided.protocol, outcome);
        self.0.lock().expect("no panic").push(line);
    }

    fn ended(&self, ended: &SessionEnd<'_>) {
        let line = format!(
            "{} {} {:?} {:?}",
            ended.identity.subject(),
            ended.end.as_str(),
            ended.code,
            ended.messages
        );
        self.0.lock().expect("no panic").push(line);
    }
}

fn setup(verifier: &Spoken) -> Setup {
    let carriers = Carriers::new([Carrier::Header, Carrier::Ticket]);
    let mut setup = Setup::new(required_with(Arc::new(verifier.clone()), carriers));
    setup.policy = setup.policy.with_origin(OriginRule::Any);
    setup
}

fn gate() -> TestGate {
    setup(&Spoken::default()).start()
}

const LONG: u64 = 600_000;

fn token(subject: &str, id: &str, life: u64, scopes: &str) -> String {
    format!("Bearer {subject},{id},{life},{scopes}")
}

async fn enter(gate: &TestGate, token: &str) -> (SessionId, Socket) {
    let (answer, socket) = gate.handshake(&[("authorization", token)]).await;
    assert_eq!(answer.status, 101, "{}", answer.text);
    let id = answer.header("portcullis-session").expect("a name");
    (id.parse().expect("a session's id"), socket)
}

async fn echoes(socket: &mut Socket, text: &str) {
    socket.frame(1, text.as_bytes()).await;
    assert_eq!(
        socket.next().await.expect("an echo").payload,
        text.as_bytes()
    );
}

async fn post(gate: &TestGate, path: &str, token: &str) -> (Answer, String) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {token}\r\ncontent-length: 0\r\n\r\n",
        gate.address
    );
    let (answer, mut socket) = gate.send(&request).await;
    let body = socket.body(&answer).await;
    (answer, body)
}

fn refresh(id: SessionId) -> String {
    format!("/.portcullis/session/{id}/refresh")
}

fn named(kind: &str, value: &str) -> Revocation {
    Revocation::of(Target::parse(kind, value).expect("a target"))
}

#[tokio::test]
async fn what_is_revoked_ends_with_4004_and_does_not_come_back() {
    for (kind, value) in [("subject", "ada"), ("credential", "c1")] {
        let gate = gate();
        let ada = token("ada", "c1", LONG, "");
        let (_, mut revoked) = enter(&gate, &ada).await;
        let (_, mut other) = enter(&gate, &token("bob", "c2", LONG, "")).await;
        assert_eq!(gate.gate.revoke(&named(kind, value)), 1);
        let close = revoked.next().await.expect("a close").close();
        assert_eq!(close, (4004, "revoked".into()));
        echoes(&mut other, "still here").await;
        let (answer, mut socket) = gate.handshake(&[("authorization", &ada)]).await;
        assert_eq!(answer.status, 401);
        let body = socket.body(&answer).await;
        assert!(body.contains("\"code\":\"revoked\""), "{body}");
        // Taken back as a whole, it may enter again.
        assert_eq!(gate.gate.set_revocations(RevocationSet::default()), 0);
        enter(&gate, &ada).await;
    }
}

#[tokio::test]
async fn a_session_and_what_was_issued_before_a_time_are_revoked_alone() {
    let gate = gate();
    let ada = token("ada", "c1", LONG, "");
    let (first, mut one) = enter(&gate, &ada).await;
    let (_, mut two) = enter(&gate, &ada).await;
    let session = Revocation::of(Target::Session(first));
    assert_eq!(gate.gate.revoke(&session), 1);
    assert_eq!(one.next().await.expect("a close").close().0, 4004);
    echoes(&mut two, "another").await;
    enter(&gate, &ada).await;
    let before_now = Revocation::of(Target::Everything)
        .issued_before(SystemClock::new().now().after(Duration::from_millis(1)))
        .because(Cause::AccountDisabled);
    gate.gate.revoke(&before_now);
    let close = two.next().await.expect("a close").close();
    assert_eq!(close, (4004, "account_disabled".into()));
}

#[tokio::test]
async fn sessions_are_shown_page_by_page_and_ended_by_name() {
    let gate = gate();
    let mut sockets = Vec::new();
    for subject in ["ada", "ada", "bob"] {
        sockets.push(enter(&gate, &token(subject, "c", LONG, "read")).await);
    }
    let all = gate.gate.live_sessions(&LiveFilter::default(), None, 10);
    assert_eq!(all.len(), 3);
    let page = gate
        .gate
        .live_sessions(&LiveFilter::default(), Some(all[0].id), 1);
    assert_eq!(page[0].id, all[1].id);
    let of_ada = LiveFilter {
        subject: Some("ada".into()),
        route: Some("all".into()),
    };
    assert_eq!(gate.gate.live_sessions(&of_ada, None, 10).len(), 2);
    let (id, mut socket) = sockets.pop().expect("bob's");
    let shown = gate.gate.live_session(id).expect("live");
    assert_eq!(shown.identity.subject(), "bob");
    assert!(gate.gate.end_session(id, RefusalKind::Draining));
    assert_eq!(socket.next().await.expect("a close").close().0, 1012);
    drop(socket);
    gate.sessions(2).await;
    assert!(gate.gate.live_session(id).is_none());
    assert!(!gate.gate.end_session(id, RefusalKind::Draining));
}

#[tokio::test]
async fn a_renewed_session_outlives_its_first_credential_without_losing_a_byte() {
    let gate = gate();
    let begun = tokio::time::Instant::now();
    let (id, mut socket) = enter(&gate, &token("ada", "c1", 700, "read write")).await;
    let (answer, body) = post(&gate, &refresh(id), &token("ada", "c2", 1400, "read")).await;
    assert_eq!(answer.status, 200, "{body}");
    assert!(body.contains(&id.to_string()), "{body}");
    for number in 0.. {
        echoes(&mut socket, &format!("message {number}")).await;
        if begun.elapsed() > Duration::from_millis(800) {
            break;
        }
    }
    // It rests on the fresh credential alone now, for revocations too.
    assert_eq!(gate.gate.revoke(&named("credential", "c1")), 0);
    let close = socket.next().await.expect("a close").close();
    assert_eq!(close, (4001, "expired".into()));
}

#[tokio::test]
async fn a_session_is_not_renewed_by_others_nor_to_more() {
    let gate = gate();
    let (id, mut socket) = enter(&gate, &token("ada", "c1", LONG, "read")).await;
    let unknown = SessionId::from_bytes([9; 16]);
    for (path, token, status, code) in [
        (
            refresh(id),
            token("bob", "c", LONG, "read"),
            403,
            "not_owner",
        ),
        (
            refresh(id),
            token("ada", "c", LONG, "read write"),
            403,
            "insufficient_scope",
        ),
        (
            format!("{}?route=/x", refresh(unknown)),
            token("ada", "c", LONG, "read"),
            404,
            "resource_unknown",
        ),
        (
            refresh(id),
            "Bearer nonsense".into(),
            401,
            "invalid_credential",
        ),
    ] {
        let (answer, body) = post(&gate, &path, &token).await;
        assert_eq!(answer.status, status, "{body}");
        assert!(body.contains(&format!("\"code\":\"{code}\"")), "{body}");
    }
    assert_eq!(post(&gate, &refresh(unknown), "").await.0.status, 400);
    let shown = gate.gate.live_session(id).expect("live");
    assert_eq!(shown.identity.credential_id(), Some("c1"));
    echoes(&mut socket, "unharmed").await;
}

#[tokio::test]
async fn a_session_that_is_cut_is_reported_with_what_it_had_come_to() {
    let told = Arc::new(Told::default());
    let services = Services {
        observer: Some(Arc::clone(&told) as Arc<dyn Observer>),
        ..Services::default()
    };
    let gate = setup(&Spoken::default()).start_with(services);
    let (_, mut ada) = enter(&gate, &token("ada", "c1", LONG, "")).await;
    echoes(&mut ada, "one").await;
    gate.gate.cut();
    within(gate.gate.wait_drained()).await;
    assert_eq!(ada.next().await, None, "nobody was told");
    let lines = told.0.lock().expect("no panic").clone();
    assert_eq!(lines.last().expect("an end"), "ada cut None [1, 1]");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[tokio::test]
async fn a_session_that_is_cut_while_it_drains_is_reported_as_drained() {
    let told = Arc::new(Told::default());
    let services = Services {
        observer: Some(Arc::clone(&told) as Arc<dyn Observer>),
        ..Services::default()
    };
    let gate = setup(&Spoken::default()).start_with(services);
    let (_, mut ada) = enter(&gate, &token("ada", "c1", LONG, "")).await;
    gate.gate.drain();
    // It is told, and does not answer.
    assert_eq!(ada.next().await.expect("a close").close().0, 1012);
    gate.gate.cut();
    within(gate.gate.wait_drained()).await;
    let lines = told.0.lock().expect("no panic").clone();
    assert_eq!(
        lines.last().expect("an end"),
        "ada draining Some(1012) [0, 0]"
    );
}

#[tokio::test]
async fn a_notice_of_expiry_stands_between_two_messages() {
    let (played, address) = Played::new().await;
    let mut setup = setup(&Spoken::default()).before(address);
    setup.terms.notice = Some(Duration::from_secs(60));
    let gate = setup.start();
    let token = token("ada", "c1", 61_000, "");
    let ((id, mut client), (_, mut upstream)) = tokio::join!(enter(&gate, &token), played.switch());
    // The first half of a message is on its way when the notice falls due.
    let half = unmasked(0x01, b"half ");
    upstream.stream.write_all(&half).await.expect("written");
    assert_eq!(client.next().await.expect("a frame").payload, b"half ");
    // It is due at one that came later, too.
    let ((_, mut other), (_, _upstream)) = tokio::join!(enter(&gate, &token), played.switch());
    assert_eq!(other.next().await.expect("the other's notice").opcode, 1);
    upstream
        .stream
        .write_all(&unmasked(0x89, b"ping"))
        .await
        .expect("a frame of control may stand inside a message");
    assert_eq!(client.next().await.expect("a frame").opcode, 9);
    let rest = [unmasked(0x80, b"whole"), unmasked(0x81, b"next")].concat();
    upstream.stream.write_all(&rest).await.expect("written");
    assert_eq!(client.next().await.expect("a frame").payload, b"whole");
    let notice = client.next().await.expect("the notice");
    assert_eq!(notice.opcode, 1);
    let told = String::from_utf8(notice.payload).expect("UTF-8");
    assert!(
        told.starts_with("{\"type\":\"expiring\"") && told.contains(&id.to_string()),
        "{told}"
    );
    assert_eq!(client.next().await.expect("a frame").payload, b"next");
}

#[tokio::test]
async fn a_ticket_opens_one_session_of_the_name_that_came_with_it() {
    let spoken = Spoken::default();
    let services = Services {
        desk: Some(Arc::new(spoken.clone())),
        ..Services::default()
    };
    let gate = setup(&spoken).start_with(services);
    let ada = token("ada", "c1", LONG, "");
    let path = "/.portcullis/ticket?route=/x";
    assert_eq!(post(&gate, path, "Bearer nonsense").await.0.status, 401);
    let (answer, body) = post(&gate, path, &ada).await;
    assert_eq!(answer.status, 201, "{body}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let session = SessionId::from_bytes([5; 16]);
    assert!(body.contains(&session.to_string()), "{body}");
    let knock = format!(
        "GET /x?ticket=one-ticket HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        gate.address
    );
    let (answer, mut socket) = gate.send(&knock).await;
    assert_eq!(answer.status, 101, "{}", answer.text);
    assert_eq!(
        answer.header("portcullis-session"),
        Some(&*session.to_string())
    );
    echoes(&mut socket, "in").await;
    let (again, _) = gate.send(&knock).await;
    assert_eq!(again.status, 401, "a ticket serves once");
    // What is the desk's goes to the desk, with its body.
    let (own, body) = post(&gate, "/.portcullis/else?x", "").await;
    assert_eq!((own.status, &*body), (200, "POST /.portcullis/else?x 0"));
}

#[tokio::test]
async fn while_nobody_knows_what_is_revoked_none_enter_and_all_stay() {
    let gate = gate();
    let ada = token("ada", "c1", LONG, "");
    let (_, mut socket) = enter(&gate, &ada).await;
    gate.gate.set_informed(false);
    let (answer, mut refused) = gate.handshake(&[("authorization", &ada)]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    let body = refused.body(&answer).await;
    assert!(body.contains("\"code\":\"overloaded\""), "{body}");
    assert_eq!(gate.gate.readiness().0, 503);
    echoes(&mut socket, "still here").await;
    gate.gate.set_informed(true);
    gate.gate.set_notes(vec!["the bus is away".into()]);
    enter(&gate, &ada).await;
    let (status, told) = gate.gate.readiness();
    assert_eq!(
        (status.as_u16(), &*told),
        (200, "warning: the bus is away\n")
    );
}

#[tokio::test]
async fn an_observer_is_told_of_each_decision_and_each_end() {
    let told = Arc::new(Told::default());
    let services = Services {
        observer: Some(told.clone()),
        ..Services::default()
    };
    let gate = setup(&Spoken::default()).start_with(services);
    gate.handshake(&[]).await;
    let (id, mut socket) = enter(&gate, &token("ada", "c1", LONG, "")).await;
    echoes(&mut socket, "one").await;
    post(&gate, &refresh(id), &token("bob", "c2", LONG, "")).await;
    post(&gate, &refresh(id), &token("ada", "c2", LONG, "")).await;
    gate.gate.end_session(id, RefusalKind::Revoked);
    assert_eq!(socket.next().await.expect("a close").close().0, 4004);
    drop(socket);
    gate.sessions(0).await;
    let expected = [
        "websocket missing_credential None",
        "websocket admitted Some(\"ada\")",
        "http not_owner Some(\"bob\")",
        "http admitted Some(\"ada\")",
        "ada revoked Some(4004) [1, 1]",
    ];
    within(async {
        while told.0.lock().expect("no panic").len() < expected.len() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(*told.0.lock().expect("no panic"), expected);
}

#[tokio::test]
async fn no_auth_knows_no_revocations() {
    let gate = Setup::new(Auth::Off).start();
    gate.gate.set_informed(false);
    let (answer, _) = gate.handshake(&[]).await;
    assert_eq!(answer.status, 101);
}
