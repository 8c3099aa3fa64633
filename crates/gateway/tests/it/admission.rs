//! Who enters, and what the others are told.

use portcullis_boundary::policy::{Auth, OriginRule, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Setup, bearer, required, within};

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
    socket
        .stream
        .write_all(again.as_bytes())
        .await
        .expect("still open");
    let mut head = String::new();
    within(async {
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
