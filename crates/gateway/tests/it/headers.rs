//! What upstreams see of a request.

use http::{HeaderValue, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::policy::Auth;
use tokio::io::AsyncWriteExt;

use super::support::{Played, Setup, TOKEN, bearer, required, required_with, tokens, within};

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
