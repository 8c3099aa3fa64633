//! A host that reaches its relay through the door on loopback.

use std::time::Duration;

use portcullis_remote::connector::{
    Forwarder, ForwarderConfig, ForwarderError, ProblemKind, RelayUrl,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::backend::{Backend, DEADLINE, Door};
use super::host::{Running, Setup, Vault, credential, plain_dialer};

const SECRET: &str = "0123456789abcdef";

#[tokio::test]
async fn a_host_reaches_its_relay_with_the_doors_credential() {
    let mut backend = Backend::start().await;
    let door = open(&backend, &Vault::of("good")).await;
    let running = host_behind(&backend, &door, "nobody knows this one");
    let mut road = backend.road().await;
    running.until_state("connected").await;
    road.say(json!({
        "type": "client_message", "client_id": "c", "stream_id": "s", "seq_id": 1,
        "message": {"id": 1, "method": "initialize", "text": "x".repeat(1_000_000)},
    }))
    .await;
    let first = road.hear_and_ack().await;
    assert_eq!(first["type"], "server_message_chunk");
    let asked = backend.asked();
    assert_eq!((asked[0].door, &*asked[0].bearer), (Door::Enrol, "good"));
    assert!(
        asked[1].bearer.starts_with("rc-token-"),
        "the relay's own token is passed on"
    );
}

#[tokio::test]
async fn the_credential_of_the_hosts_user_never_reaches_the_relay() {
    let relay = Listening::start().await;
    let door = open_to(&relay.url(), &Vault::of("good")).await;
    let users = "Authorization: Bearer users-token\r\nchatgpt-account-id: users-account\r\n\
                 Cookie: users-cookie\r\n";
    for (method, place, extra) in [
        ("POST", "server/enroll", ""),
        ("POST", "server/refresh", ""),
        ("GET", "environments/e/clients", ""),
        ("GET", "server", "x-codex-protocol-version: 2\r\n"),
        ("GET", "server", "x-codex-protocol-version: 4\r\n"),
        ("GET", "server", ""),
        (
            "GET",
            "server",
            "x-codex-protocol-version: 3\r\nx-codex-protocol-version: 2\r\n",
        ),
    ] {
        let path = format!("/{SECRET}/wham/remote/control/{place}");
        let extra = format!("{users}{extra}");
        let (_, heard) = tokio::join!(
            request(&door, method, &path, "127.0.0.1", &extra),
            relay.hear()
        );
        assert!(!heard.contains("users-"), "{extra}: {heard}");
        assert!(heard.contains("authorization: bearer good\r\n"), "{heard}");
        assert!(heard.contains("chatgpt-account-id: acme\r\n"), "{heard}");
    }
}

#[tokio::test]
async fn what_the_relay_gave_is_passed_on_without_an_account() {
    let relay = Listening::start().await;
    let door = open_to(&relay.url(), &Vault::of("good")).await;
    let extra = "Authorization: Bearer rc-token\r\nchatgpt-account-id: users-account\r\n\
                 x-codex-protocol-version: 3\r\n";
    for (method, place) in [
        ("GET", "server"),
        ("POST", "server/pair"),
        ("POST", "server/pair/status"),
    ] {
        let path = format!("/{SECRET}/wham/remote/control/{place}");
        let (_, heard) = tokio::join!(
            request(&door, method, &path, "127.0.0.1", extra),
            relay.hear()
        );
        assert!(
            heard.contains("authorization: bearer rc-token\r\n"),
            "{heard}"
        );
        assert!(!heard.contains("chatgpt-account-id"), "{heard}");
    }
}

#[tokio::test]
async fn what_the_relay_answers_is_what_the_host_hears() {
    let mut backend = Backend::start().await;
    let door = open(&backend, &Vault::of("good")).await;
    let running = host_behind(&backend, &door, "x");
    let road = backend.road().await;
    backend.forget();
    drop(road);
    let _road = backend.road().await;
    assert_eq!(
        backend.count(Door::Enrol),
        2,
        "it was told in so many words"
    );
    running.until("back", |now| now.roads == 2).await;
}

#[tokio::test]
async fn a_changed_credential_is_shown_to_the_next_request() {
    let mut backend = Backend::start().await;
    let vault = Vault::empty();
    let door = open(&backend, &vault).await;
    let running = host_behind(&backend, &door, "x");
    let status = running.until("told", |now| now.problem.is_some()).await;
    let problem = status.problem.expect("a problem");
    assert_eq!(
        problem.kind(),
        ProblemKind::RelayDown,
        "a host waits that out"
    );
    assert!(problem.to_string().contains("there is none"), "{problem}");
    assert!(backend.asked().is_empty());

    vault.put_silently(Ok(credential("good")));
    let _road = backend.road().await;
}

#[tokio::test]
async fn closing_the_door_cuts_the_roads_through_it() {
    let mut backend = Backend::start().await;
    let door = open(&backend, &Vault::of("good")).await;
    let running = host_behind(&backend, &door, "x");
    let road = backend.road().await;
    running.until_state("connected").await;
    drop(door.stop);
    tokio::time::timeout(DEADLINE, door.ended)
        .await
        .expect("it ends")
        .expect("it does not panic");
    road.ended().await;
    running.until("lost", |now| now.state != "connected").await;
}

#[tokio::test]
async fn whoever_has_no_business_here_is_not_passed_on() {
    let backend = Backend::start().await;
    let door = open(&backend, &Vault::of("good")).await;
    let enrol = format!("/{SECRET}/wham/remote/control/server/enroll");
    for (path, extra, status) in [
        ("/wham/remote/control/server/enroll", "", 404),
        (
            "/0123456789abcdeF/wham/remote/control/server/enroll",
            "",
            404,
        ),
        (&*format!("/{SECRET}/ps/mcp"), "", 404),
        (&*enrol, "Origin: https://evil.example\r\n", 403),
        (&*enrol, "Content-Length: 70000\r\n", 413),
    ] {
        let answer = ask(&door, path, "127.0.0.1", extra).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path} {extra}: {answer}"
        );
    }
    let answer = ask(&door, &enrol, "evil.example", "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(backend.asked().is_empty());
}

