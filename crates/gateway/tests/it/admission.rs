//! Who enters, and what the others are told.

use portcullis_boundary::carrier::{Carrier, Carriers};
use portcullis_boundary::policy::{Auth, OriginRule, Signal};

use tokio::io::AsyncWriteExt;

use super::support::{Setup, TOKEN, bearer, masked, required, required_with, tokens, within};

#[tokio::test]
async fn a_good_token_enters_and_is_echoed() {
    let gate = Setup::new(required()).start();
    let mut socket = gate.enter().await;
    gate.sessions(1).await;
    socket.frame(1, b"hello").await;
    let seen = socket.next().await.expect("an echo");
    assert_eq!((seen.opcode, seen.payload.as_slice()), (1, &b"hello"[..]));
    drop(socket);
    gate.sessions(0).await;
}

#[tokio::test]
async fn a_native_client_is_denied_by_http_and_keeps_its_connection() {
    let gate = Setup::new(required()).start();
    let (answer, mut socket) = gate.handshake(&[("authorization", "Bearer wrong")]).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    let body = socket.body(&answer).await;
    assert!(body.contains("\"code\":\"invalid_credential\""), "{body}");
    let again = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", gate.address);
    use tokio::io::AsyncWriteExt as _;
    socket
        .stream
        .write_all(again.as_bytes())
        .await
        .expect("still open");
    let mut head = String::new();
    within(async {
        use tokio::io::AsyncReadExt as _;
        while !head.contains("\r\n\r\n") {
            let mut bytes = [0; 1024];
            let read = socket.stream.read(&mut bytes).await.expect("read");
            assert_ne!(read, 0);
            head.push_str(std::str::from_utf8(&bytes[..read]).expect("UTF-8"));
        }
    })
    .await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert!(
        head.contains("missing_credential") || head.contains("Bearer realm"),
        "{head}"
    );
}

#[tokio::test]
async fn a_browser_is_accepted_and_hears_the_code() {
    let gate = Setup::new(required()).start();
    let origin = format!("http://{}", gate.address);
    let offer = "chat, portcullis.bearer.d3Jvbmc";
    let lines = [
        ("origin", origin.as_str()),
        ("sec-websocket-protocol", offer),
    ];
    let (answer, mut socket) = gate.handshake(&lines).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let told = socket.next().await.expect("a close").close();
    assert_eq!(told, (1008, "missing_credential".into()));
    socket.frame(8, &1008u16.to_be_bytes()).await;
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn a_foreign_page_is_never_accepted() {
    let mut setup = Setup::new(required());
    setup.policy = setup
        .policy
        .with_origin(OriginRule::None)
        .with_signal(Signal::Close);
    let gate = setup.start();
    let lines = [
        ("origin", "http://evil.example"),
        ("authorization", &bearer()),
    ];
    assert_eq!(gate.handshake(&lines).await.0.status, 403);
    assert_eq!(gate.sessions(0).await, ());
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_loopback() {
    let gate = Setup::new(Auth::Off).start();
    let text = "GET / HTTP/1.1\r\nhost: rebound.example\r\n\r\n";
    let (answer, mut socket) = gate.send(text).await;
    assert_eq!(answer.status, 403);
    assert!(socket.body(&answer).await.contains("host_forbidden"));
}

#[tokio::test]
async fn plain_requests_pass_the_same_rules() {
    let gate = Setup::new(required()).start();
    let request = |lines: &str| {
        format!(
            "POST /x HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\n{lines}\r\nhi",
            gate.address
        )
    };
    let (answer, mut socket) = gate.send(&request("")).await;
    assert_eq!(answer.status, 401);
    assert!(socket.body(&answer).await.contains("missing_credential"));
    let (answer, mut socket) = gate
        .send(&request(&format!("authorization: {}\r\n", bearer())))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(socket.body(&answer).await, "hi");
}

#[tokio::test]
async fn a_first_message_admits_and_is_answered() {
    let carriers = Carriers::new([Carrier::FirstMessage]);
    let gate = Setup::new(required_with(tokens(TOKEN), carriers)).start();
    let (answer, mut socket) = gate.handshake(&[]).await;
    assert_eq!(answer.status, 101);
    socket
        .frame(
            1,
            format!("{{\"type\":\"auth\",\"token\":\"{TOKEN}\"}}").as_bytes(),
        )
        .await;
    socket.frame(1, b"early").await;
    let welcome = socket.next().await.expect("an answer");
    assert_eq!(
        welcome.payload,
        b"{\"type\":\"auth_ok\",\"expires_at\":null}"
    );
    assert_eq!(socket.next().await.expect("an echo").payload, b"early");
}

#[tokio::test]
async fn a_wrong_or_malformed_first_message_is_told_its_code() {
    for (message, reason) in [
        ("{\"type\":\"auth\",\"token\":\"no\"}", "invalid_credential"),
        ("hello", "malformed_credential"),
    ] {
        let carriers = Carriers::new([Carrier::FirstMessage]);
        let gate = Setup::new(required_with(tokens(TOKEN), carriers)).start();
        let (_, mut socket) = gate.handshake(&[]).await;
        socket.frame(1, message.as_bytes()).await;
        assert_eq!(
            socket.next().await.expect("a close").close(),
            (1008, reason.into())
        );
    }
}

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

#[tokio::test]
async fn an_upgrade_to_something_else_is_a_plain_request() {
    let gate = Setup::new(required()).start();
    let text = format!(
        "GET /x HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nauthorization: {}\r\n\r\n",
        gate.address,
        bearer()
    );
    let (answer, mut socket) = gate.send(&text).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(socket.body(&answer).await.contains("echo"));
}

#[tokio::test]
async fn a_first_message_begins_with_text_and_may_come_in_pieces() {
    let message = format!("{{\"type\":\"auth\",\"token\":\"{TOKEN}\"}}");
    let (first, rest) = message.as_bytes().split_at(9);
    let carriers = || Carriers::new([Carrier::FirstMessage]);
    let gate = Setup::new(required_with(tokens(TOKEN), carriers())).start();

    let (_, mut socket) = gate.handshake(&[]).await;
    let pieces = [masked(0x01, first), masked(0x89, b"?"), masked(0x80, rest)].concat();
    socket.stream.write_all(&pieces).await.expect("written");
    assert_eq!(socket.next().await.expect("a pong").opcode, 10);
    assert!(
        socket
            .next()
            .await
            .expect("an answer")
            .payload
            .starts_with(b"{\"type\":\"auth_ok\"")
    );

    let (_, mut socket) = gate.handshake(&[]).await;
    socket
        .stream
        .write_all(&masked(0x80, message.as_bytes()))
        .await
        .expect("written");
    let told = socket.next().await.expect("a close").close();
    assert_eq!(told, (1008, "malformed_credential".into()));
}
