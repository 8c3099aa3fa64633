//! The way there: proxies, TLS, unix sockets, and what is slow or silent.

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::close::Recovery;
use portcullis_client::connect::{Dialer, Proxies, Step, Tls};
use portcullis_client::machine::End;
use portcullis_client::{Address, Cause, ClientBuilder, State, States};
use portcullis_gateway::config::ListenAddress;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{
    Expect, Played, Setup, Shifting, client, millis, quick, states_until, tokens, within,
};

/// A proxy that takes one connection, and answers it as `answer` says. Gives the head that it was sent.
async fn proxy(played: &Played, answer: &str, to: Option<&str>) -> String {
    let mut stream = played.accept().await;
    let head = head(&mut stream).await;
    stream.write_all(answer.as_bytes()).await.expect("written");
    if let Some(to) = to {
        let mut there = TcpStream::connect(to).await.expect("connected");
        // Until either end is gone.
        let _: std::io::Result<_> = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
    }
    head
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    within(async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a byte"));
        }
    })
    .await;
    String::from_utf8(head).expect("text")
}

fn through(played: &Played, user: &str, tls: Tls) -> Dialer {
    let url = format!("http://{user}{}", played.address);
    let lookup = |name: &str| (name == "ALL_PROXY").then(|| url.clone());
    let proxies = Proxies::from_variables(lookup).expect("proxies");
    Dialer::new(tls).with_proxies(proxies)
}

