//! Guests and their upstreams.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use portcullis_remote::connector::Upstream;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_util::task::TaskTracker;

use super::backend::{Backend, DEADLINE, HostRoad};
use super::host::{Running, Setup, Vault};

#[tokio::test]
async fn a_guest_is_connected_to_a_process_of_its_own_and_hears_it_in_order() {
    let (mut road, _host) = host("stdio:cat").await;
    for stream in ["s1", "s2"] {
        road.say(initialize(stream)).await;
        let heard = road.hear_and_ack().await;
        assert_eq!(heard["message"], initialize(stream)["message"]);
        assert_eq!(
            (&heard["stream_id"], &heard["seq_id"]),
            (&json!(stream), &json!(1))
        );
    }
    for n in 2..50 {
        road.say(message("s1", n)).await;
    }
    for n in 2..50 {
        let heard = road.hear_and_ack().await;
        assert_eq!(heard["message"]["n"], n);
        assert_eq!(heard["seq_id"], n);
    }
}

#[tokio::test]
async fn a_message_that_is_spread_over_lines_is_one_line_to_a_process() {
    let (mut road, _host) = host("stdio:cat").await;
    let mut first = initialize("s1");
    first["message"]["params"] = json!({"text": "a\nb"});
    let pretty = serde_json::to_string_pretty(&first).unwrap();
    road.say_text(pretty).await;
    assert_eq!(road.hear_and_ack().await["message"], first["message"]);
}

