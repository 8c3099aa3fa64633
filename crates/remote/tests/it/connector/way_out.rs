//! The way to the relay: an authority of the house, and a proxy in between.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use portcullis_client::connect::{Dialer, Proxies, Tls};
use portcullis_remote::connector::{Forwarder, ForwarderConfig, ProblemKind, RelayUrl, Upstream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::backend::{Backend, DEADLINE, HostRoad};
use super::host::{Setup, Vault};

/// A name that nobody finds: whoever reaches it has gone through the proxy.
const ELSEWHERE: &str = "relay.example:8443";

#[tokio::test]
async fn a_relay_of_a_private_authority_is_reached_by_tls() {
    let house = House::new();
    let mut backend = Backend::start().await;
    let front = house.front(backend.address()).await;
    let mut setup = Setup::to(&backend);
    setup.config.relay = format!("https://localhost:{}/backend-api", front.port()).into();
    setup.config.dialer = Dialer::new(house.trusted());
    let running = setup.start(&Vault::of("good"));
    carries_a_long_message(backend.road().await).await;
    running.until_state("connected").await;
}

#[tokio::test]
async fn a_certificate_that_is_no_good_is_told_in_words_and_the_relay_asked_nothing() {
    let (house, stranger) = (House::new(), House::named("a stranger"));
    for (host, trusted, why) in [
        (
            "localhost",
            stranger.trusted(),
            "no authority that is trusted here",
        ),
        ("127.0.0.1", house.trusted(), "not valid for name"),
    ] {
        let backend = Backend::start().await;
        let front = house.front(backend.address()).await;
        let mut setup = Setup::to(&backend);
        let relay = format!("https://{host}:{}/backend-api", front.port());
        setup.config.relay = relay.clone().into();
        setup.config.dialer = Dialer::new(trusted);
        let running = setup.start(&Vault::of("good"));
        // It may be mended there, so it is tried again.
        let status = running.until("told twice", |now| now.failures >= 2).await;
        let problem = status.problem.expect("a problem");
        assert_eq!(problem.kind(), ProblemKind::RelayDown);
        let text = problem.to_string();
        assert!(
            text.contains(&relay) && text.contains("TLS fails: "),
            "{text}"
        );
        assert!(text.contains(why), "{text}");
        assert!(backend.asked().is_empty());
    }
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_for_requests_and_for_the_road() {
    let house = House::new();
    let mut backend = Backend::start().await;
    let front = house.front(backend.address()).await;
    let proxy = Proxy::before(front, []).await;
    let mut setup = Setup::to(&backend);
    setup.config.relay = format!("https://{ELSEWHERE}/backend-api").into();
    setup.config.dialer = proxy.dialer(house.trusted());
    let _running = setup.start(&Vault::of("good"));
    carries_a_long_message(backend.road().await).await;
    let asked = proxy.asked();
    assert_eq!(asked.len(), 2, "an enrolment and a road: {asked:?}");
    for head in asked {
        let tunnel = format!("CONNECT {ELSEWHERE} HTTP/1.1\r\n");
        assert!(head.starts_with(&tunnel), "{head}");
        let head = head.to_lowercase();
        assert!(
            head.contains("proxy-authorization: basic bwu6czn"),
            "{head}"
        );
        assert!(!head.contains("\r\nauthorization"), "{head}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_in_words_and_asked_again() {
    let house = House::new();
    let mut backend = Backend::start().await;
    let front = house.front(backend.address()).await;
    let proxy = Proxy::before(front, ["407 Proxy Authentication Required"]).await;
    let mut setup = Setup::to(&backend);
    setup.config.relay = format!("https://{ELSEWHERE}/backend-api").into();
    setup.config.dialer = proxy.dialer(house.trusted());
    let running = setup.start(&Vault::of("good"));
    let status = running.until("told", |now| now.problem.is_some()).await;
    let text = status.problem.expect("a problem").to_string();
    assert!(
        text.contains("the proxy does not help: it wants a user and a password"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
    let _road = backend.road().await;
    running.until_state("connected").await;
}

#[tokio::test]
async fn the_door_on_loopback_has_the_same_way_out() {
    let house = House::new();
    let mut backend = Backend::start().await;
    let front = house.front(backend.address()).await;
    let proxy = Proxy::before(front, []).await;
    let relay = RelayUrl::parse(&format!("https://{ELSEWHERE}/backend-api")).expect("a relay");
    let dialer = proxy.dialer(house.trusted());
    let config = ForwarderConfig::new(relay, "0123456789abcdef", dialer).expect("a path");
    let door = Forwarder::bind(config, Vault::of("good"))
        .await
        .expect("a port");
    let mut setup = Setup::to(&backend);
    setup.config.relay = door.base_url().into();
    TaskTracker::new().spawn(door.run(std::future::pending()));
    let _running = setup.start(&Vault::of("the host's own"));
    carries_a_long_message(backend.road().await).await;
    assert_eq!(backend.asked()[0].bearer, "good");
    assert_eq!(proxy.asked().len(), 2);
}

#[tokio::test]
async fn an_upstream_may_have_a_way_of_its_own() {
    let house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let front = house.front(listener.local_addr().expect("bound")).await;
    let mut backend = Backend::start().await;
    let mut setup = Setup::to(&backend);
    let upstream = Upstream::parse(&format!("wss://localhost:{}/", front.port()));
    setup.upstream = upstream
        .expect("an upstream")
        .with_dialer(Dialer::new(house.trusted()));
    let _running = setup.start(&Vault::of("good"));
    let mut road = backend.road().await;
    let say = async {
        road.say(first_message("")).await;
    };
    let serve = async {
        let (stream, _) = listener.accept().await.expect("a guest");
        tokio_tungstenite::accept_async(stream)
            .await
            .expect("a handshake")
    };
    let both = async { tokio::join!(say, serve) };
    let ((), _upstream) = timeout(DEADLINE, both).await.expect("in time");
}

/// Chunks go one way, and come back.
async fn carries_a_long_message(mut road: HostRoad) {
    road.say(first_message(&"x".repeat(1_000_000))).await;
    let heard = road.hear_and_ack().await;
    assert_eq!(heard["type"], "server_message_chunk");
}

fn first_message(text: &str) -> serde_json::Value {
    json!({
        "type": "client_message", "client_id": "c", "stream_id": "s", "seq_id": 1,
        "message": {"id": 1, "method": "initialize", "text": text},
    })
}

/// A house with an authority of its own.
struct House {
    authority: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl House {
    fn new() -> Self {
        Self::named("the house")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        Self {
            authority: issuer.pem(),
            issuer,
        }
    }

    fn trusted(&self) -> Tls {
        Tls::trusting(self.authority.as_bytes()).expect("an authority")
    }

    /// A door with TLS before `plain`.
    async fn front(&self, plain: SocketAddr) -> SocketAddr {
        let names = vec!["relay.example".to_owned(), "localhost".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = CertificateDer::from_pem_slice(leaf.pem().as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tasks.spawn(async move {
                    // Who does not believe the certificate hangs up.
                    let mut encrypted = acceptor.accept(stream).await?;
                    let mut plain = TcpStream::connect(plain).await?;
                    copy_bidirectional(&mut encrypted, &mut plain).await
                });
            }
        });
        address
    }
}

/// A proxy of HTTP that opens tunnels, all of them to one place. It wants a user.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// One that leads to `there` when it has refused with each of `refusals`.
    async fn before<const N: usize>(there: SocketAddr, refusals: [&'static str; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (heads, tasks) = (Arc::clone(&asked), TaskTracker::new());
        let mut refusals = VecDeque::from(refusals);
        tasks.clone().spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (heads, refusal) = (Arc::clone(&heads), refusals.pop_front());
                tasks.spawn(async move {
                    let head = read_head(&mut client).await?;
                    heads.lock().expect("no panic").push(head);
                    if let Some(status) = refusal {
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                        return client.write_all(answer.as_bytes()).await;
                    }
                    let mut there = TcpStream::connect(there).await?;
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                    copy_bidirectional(&mut client, &mut there).await.map(drop)
                });
            }
        });
        Self { address, asked }
    }

    /// A way out through it.
    fn dialer(&self, tls: Tls) -> Dialer {
        let url = format!("http://me:s3cret@{}", self.address);
        let lookup = |name: &str| (name == "HTTPS_PROXY").then(|| url.clone());
        Dialer::new(tls).with_proxies(Proxies::from_variables(lookup).expect("a proxy"))
    }

    /// The heads that it was sent.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
