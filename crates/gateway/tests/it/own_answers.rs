//! What the gate answers itself: the check route, and health.

use portcullis_boundary::carrier::{Carrier, Carriers};

use super::support::{Setup, TOKEN, bearer, required, required_with, tokens};

#[tokio::test]
async fn check_answers_what_the_handshake_would() {
    let gate = Setup::new(required()).start();
    let ask = |lines: &str| {
        format!(
            "GET /.portcullis/check?route=%2Fx HTTP/1.1\r\nhost: {}\r\n{lines}\r\n",
            gate.address
        )
    };
    let (answer, mut socket) = gate.send(&ask("authorization: Bearer no\r\n")).await;
    assert_eq!(answer.status, 200);
    let told: serde_json::Value = serde_json::from_str(&socket.body(&answer).await).expect("JSON");
    assert_eq!(told["admitted"], false);
    assert_eq!(told["code"], "invalid_credential");
    assert_eq!(told["recovery"], "login");
    assert_eq!(
        (&told["status"], &told["close_code"]),
        (&401.into(), &1008.into())
    );
    let (answer, mut socket) = gate
        .send(&ask(&format!("authorization: {}\r\n", bearer())))
        .await;
    assert_eq!(socket.body(&answer).await, "{\"admitted\":true}");
    assert_eq!(gate.gate.sessions(), 0);
}

#[tokio::test]
async fn a_page_asks_the_check_route_with_what_its_handshake_would_offer() {
    let carriers = Carriers::new([Carrier::Subprotocol]);
    let gate = Setup::new(required_with(tokens(TOKEN), carriers)).start();
    let token = "portcullis.bearer.bGV0LW1lLWlu";
    for (offer, body) in [
        (format!("{token}, chat"), "{\"admitted\":true}"),
        (format!("chat\r\nportcullis-protocol: {token}"), "true"),
        ("chat".into(), "missing_credential"),
        (token.into(), "malformed_credential"),
    ] {
        let text = format!(
            "GET /.portcullis/check?route=/x HTTP/1.1\r\nhost: {}\r\n\
             portcullis-protocol: {offer}\r\n\r\n",
            gate.address
        );
        let (answer, mut socket) = gate.send(&text).await;
        let told = socket.body(&answer).await;
        assert!(told.contains(body), "{offer}: {told}");
    }
}

#[tokio::test]
async fn a_browser_is_told_what_a_welcome_page_may_ask_and_others_nothing() {
    let gate = Setup::new(required()).start();
    let good = format!("http://{}", gate.address);
    for (origin, status) in [(good.as_str(), 204), ("https://evil.example", 403)] {
        let text = format!(
            "OPTIONS /.portcullis/check?route=/x HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\n\
             access-control-request-method: GET\r\n\
             access-control-request-headers: authorization\r\n\r\n",
            gate.address
        );
        let (answer, _) = gate.send(&text).await;
        assert_eq!(answer.status, status);
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, (status == 204).then_some(origin));
        let headers = answer.header("access-control-allow-headers");
        assert_eq!(headers.is_some(), status == 204, "{}", answer.text);
    }
}

#[tokio::test]
async fn health_is_answered_without_a_credential() {
    let gate = Setup::new(required()).start();
    for path in ["/healthz", "/readyz?x=1"] {
        let text = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", gate.address);
        let (answer, _) = gate.send(&text).await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, Some("0"))
        );
    }
}