#[tokio::test]
async fn what_a_process_says_beside_its_messages_is_passed_over() {
    let (mut road, _host) =
        host(r#"stdio:echo hello; echo; echo '[1]'; echo '{"n":1}'; cat"#).await;
    road.say(initialize("s1")).await;
    assert_eq!(road.hear_and_ack().await["message"], json!({"n": 1}));
}

#[tokio::test]
async fn guests_outlive_their_road_and_hear_the_rest_on_the_next_one() {
    let mut backend = Backend::start().await;
    let running = start(&backend, "stdio:cat");
    let mut road = backend.road().await;
    road.say(initialize("s1")).await;
    road.hear_and_ack().await;
    road.say(message("s1", 2)).await;
    let unacknowledged = road.hear().await.unwrap();
    drop(road);

    let mut road = backend.road().await;
    assert_eq!(
        road.hear_and_ack().await,
        unacknowledged,
        "it is said again"
    );
    // What was heard before is heard once.
    road.say(message("s1", 2)).await;
    road.say(message("s1", 3)).await;
    assert_eq!(road.hear_and_ack().await["message"]["n"], 3);
    assert_eq!(running.handle.status().guests, 1);

    running.handle.disable();
    road.ended().await;
    running.handle.enable().unwrap();
    let mut road = backend.road().await;
    road.say(message("s1", 4)).await;
    assert_eq!(road.hear_after(3).await["message"]["n"], 4);
}

#[tokio::test]
async fn what_an_upstream_says_while_there_is_no_road_is_said_on_the_next() {
    let mut backend = Backend::start().await;
    let trigger = tempfile::tempdir().unwrap();
    let file = trigger.path().join("go");
    let command = format!(
        r#"stdio:read x; echo '{{"n":1}}'; until [ -e '{}' ]; do sleep 0.02; done; for n in 2 3 4; do echo '{{"n":'$n'}}'; done; cat"#,
        file.display()
    );
    let running = start(&backend, &command);
    let mut road = backend.road().await;
    road.say(initialize("s1")).await;
    assert_eq!(road.hear_and_ack().await["message"]["n"], 1);
    backend.book().takes_tokens = false;
    drop(road);
    running.until("away", |now| now.state != "connected").await;
    std::fs::write(&file, "").unwrap();
    backend.book().takes_tokens = true;
    let mut road = backend.road().await;
    for n in 2..5 {
        assert_eq!(road.hear_after(n - 1).await["message"]["n"], n);
    }
}

#[tokio::test]
async fn a_guest_whose_upstream_ends_hears_its_last_words_and_that_it_is_closed() {
    let (mut road, host) = host(r#"stdio:read x; echo '{"n":1}'"#).await;
    road.say(initialize("s1")).await;
    assert_eq!(road.hear_and_ack().await["message"]["n"], 1);
    let closed = road.hear_and_ack().await;
    assert_eq!(
        (&closed["type"], &closed["status"]),
        (&json!("pong"), &json!("unknown"))
    );
    assert_eq!(closed["stream_id"], "s1");
    host.until("alone", |now| now.guests == 0).await;
}

#[tokio::test]
async fn a_guest_whose_upstream_cannot_be_reached_is_told_that_it_is_closed() {
    for upstream in ["unix:/nowhere/at/all", "stdio:exit 1", "ws://127.0.0.1:1"] {
        let (mut road, _host) = host(upstream).await;
        road.say(initialize("s1")).await;
        let closed = road.hear_and_ack().await;
        assert_eq!(closed["status"], "unknown", "{upstream}: {closed}");
    }
}

#[tokio::test]
async fn all_that_a_process_started_ends_when_its_guest_leaves() {
    let command = r#"stdio:sleep 1000 & echo '{"pid":'$!'}'; echo '{"pid":'$$'}'; wait"#;
    let (mut road, host) = host(command).await;
    road.say(initialize("s1")).await;
    let mut pids = Vec::new();
    for _ in 0..2 {
        pids.push(
            road.hear_and_ack().await["message"]["pid"]
                .as_i64()
                .unwrap(),
        );
    }
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    road.say(json!({"type":"client_closed","client_id":"c","stream_id":"s1"}))
        .await;
    gone(&pids).await;
    host.until("alone", |now| now.guests == 0).await;

    road.say(initialize("s2")).await;
    let pid = road.hear_and_ack().await["message"]["pid"]
        .as_i64()
        .unwrap();
    host.handle.shutdown();
    host.ended().await.unwrap();
    gone(&[pid]).await;
}

#[tokio::test]
async fn a_second_initialize_of_a_guest_is_a_second_process() {
    let (mut road, host) = host(r#"stdio:read x; echo '{"pid":'$$'}'; cat"#).await;
    let mut pids = Vec::new();
    for _ in 0..2 {
        road.say(initialize("s1")).await;
        pids.push(
            road.hear_and_ack().await["message"]["pid"]
                .as_i64()
                .unwrap(),
        );
    }
    assert_ne!(pids[0], pids[1]);
    gone(&pids[..1]).await;
    assert!(is_alive(pids[1]));
    assert_eq!(host.handle.status().guests, 1);
}

#[tokio::test]
async fn a_process_that_does_not_read_has_its_requests_refused_and_other_messages_end_its_guest() {
    let mut backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    setup.upstream = Upstream::parse("stdio:sleep 1000").unwrap();
    setup.config.limits.inbound = 4;
    let _host = setup.start(&Vault::of("good"));
    let mut road = backend.road().await;
    road.say(initialize("s1")).await;
    // Of a message of this size, a pipe takes only a part.
    let text = "x".repeat(100_000);
    let mut refused = None;
    for n in 2..20 {
        let mut request = message("s1", n);
        request["message"] = json!({"id": n, "method": "turn/start", "params": {"text": text}});
        road.say(request).await;
        if n >= 8 {
            // All but one that is being written, and four that wait.
            let heard = road.hear_and_ack().await;
            assert_eq!(heard["message"]["error"]["code"], -32001, "{heard}");
            refused = refused.or_else(|| heard["message"]["id"].as_i64());
        }
    }
    let first = refused.expect("one was refused");
    assert!((6..=8).contains(&first), "{first}");
    road.say(message("s1", 20)).await;
    loop {
        let heard = road.hear_and_ack().await;
        if heard["type"] == "pong" {
            assert_eq!(heard["status"], "unknown");
            break;
        }
        assert_eq!(heard["message"]["error"]["code"], -32001, "{heard}");
    }
}

#[tokio::test]
async fn a_pong_comes_when_the_upstream_has_taken_what_was_said_before_and_holds_up_nobody_else() {
    let (mut road, _host) = host(r#"stdio:read x; case $x in *s1*) sleep 1000;; esac; cat"#).await;
    road.say(initialize("s1")).await;
    road.say(ping("s1")).await;
    assert_eq!(road.hear_and_ack().await["status"], "active");
    let mut long = message("s1", 2);
    long["message"]["text"] = "x".repeat(1_000_000).into();
    road.say(long).await;
    road.say(ping("s1")).await;
    road.say(initialize("s2")).await;
    for n in 2..20 {
        road.say(message("s2", n)).await;
        road.say(ping("s2")).await;
    }
    let mut pongs = 0;
    while pongs < 18 {
        let heard = road.hear_and_ack().await;
        assert_eq!(heard["stream_id"], "s2", "{heard}");
        if heard["type"] == "pong" {
            assert_eq!(heard["status"], "active");
            pongs += 1;
        }
    }
}

#[tokio::test]
async fn a_pong_that_was_asked_for_on_an_earlier_road_is_not_said_on_this_one() {
    let mut backend = Backend::start().await;
    let gate = tempfile::tempdir().unwrap();
    let file = gate.path().join("go");
    let command = format!(
        "stdio:until [ -e '{}' ]; do sleep 0.02; done; cat",
        file.display()
    );
    let running = start(&backend, &command);
    let mut road = backend.road().await;
    let mut long = initialize("s1");
    long["message"]["text"] = "x".repeat(100_000).into();
    road.say(long).await;
    road.say(ping("s1")).await;
    // All of that was heard, for what comes after it is answered.
    road.say(ping("nobody")).await;
    assert_eq!(road.hear_and_ack().await["stream_id"], "nobody");
    drop(road);
    let mut road = backend.road().await;
    running.until_state("connected").await;
    std::fs::write(&file, "").unwrap();
    road.say(message("s1", 2)).await;
    road.say(ping("s1")).await;
    let mut pongs = 0;
    let mut messages = 0;
    while messages < 2 || pongs < 1 {
        let heard = road.hear_and_ack().await;
        pongs += i32::from(heard["type"] == "pong");
        messages += i32::from(heard["type"] == "server_message");
    }
    road.say(ping("nobody")).await;
    let next = road.hear_and_ack().await;
    assert_eq!(next["stream_id"], "nobody", "there was one pong only");
}

#[tokio::test]
async fn as_many_are_served_as_may_be_and_the_next_is_told() {
    let mut backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    setup.config.limits.guests = 2;
    let running = setup.start(&Vault::of("good"));
    let mut road = backend.road().await;
    for stream in ["s1", "s2"] {
        road.say(initialize(stream)).await;
        assert_eq!(road.hear_and_ack().await["type"], "server_message");
    }
    road.say(initialize("s3")).await;
    let told = road.hear_and_ack().await;
    assert_eq!(
        (&told["status"], &told["stream_id"]),
        (&json!("unknown"), &json!("s3"))
    );
    road.say(json!({"type":"client_closed","client_id":"c","stream_id":"s1"}))
        .await;
    road.say(initialize("s4")).await;
    assert_eq!(road.hear_and_ack().await["type"], "server_message");
    running.until("two", |now| now.guests == 2).await;
}

#[tokio::test]
async fn nothing_more_is_taken_from_upstreams_while_nothing_is_acknowledged() {
    let command =
        "stdio:read x; n=0; while [ $n -lt 400 ]; do n=$((n+1)); echo '{\"n\":'$n'}'; done; cat";
    let (mut road, _host) = host(command).await;
    road.say(initialize("s1")).await;
    let mut heard = Vec::new();
    while heard.len() < 128 {
        heard.push(road.hear().await.unwrap());
    }
    // Nothing comes, and that takes a moment to be seen.
    let more = tokio::time::timeout(Duration::from_millis(200), road.hear()).await;
    assert!(more.is_err(), "{more:?}");
    let ack = json!({"type":"ack","client_id":"c","stream_id":"s1","seq_id":128});
    road.say(ack).await;
    for n in 129..=400 {
        assert_eq!(road.hear_and_ack().await["message"]["n"], n);
    }
}

#[tokio::test]
async fn a_long_message_of_an_upstream_goes_in_chunks() {
    let (mut road, _host) = host("stdio:cat").await;
    let mut long = initialize("s1");
    long["message"]["text"] = "\u{e9}".repeat(300_000).into();
    road.say(long.clone()).await;
    let mut bytes = Vec::new();
    loop {
        use base64::Engine;
        let chunk = road.hear_and_ack().await;
        assert_eq!(chunk["type"], "server_message_chunk");
        assert_eq!(chunk["seq_id"], 1);
        let part = chunk["message_chunk_base64"].as_str().unwrap();
        bytes.extend(
            base64::engine::general_purpose::STANDARD
                .decode(part)
                .unwrap(),
        );
        if bytes.len() as u64 == chunk["message_size_bytes"].as_u64().unwrap() {
            break;
        }
    }
    let message: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(message, long["message"]);
}

#[tokio::test]
async fn garbage_from_the_relay_is_passed_over() {
    let (mut road, _host) = host("stdio:cat").await;
    for garbage in [
        "",
        "null",
        "{}",
        r#"{"type":"x","client_id":"c"}"#,
        r#"{"type":"ack"}"#,
    ] {
        road.say_text(garbage.to_owned()).await;
    }
    road.say_bytes(b"binary").await;
    road.say(message("s1", 1)).await;
    road.say(initialize("s1")).await;
    assert_eq!(road.hear_and_ack().await["message"]["method"], "initialize");
}

#[tokio::test]
async fn an_upstream_may_be_a_websocket_over_tcp_or_unix_that_asks_for_a_bearer() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("agent.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/agent", tcp.local_addr().unwrap());
    let tasks = TaskTracker::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = unix.accept().await {
            echo(stream, "/").await;
        }
    });
    tasks.spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            echo(stream, "/agent").await;
        }
    });
    for upstream in [url, format!("unix:{}", path.display())] {
        let mut backend = Backend::start().await;
        let mut setup = Setup::to(&backend);
        setup.upstream = Upstream::parse(&upstream).unwrap().with_bearer("inner");
        let _host = setup.start(&Vault::of("good"));
        let mut road = backend.road().await;
        road.say(initialize("s1")).await;
        let heard = road.hear_and_ack().await;
        assert_eq!(heard["message"], initialize("s1")["message"], "{upstream}");
        road.say(message("s1", 2)).await;
        assert_eq!(road.hear_and_ack().await["message"]["n"], 2);
        let mut bye = message("s1", 3);
        bye["message"]["bye"] = true.into();
        road.say(bye).await;
        assert_eq!(
            road.hear_and_ack().await["status"],
            "unknown",
            "it has closed"
        );
    }
}

