//! A token in each of its places.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use portcullis_boundary::carrier::{Carrier, CarrierKind, Dialect};
use portcullis_boundary::clock::{Clock as _, SystemClock, Timestamp};
use portcullis_boundary::{Credential, Identity, Peer, Refusal, RefusalKind, Rejection, SessionId};
use portcullis_client::machine::End;
use portcullis_client::{Cause, ConfigError, Told};
use portcullis_gateway::{
    Decided, Desk, IssuedTicket, Later, NotRenewed, Observer, Services, SessionEnd, WantedTicket,
};

use super::support::{Expect, Setup, Shifting, client, first_refusal, millis, tokens};

/// Issues tickets, and remembers by which carrier each was admitted.
#[derive(Clone, Default)]
struct House {
    verifier: Shifting,
    admitted: Arc<Mutex<Vec<CarrierKind>>>,
}

const SESSION: SessionId = SessionId::from_bytes([5; 16]);

impl Desk for House {
    fn issue_ticket<'a>(
        &'a self,
        wanted: WantedTicket<'a>,
    ) -> Later<'a, Result<IssuedTicket, Refusal>> {
        Box::pin(async move {
            let identity = wanted.identity.clone().for_session(SESSION);
            self.verifier.set("a-ticket", Ok(identity));
            Ok(IssuedTicket {
                ticket: Credential::new("a-ticket", CarrierKind::Ticket),
                session: SESSION,
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

    fn serve<'a>(&'a self, _: Request<Bytes>, _: &'a Peer) -> Later<'a, Response<Bytes>> {
        Box::pin(async { Response::default() })
    }
}

impl Observer for House {
    fn decided(&self, decided: &Decided<'_>) {
        if let (None, Some(carrier)) = (decided.refusal, decided.carrier) {
            self.admitted.lock().expect("no panic").push(carrier);
        }
    }

    fn ended(&self, _: &SessionEnd<'_>) {}
}

fn house() -> (House, super::support::TestGate) {
    let house = House {
        verifier: Shifting::default()
            .with_good()
            .knows("old", Err(Rejection::Expired)),
        ..House::default()
    };
    let mut setup = Setup::new(&house.verifier);
    setup.services = Services {
        desk: Some(Arc::new(house.clone())),
        observer: Some(Arc::new(house.clone())),
        ..Services::default()
    };
    let gate = setup.start();
    (house, gate)
}

fn origin(url: &str) -> (HeaderName, HeaderValue) {
    let authority = url.trim_start_matches("ws://").trim_end_matches("/x");
    let value = format!("http://{authority}").parse().expect("a value");
    (http::header::ORIGIN, value)
}

#[tokio::test]
async fn a_token_enters_by_each_carrier() {
    for name in [
        "header",
        "subprotocol",
        "ticket",
        "cookie:sid",
        "query",
        "first-message",
    ] {
        let (house, gate) = house();
        let carrier: Carrier = name.parse().expect("a carrier");
        let (header, value) = origin(&gate.url);
        let mut client = gate
            .client(&tokens(&["good"]))
            .carrier(carrier.clone())
            .subprotocol("chat")
            .and_then(|builder| builder.header(header, value))
            .and_then(|builder| builder.start())
            .expect("a client");
        let opened = client.opened().await;
        client.echoes(name).await;
        assert!(opened.session.is_some(), "{name}");
        let admitted = house.admitted.lock().expect("no panic").clone();
        assert_eq!(admitted.last(), Some(&carrier.kind()), "{name}");
        if carrier == Carrier::Ticket {
            assert_eq!(admitted, [CarrierKind::Header, CarrierKind::Ticket]);
            assert_eq!(opened.session, Some(SESSION));
        }
    }
}

#[tokio::test]
async fn a_subprotocol_is_written_in_each_dialect_and_the_other_one_selected() {
    for dialect in Dialect::ALL {
        let (house, gate) = house();
        let mut client = gate
            .client(&tokens(&["good"]))
            .carrier(Carrier::Subprotocol)
            .dialect(dialect)
            .subprotocol("chat")
            .and_then(|builder| builder.start())
            .expect("a client");
        let opened = client.opened().await;
        assert_eq!(opened.subprotocol.as_deref(), Some("chat"), "{dialect:?}");
        let admitted = house.admitted.lock().expect("no panic").clone();
        assert_eq!(admitted, [CarrierKind::Subprotocol], "{dialect:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_understood_by_each_carrier() {
    for (name, told) in [
        ("header", Told::Status(401)),
        ("subprotocol", Told::Status(401)),
        ("ticket", Told::Status(401)),
        ("query", Told::Status(401)),
        ("first-message", Told::Code(4001)),
    ] {
        let (_, gate) = house();
        let client = gate
            .client(&tokens(&["old"]))
            .carrier(name.parse().expect("a carrier"))
            .subprotocol("chat")
            .and_then(|builder| builder.start())
            .expect("a client");
        let refused = first_refusal(&mut client.states()).await;
        assert_eq!(refused.kind, Some(RefusalKind::Expired), "{name}");
        assert_eq!(refused.told, told, "{name}");
        let ended = client.ended().await;
        assert_eq!(ended.end, End::LoginNeeded, "{name}");
        // The last word is the source's: there is nothing fresher.
        assert!(matches!(ended.cause, Some(Cause::NoToken(_))), "{name}");
    }
}

#[tokio::test]
async fn a_first_message_says_when_the_session_expires() {
    let soon = SystemClock::new().now().after(millis(60_000));
    let verifier = Shifting::default().knows("m", Ok(Identity::new("ada").expires_at(soon, soon)));
    let gate = Setup::new(&verifier).start();
    let mut client = gate
        .client(&tokens(&["m"]))
        .carrier(Carrier::FirstMessage)
        .start()
        .expect("a client");
    let opened = client.opened().await;
    let expected = Timestamp::from_secs(soon.as_secs());
    assert_eq!(opened.expires_at, Some(expected));
    assert!(opened.session.is_some());
}

#[tokio::test]
async fn a_token_does_not_travel_where_others_can_read_it_unless_told() {
    let plain = || client("ws://gate.example/").tokens(tokens(&["good"]));
    let error = plain().start().expect_err("unencrypted");
    let host = "gate.example".into();
    assert_eq!(error, ConfigError::Unencrypted { host });
    assert!(plain().dangerous_unencrypted_token().start().is_ok());
    assert!(client("ws://gate.example/").start().is_ok());
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_dialled() {
    let builder = || client("ws://127.0.0.1:1/").tokens(tokens(&["good"]));
    let alone = builder().carrier(Carrier::Subprotocol).start();
    assert_eq!(alone.expect_err("alone"), ConfigError::SubprotocolAlone);
    for own in ["host", "connection", "upgrade", "sec-websocket-key"] {
        let name = HeaderName::from_static(own);
        let value = HeaderValue::from_static("x");
        assert!(builder().header(name, value).is_err(), "{own}");
    }
    for bad in ["", "a b", "a,b", "é"] {
        assert!(builder().subprotocol(bad).is_err(), "{bad:?}");
    }
    let never = builder().handshake_timeout(millis(0)).start();
    assert!(matches!(never, Err(ConfigError::Time { .. })));
}