async fn first_failure(states: &mut States) -> portcullis_client::connect::Unreachable {
    loop {
        if let State::Refused(Cause::Unreachable(why)) =
            within(states.next()).await.expect("a state")
        {
            return why;
        }
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_with_the_user_of_its_url() {
    let gate = Setup::of_header(&Shifting::default().with_good()).start();
    let authority = gate.url.trim_start_matches("ws://").trim_end_matches("/x");
    let played = Played::new().await;
    let dialer = through(&played, "me:s3cret@", Tls::none().expect("none"));
    // The name is for the proxy to find; the gate serves loopback names, and sees one.
    let address = Address::parse("ws://gate.localhost:9/x").expect("an address");
    let builder = ClientBuilder::new(address, dialer).settings(quick());
    let mut client = builder
        .tokens(tokens(&["good"]))
        .dangerous_unencrypted_token()
        .start()
        .expect("a client");
    let established = "HTTP/1.1 200 Connection established\r\n\r\n";
    let serve = proxy(&played, established, Some(authority));
    let talk = async {
        client.opened().await;
        client.echoes("through").await;
        client.close();
        client.ended().await
    };
    let (head, _) = within(async { tokio::join!(serve, talk) }).await;
    assert!(
        head.starts_with("CONNECT gate.localhost:9 HTTP/1.1\r\n"),
        "{head}"
    );
    let lower = head.to_lowercase();
    assert!(
        lower.contains("proxy-authorization: basic bwu6cznjcmv0"),
        "{head}"
    );
    assert!(!lower.contains("\r\nauthorization"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_wants_a_user_is_for_a_person_to_mend_and_a_busy_one_is_waited_for() {
    for (status, recovery) in [
        ("407 Proxy Authentication Required", Recovery::Stop),
        ("403 Forbidden", Recovery::Stop),
        ("503 Service Unavailable", Recovery::Retry),
    ] {
        let played = Played::new().await;
        let dialer = through(&played, "", Tls::none().expect("none"));
        let address = Address::parse("wss://gate.example/").expect("an address");
        let client = ClientBuilder::new(address, dialer).settings(quick());
        let client = client.start().expect("a client");
        let mut states = client.states();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let (_, why) = tokio::join!(proxy(&played, &answer, None), first_failure(&mut states));
        assert_eq!((why.step(), why.recovery()), (Step::Proxy, recovery));
    }
}

#[tokio::test]
async fn tls_is_checked_and_through_a_proxy_too() {
    let house = Certificates::new();
    let mut setup = Setup::of_header(&Shifting::default().with_good());
    setup.tls = Some(house.server(false));
    let gate = setup.start();
    let address = || Address::parse(&gate.url).expect("an address");
    let trusting = || Tls::trusting(house.authority.as_bytes()).expect("an authority");

    let builder = ClientBuilder::new(address(), Dialer::new(trusting())).tokens(tokens(&["good"]));
    let mut client = builder.start().expect("a client");
    client.opened().await;
    client.echoes("encrypted").await;

    let stranger = Certificates::named("a stranger");
    let other = Tls::trusting(stranger.authority.as_bytes()).expect("an authority");
    let builder = ClientBuilder::new(address(), Dialer::new(other)).settings(quick());
    let client = builder.start().expect("a client");
    let why = first_failure(&mut client.states()).await;
    assert_eq!((why.step(), why.recovery()), (Step::Tls, Recovery::Retry));
    assert_eq!(
        why.to_string(),
        "TLS fails: its certificate is of no authority that is trusted here (UnknownIssuer)"
    );

    let played = Played::new().await;
    let port = gate
        .url
        .trim_start_matches("wss://localhost:")
        .trim_end_matches("/x");
    // Loopback is reached without a proxy, so the name is another that the certificate has.
    let there = Address::parse(&format!("wss://gate.localhost:{port}/x")).expect("an address");
    let builder = ClientBuilder::new(there, through(&played, "", trusting()));
    let mut client = builder.tokens(tokens(&["good"])).start().expect("a client");
    let established = "HTTP/1.1 200 OK\r\n\r\n";
    let to = format!("127.0.0.1:{port}");
    let serve = proxy(&played, established, Some(&to));
    let talk = async {
        client.opened().await;
        client.echoes("through").await;
        client.close();
        client.ended().await
    };
    within(async { tokio::join!(serve, talk) }).await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_wanted() {
    let house = Certificates::new();
    let mut setup = Setup::of_header(&Shifting::default().with_good());
    setup.tls = Some(house.server(true));
    let gate = setup.start();
    let (certificate, key) = house.leaf("client.example");
    let authority = house.authority.as_bytes();
    let tls = Tls::with_client_certificate(Some(authority), certificate.as_bytes(), key.as_bytes());
    let dialer = Dialer::new(tls.expect("a certificate"));
    let address = || Address::parse(&gate.url).expect("an address");
    let builder = ClientBuilder::new(address(), dialer).tokens(tokens(&["good"]));
    let mut client = builder.start().expect("a client");
    client.opened().await;
    client.echoes("known").await;

    let without = Dialer::new(Tls::trusting(authority).expect("an authority"));
    let builder = ClientBuilder::new(address(), without).settings(quick());
    let client = builder.start().expect("a client");
    let why = first_failure(&mut client.states()).await;
    assert!(matches!(why.step(), Step::Tls | Step::Handshake), "{why}");
    assert!(Tls::with_client_certificate(Some(authority), b"nonsense", key.as_bytes()).is_err());
    assert!(Tls::trusting(b"").is_err());
}

#[tokio::test]
async fn a_gate_on_a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gate.sock");
    let mut setup = Setup::of_header(&Shifting::default().with_good());
    setup.address = ListenAddress::Unix(path.clone());
    let gate = setup.start();
    let mut by_url = gate.client(&tokens(&["good"])).start().expect("a client");
    by_url.opened().await;
    by_url.echoes("by its path").await;
    let address = Address::parse("ws://localhost/x").expect("an address");
    let dialer = Dialer::new(Tls::none().expect("none"));
    let builder = ClientBuilder::new(address.at_unix_socket(&path), dialer);
    let mut named = builder.tokens(tokens(&["good"])).start().expect("a client");
    named.opened().await;
    named.echoes("with a target").await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_handshake_is_given_up_in_time() {
    let played = Played::new().await;
    let builder = client(&played.url()).handshake_timeout(millis(100));
    let client = builder.start().expect("a client");
    let mut states = client.states();
    let (silent, why) = tokio::join!(played.accept(), first_failure(&mut states));
    assert_eq!(
        (why.step(), why.recovery()),
        (Step::Handshake, Recovery::Retry)
    );
    // And again, though the first one is still there.
    let _again = played.accept().await;
    drop(silent);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let played = Played::new().await;
    let url = played.url();
    drop(played);
    let client = client(&url).start().expect("a client");
    let mut states = client.states();
    for _ in 0..3 {
        let why = first_failure(&mut states).await;
        assert_eq!(
            (why.step(), why.recovery()),
            (Step::Connect, Recovery::Retry)
        );
    }
    states_until(&mut states, "waiting").await;
}

#[tokio::test]
async fn a_server_that_answers_something_else_is_left() {
    for (answer, says) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            "no WebSocket",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: wss://b.example/\r\ncontent-length: 0\r\n\r\n",
            "connect there",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            "to another handshake",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
            "another protocol",
        ),
    ] {
        let played = Played::new().await;
        let client = client(&played.url()).start().expect("a client");
        let serve = async {
            let mut stream = played.accept().await;
            head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.expect("written");
            stream
        };
        let (_stream, ended) = tokio::join!(serve, client.ended());
        assert_eq!(ended.end, End::Stopped, "{answer}");
        assert!(ended.to_string().contains(says), "{ended}");
    }
}

#[tokio::test]
async fn a_refusal_whose_body_comes_late_in_chunks_is_read_whole() {
    let played = Played::new().await;
    let client = client(&played.url()).start().expect("a client");
    let serve = async {
        let mut stream = played.accept().await;
        head(&mut stream).await;
        let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/problem+json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("written");
        for chunk in ["8\r\n{\"code\":\r\n", "a\r\n\"revoked\"}\r\n", "0\r\n\r\n"] {
            stream.flush().await.expect("flushed");
            // What was written is read first, mostly.
            tokio::task::yield_now().await;
            stream.write_all(chunk.as_bytes()).await.expect("written");
        }
        stream
    };
    let (_stream, ended) = tokio::join!(serve, client.ended());
    assert_eq!(ended.end, End::LoginNeeded);
    assert!(ended.to_string().contains("revoked"), "{ended}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_and_tried_again() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.ping = millis(100);
    settings.silence = millis(100);
    let client = client(&played.url()).settings(settings);
    let mut client = client.start().expect("a client");
    // It does not read, so it does not answer.
    let _silent = played.socket().await;
    client.opened().await;
    let start = tokio::time::Instant::now();
    let lost = client.lost().await;
    let Cause::Unreachable(why) = lost.cause else {
        panic!("not a refusal")
    };
    assert_eq!((why.step(), why.recovery()), (Step::Open, Recovery::Retry));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    let _again = played.socket().await;
    client.opened().await;
}

#[tokio::test]
async fn a_message_that_takes_its_time_is_no_silence() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.ping = millis(100);
    settings.silence = millis(400);
    let client = client(&played.url()).settings(settings);
    let mut client = client.start().expect("a client");
    let mut slow = played.socket().await.into_inner();
    client.opened().await;
    // One frame of 40 bytes, whose pieces come far apart; pings are not answered.
    slow.write_all(&[0x82, 40]).await.expect("written");
    for _ in 0..20 {
        tokio::time::sleep(millis(60)).await;
        slow.write_all(&[7; 2]).await.expect("written");
    }
    assert_eq!(client.message().await.as_bytes(), [7; 40]);
    // And now it is.
    client.lost().await;
}

#[tokio::test]
async fn a_message_that_is_taken_slowly_is_no_silence_either() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.ping = millis(100);
    settings.silence = millis(400);
    let client = client(&played.url()).settings(settings);
    let mut client = client.start().expect("a client");
    let mut slow = played.socket().await.into_inner();
    client.opened().await;
    // More than the sockets' buffers take, so that it is on its way for as long as it is read.
    let large = vec![7; 24 * 1024 * 1024];
    client
        .send(portcullis_client::Message::binary(large))
        .await
        .expect("queued");
    let start = tokio::time::Instant::now();
    let mut piece = vec![0; 512 * 1024];
    let mut taken = 0;
    while taken < 24 * 1024 * 1024 {
        tokio::time::sleep(millis(20)).await;
        taken += within(slow.read(&mut piece)).await.expect("bytes");
    }
    assert!(start.elapsed() > millis(600), "{:?}", start.elapsed());
    // Nothing is read any more, and nothing answered.
    let lost = client.lost().await;
    assert!(lost.in_doubt.is_empty(), "all of it was written");
}

#[tokio::test]
async fn a_server_that_drops_the_connection_after_our_goodbye_has_ended_it_well() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.comes_back = false;
    let client = client(&played.url()).settings(settings);
    let mut client = client.start().expect("a client");
    let rude = played.socket().await.into_inner();
    client.opened().await;
    client.close();
    let read_and_drop = async {
        rude.readable().await.expect("a goodbye");
        drop(rude);
    };
    let (ended, ()) = tokio::join!(client.ended(), read_and_drop);
    assert_eq!(ended.end, End::Left);
}

/// A throw-away authority.
struct Certificates {
    authority: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
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

    fn leaf(&self, name: &str) -> (String, String) {
        let names = vec![name.to_owned(), "localhost".into(), "gate.localhost".into()];
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        (leaf.pem(), key.serialize_pem())
    }

    fn server(&self, wants_clients: bool) -> Arc<rustls::ServerConfig> {
        let (chain, key) = self.leaf("server.example");
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if wants_clients {
            let mut roots = rustls::RootCertStore::empty();
            let authority = CertificateDer::from_pem_slice(self.authority.as_bytes());
            roots.add(authority.expect("PEM")).expect("an authority");
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(chain, key).expect("a certificate"))
    }
}
