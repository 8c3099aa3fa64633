//! What upstreams see, and what their failures look like.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::support::{Played, Setup, bearer, required, unmasked};

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
