//! What upstreams see, and what their failures look like.

use std::time::Duration;

use http::{HeaderValue, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::policy::Auth;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{
    Played, Setup, TOKEN, bearer, masked, required, required_with, tokens, unmasked, within,
};

#[tokio::test]
async fn the_upstream_learns_who_it_is_and_never_the_credential() {
    let (played, address) = Played::new().await;
    let mut setup = Setup::new(required()).before(address);
    setup.upstream.authorization = Some(HeaderValue::from_static("Bearer for-upstream"));
    let gate = setup.start();
    let auth = bearer();
    let lines = [
        ("authorization", auth.as_str()),
        ("portcullis-subject", "root"),
        ("x-forwarded-for", "9.9.9.9"),
        ("x-kept", "1"),
    ];
    let ((answer, _), (head, _)) = tokio::join!(gate.handshake(&lines), played.switch());
    assert_eq!(answer.status, 101);
    let lines: Vec<&str> = head.lines().collect();
    assert!(
        lines.contains(&"authorization: Bearer for-upstream"),
        "{head}"
    );
    assert!(lines.contains(&"portcullis-subject: capability"), "{head}");
    assert!(lines.contains(&"x-forwarded-for: 127.0.0.1"), "{head}");
    assert!(lines.contains(&"x-kept: 1"), "{head}");
    assert!(
        lines.contains(&format!("host: {address}").as_str()),
        "{head}"
    );
    assert!(!head.contains("let-me-in") && !head.contains("root") && !head.contains("9.9.9.9"));
}

#[tokio::test]
async fn a_credential_that_nobody_asked_for_does_not_pass_unless_the_route_says_so() {
    let lines = [
        ("authorization", "Bearer of-somebody"),
        (
            "sec-websocket-protocol",
            "chat, portcullis.bearer.b2Ytc29tZWJvZHk",
        ),
        ("cookie", "theme=dark; sid=of-somebody"),
    ];
    for (auth, passes) in [
        (Auth::Off, false),
        (Auth::Public, false),
        (Auth::Public, true),
    ] {
        let (played, address) = Played::new().await;
        let mut setup = Setup::new(auth).before(address);
        setup.upstream.pass_credential = passes;
        setup.upstream.carriers = Carriers::new(["cookie:sid".parse().expect("a carrier")]);
        let gate = setup.start();
        let ((answer, _), (head, _)) = tokio::join!(gate.handshake(&lines), played.switch());
        assert_eq!(answer.status, 101);
        let kept: Vec<&str> = head.lines().collect();
        assert_eq!(kept.contains(&"authorization: Bearer of-somebody"), passes);
        assert_eq!(kept.contains(&"sec-websocket-protocol: chat"), !passes);
        assert_eq!(kept.contains(&"cookie: theme=dark"), !passes, "{head}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502_and_1014() {
    let (played, address) = Played::new().await;
    drop(played);
    let gate = Setup::new(required()).before(address).start();
    let auth = bearer();
    let (answer, mut socket) = gate.handshake(&[("authorization", &auth)]).await;
    assert_eq!(answer.status, 502);
    assert!(socket.body(&answer).await.contains("upstream_unreachable"));
    let origin = format!("http://{}", gate.address);
    let lines = [
        ("authorization", auth.as_str()),
        ("origin", origin.as_str()),
    ];
    let (answer, mut socket) = gate.handshake(&lines).await;
    assert_eq!(answer.status, 101);
    let told = socket.next().await.expect("a close").close();
    assert_eq!(told, (1014, "upstream_unreachable".into()));
}

#[tokio::test]
async fn an_upstreams_refusal_is_passed_on_with_its_body() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let auth = bearer();
    let lines = [("authorization", auth.as_str())];
    for (framing, framed) in [
        ("transfer-encoding: chunked", "5\r\nsorry\r\n0\r\n\r\n"),
        ("content-length: 5", "sorry"),
    ] {
        let refuse = async {
            let (_, mut upstream) = played.accept().await;
            let head = format!("HTTP/1.1 409 Conflict\r\n{framing}\r\nx-why: busy\r\n\r\n");
            for part in [head.as_str(), framed] {
                let written = upstream.stream.write_all(part.as_bytes()).await;
                written.expect("written");
                tokio::task::yield_now().await;
            }
            upstream
        };
        let ((answer, mut client), _held) = tokio::join!(gate.handshake(&lines), refuse);
        assert_eq!((answer.status, answer.header("x-why")), (409, Some("busy")));
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(client.body(&answer).await, "sorry");
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_504() {
    let (played, address) = Played::new().await;
    let mut setup = Setup::new(required()).before(address);
    setup.upstream.response_timeout = Duration::from_millis(100);
    let gate = setup.start();
    let auth = bearer();
    let lines = [("authorization", auth.as_str())];
    let ((answer, _), _held) = tokio::join!(gate.handshake(&lines), played.accept());
    assert_eq!(answer.status, 504);
}

#[tokio::test]
async fn an_upstream_lost_in_mid_message_is_told_with_a_real_code() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    upstream
        .stream
        .write_all(&unmasked(0x01, b"half a mess"))
        .await
        .expect("written");
    assert_eq!(
        client.next().await.expect("a fragment").payload,
        b"half a mess"
    );
    drop(upstream);
    let told = client.next().await.expect("a close").close();
    assert_eq!(told, (1014, "upstream_unreachable".into()));
}

#[tokio::test]
async fn an_upstreams_own_close_is_passed_on_untouched() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    let close = [&4321u16.to_be_bytes()[..], b"bye"].concat();
    upstream
        .stream
        .write_all(&unmasked(0x88, &close))
        .await
        .expect("written");
    assert_eq!(
        client.next().await.expect("a close").close(),
        (4321, "bye".into())
    );
    client.frame(8, &4321u16.to_be_bytes()).await;
    let mut answer = vec![0; 8];
    within(upstream.stream.read_exact(&mut answer))
        .await
        .expect("the client's answer");
    assert_eq!(answer, masked(0x88, &4321u16.to_be_bytes()));
    drop(upstream);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_client_whose_close_the_upstream_does_not_answer_is_answered_by_the_gate() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    client.frame(8, &4000u16.to_be_bytes()).await;
    let mut close = vec![0; 8];
    within(upstream.stream.read_exact(&mut close))
        .await
        .expect("the client's close");
    drop(upstream);
    assert_eq!(client.next().await.expect("an answer").close().0, 4000);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_slow_client_slows_its_upstream_and_loses_nothing() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    const FRAMES: usize = 40_000;
    let writer = async {
        for n in 0..FRAMES {
            let payload = (n as u64).to_be_bytes().repeat(15);
            upstream
                .stream
                .write_all(&unmasked(0x82, &payload))
                .await
                .expect("written");
        }
        upstream
    };
    let reader = async {
        for n in 0..FRAMES {
            let seen = client.next().await.expect("a frame");
            assert_eq!(seen.payload[..8], (n as u64).to_be_bytes(), "{n}");
            if n % 1000 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let _upstream = tokio::join!(writer, reader).0;
}

#[tokio::test]
async fn a_kept_connection_does_not_hold_up_draining() {
    let gate = Setup::new(required()).start();
    let text = format!(
        "GET /x HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\n\r\n",
        gate.address,
        bearer()
    );
    let (answer, client) = gate.send(&text).await;
    assert_eq!(answer.status, 200);
    drop(client);
    gate.gate.drain();
    within(gate.gate.wait_drained()).await;
}

#[tokio::test]
async fn the_crumbs_of_an_http2_cookie_are_one_header_upstream_and_one_to_the_carrier() {
    let (played, address) = Played::new().await;
    let carriers = Carriers::new(["cookie:sid".parse().expect("a carrier")]);
    let auth = required_with(tokens(TOKEN), carriers);
    let gate = Setup::new(auth).before(address).start();
    let socket = tokio::net::TcpStream::connect(gate.address).await;
    let io = TokioIo::new(socket.expect("connected"));
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .expect("shaken");
    let request = Request::get(format!("http://{}/x", gate.address))
        .header("origin", format!("http://{}", gate.address))
        .header("cookie", "theme=dark")
        .header("cookie", format!("sid={TOKEN}"))
        .header("cookie", "lang=en")
        .body(String::new())
        .expect("a request");
    let answer = async {
        let (head, mut upstream) = played.accept().await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        upstream.stream.write_all(answer).await.expect("written");
        head
    };
    let exchange = async { tokio::join!(client.send_request(request), answer) };
    let (response, head) = tokio::select! {
        both = within(exchange) => both,
        ended = connection => panic!("{ended:?}"),
    };
    assert_eq!(response.expect("a response").status(), 200);
    let cookies: Vec<_> = head
        .lines()
        .filter(|line| line.starts_with("cookie"))
        .collect();
    assert_eq!(cookies, ["cookie: theme=dark; lang=en"], "{head}");
}