/// Says what it hears, until it is told goodbye.
async fn echo(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, path: &str) {
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().path(), path);
        assert_eq!(request.headers()["authorization"], "Bearer inner");
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, check)
        .await
        .expect("it works");
    while let Some(Ok(frame)) = socket.next().await {
        if !frame.is_text() {
            continue;
        }
        if frame.to_text().expect("it works").contains("bye") {
            socket.close(None).await.expect("it works");
        } else {
            socket.send(frame).await.expect("it works");
        }
    }
}

async fn host(upstream: &str) -> (HostRoad, Running) {
    let mut backend = Backend::start().await;
    let running = start(&backend, upstream);
    (backend.road().await, running)
}

fn start(backend: &Backend, upstream: &str) -> Running {
    let mut setup = Setup::to(backend);
    setup.upstream = Upstream::parse(upstream).expect("it works");
    setup.start(&Vault::of("good"))
}

fn initialize(stream: &str) -> Value {
    json!({
        "type": "client_message",
        "client_id": "c",
        "stream_id": stream,
        "seq_id": 1,
        "message": {"id": 1, "method": "initialize", "params": {"stream": stream}},
    })
}

/// The notification with number `n`.
fn message(stream: &str, n: u64) -> Value {
    json!({
        "type": "client_message",
        "client_id": "c",
        "stream_id": stream,
        "seq_id": n,
        "message": {"method": "note", "n": n},
    })
}

fn ping(stream: &str) -> Value {
    json!({"type": "ping", "client_id": "c", "stream_id": stream})
}

/// Whether there is such a process, and it is no corpse.
fn is_alive(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().expect("it works").starts_with('Z'))
}

async fn gone(pids: &[i64]) {
    let gone = async {
        while pids.iter().any(|pid| is_alive(*pid)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("they end");
}