#[tokio::test]
async fn whoever_says_nothing_is_hung_up_on_and_does_not_keep_the_agent_out() {
    let backend = Backend::start().await;
    let door = open_with(&backend.url(), &Vault::empty(), |config| {
        (config.connections, config.head) = (2, Duration::from_millis(50));
    })
    .await;
    let silent = (connect(&door).await, connect(&door).await);
    let enrol = format!("/{SECRET}/wham/remote/control/server/enroll");
    let head = format!("POST {enrol} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
    // The end comes as well, for it asks nothing else.
    let answer = say(&door, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("there is none"), "{answer}");
    drop(silent);
}

#[tokio::test]
async fn whoever_has_no_business_here_is_hung_up_on() {
    let backend = Backend::start().await;
    let door = open_with(&backend.url(), &Vault::of("good"), |config| {
        config.head = DEADLINE * 6;
    })
    .await;
    for (host, status) in [("127.0.0.1", 404), ("evil.example", 403)] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = say(&door, head.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{answer}");
    }
}

#[tokio::test]
async fn roads_take_no_places_from_those_who_ask_and_are_counted() {
    let mut backend = Backend::start().await;
    let door = open_with(&backend.url(), &Vault::of("good"), |config| {
        (config.connections, config.roads) = (1, 1);
    })
    .await;
    let running = host_behind(&backend, &door, "x");
    let _road = backend.road().await;
    running.until_state("connected").await;
    let answer = ask(&door, "/", "127.0.0.1", "").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let path = format!("/{SECRET}/wham/remote/control/server");
    let another = request(&door, "GET", &path, "127.0.0.1", "").await;
    assert!(another.starts_with("HTTP/1.1 503 "), "{another}");
    assert!(another.contains("too many roads"), "{another}");
    assert_eq!(backend.count(Door::Road), 1);
}

#[tokio::test]
async fn a_path_that_can_be_guessed_is_none() {
    let backend = Backend::start().await;
    for path in [
        "",
        "short",
        "0123456789abcde",
        "0123456789abc/..",
        "0123456789abcde\u{e9}",
    ] {
        let relay = RelayUrl::parse(&backend.url()).unwrap();
        let error = ForwarderConfig::new(relay, path, plain_dialer()).unwrap_err();
        assert!(matches!(error, ForwarderError::Path), "{path}");
    }
}

/// A door that is open until `stop` is dropped.
struct Opened {
    base: String,
    stop: DropGuard,
    ended: JoinHandle<()>,
}

async fn open(backend: &Backend, vault: &Vault) -> Opened {
    open_to(&backend.url(), vault).await
}

async fn open_to(relay: &str, vault: &Vault) -> Opened {
    open_with(relay, vault, |_| {}).await
}

async fn open_with(
    relay: &str,
    vault: &Vault,
    change: impl FnOnce(&mut ForwarderConfig),
) -> Opened {
    let relay = RelayUrl::parse(relay).expect("a relay");
    let mut config = ForwarderConfig::new(relay, SECRET, plain_dialer()).expect("a path");
    change(&mut config);
    let forwarder = Forwarder::bind(config, vault.clone())
        .await
        .expect("a port");
    let stop = CancellationToken::new();
    Opened {
        base: forwarder.base_url(),
        ended: TaskTracker::new().spawn(forwarder.run(stop.clone().cancelled_owned())),
        stop: stop.drop_guard(),
    }
}

/// A relay that refuses whatever it is asked, and says what that was.
struct Listening(TcpListener);

impl Listening {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("bound"))
    }

    /// The head of the next request, in small letters.
    async fn hear(&self) -> String {
        let heard = async {
            let (mut socket, _) = self.0.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                assert_ne!(socket.read_buf(&mut head).await.expect("a head"), 0);
            }
            let refused = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            socket.write_all(refused).await.expect("it hears");
            String::from_utf8_lossy(&head).to_ascii_lowercase()
        };
        tokio::time::timeout(DEADLINE, heard)
            .await
            .expect("in time")
    }
}

/// A host that is told the door's URL, and shows a credential of its own.
fn host_behind(backend: &Backend, door: &Opened, token: &str) -> Running {
    let mut setup = Setup::to(backend);
    setup.config.relay = door.base.clone().into();
    setup.start(&Vault::of(token))
}

/// Asks, and gives what is answered until the door hangs up or has said all.
async fn ask(door: &Opened, path: &str, host: &str, extra: &str) -> String {
    request(door, "POST", path, host, extra).await
}

async fn request(door: &Opened, method: &str, path: &str, host: &str, extra: &str) -> String {
    let body = if extra.contains("70000") {
        "x".repeat(70_000)
    } else {
        String::new()
    };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{extra}\r\n");
    say(door, format!("{head}{body}").as_bytes()).await
}

/// Says `bytes`, and gives what is answered until the door hangs up.
async fn say(door: &Opened, bytes: &[u8]) -> String {
    let mut socket = connect(door).await;
    let said = async {
        // It may have heard enough before the end.
        let _: std::io::Result<()> = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        let _: std::io::Result<usize> = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(DEADLINE, said).await.expect("in time")
}

async fn connect(door: &Opened) -> TcpStream {
    let address = door.base.trim_start_matches("http://");
    let (address, _) = address.split_once('/').expect("a path");
    TcpStream::connect(address).await.expect("a connection")
}
