//! Our host on our relay.

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_remote::connector::{
    AccountRule, Connector, ConnectorConfig, ConnectorHandle, Credential, Host, MemoryEnrolments,
    ProblemKind, Status, Upstream,
};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::backend::DEADLINE;
use super::host::{Vault, plain_dialer};
use crate::support::{Served, Server, TestGuest, until};

#[tokio::test]
async fn a_guest_speaks_with_the_process_behind_the_host() {
    let server = Server::default().start().await;
    let handle = dial(&server, &vault("ada"));
    connected(&handle, 1).await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    guest.initialize().await;
    for n in 0..300 {
        guest.say(&json!({"id": n, "method": "turn"})).await;
    }
    for n in 0..300 {
        assert_eq!(guest.hear().await["id"], n);
    }
    guest.leave().await;
    is(&handle, |now| now.guests == 0).await;
    handle.shutdown();
    handle.stopped().await;
    until(|| server.relay.roads().is_empty()).await;
}

#[tokio::test]
async fn long_messages_go_both_ways() {
    let server = Server::default().start().await;
    let handle = dial(&server, &vault("ada"));
    connected(&handle, 1).await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    guest.initialize().await;
    for n in 0..4 {
        let text = "\u{e9}".repeat(500_000);
        let long = json!({"id": n, "method": "turn", "text": text});
        guest.say(&long).await;
        assert_eq!(guest.hear().await, long);
    }
}

#[tokio::test]
async fn a_guest_that_talks_while_the_road_is_away_is_heard_when_it_is_back() {
    let server = Server::default().start().await;
    let handle = dial(&server, &vault("ada"));
    connected(&handle, 1).await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    guest.initialize().await;
    for round in 0..5 {
        for n in 0..10 {
            guest
                .say(&json!({"id": round * 20 + n, "method": "turn"}))
                .await;
        }
        handle.disable();
        is(&handle, |now| now.state == "disabled").await;
        for n in 10..20 {
            guest
                .say(&json!({"id": round * 20 + n, "method": "turn"}))
                .await;
        }
        handle.enable().unwrap();
        for n in 0..20 {
            assert_eq!(guest.hear().await["id"], round * 20 + n);
        }
    }
    connected(&handle, 6).await;
}

#[tokio::test]
async fn a_road_that_is_cut_at_any_byte_loses_nothing_and_doubles_nothing() {
    let server = Server::default().start().await;
    let cutter = Cutter::before(server.address).await;
    let handle = dial_at(cutter.address, &vault("ada"), "stdio:cat");
    connected(&handle, 1).await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    guest.initialize().await;
    let text = "x".repeat(100);
    for n in 0..1600 {
        guest
            .say(&json!({"id": n, "method": "turn", "text": text}))
            .await;
        // Several are under way at once.
        if n >= 20 {
            assert_eq!(guest.hear().await["id"], n - 20);
        }
    }
    for n in 1580..1600 {
        assert_eq!(guest.hear().await["id"], n);
    }
    let roads = handle.status().roads;
    assert!(roads >= 5, "{roads}");
}

#[tokio::test]
async fn a_relay_that_was_killed_finds_its_host_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::default().start_on(listener);
    let book = server.book.clone();
    let handle = dial(&server, &vault("ada"));
    let before = connected(&handle, 1).await;
    server.kill().await;
    is(&handle, |now| now.problem.is_some()).await;

    let listener = TcpListener::bind(address).await.unwrap();
    let again = Server {
        book,
        ..Server::default()
    };
    let server = again.start_on(listener);
    let after = connected(&handle, 2).await;
    assert_eq!(after.enrolment, before.enrolment);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    guest.initialize().await;
}

#[tokio::test]
async fn a_host_that_was_removed_enrols_anew_and_one_that_was_revoked_says_so() {
    let server = Server::default().start().await;
    let handle = dial(&server, &vault("ada"));
    let before = connected(&handle, 1).await.enrolment.expect("enrolled");
    assert!(server.relay.remove_host(&before.server_id).await.unwrap());
    let after = connected(&handle, 2).await.enrolment.expect("enrolled");
    assert_ne!(after.server_id, before.server_id);

    assert!(server.relay.revoke_host(&after.server_id).await.unwrap());
    let status = is(&handle, |now| now.state == "waiting_for_credential").await;
    let problem = status.problem.expect("a problem");
    assert_eq!(problem.kind(), ProblemKind::Revoked, "{problem}");
    let text = problem.to_string();
    let begins = "the relay says that this host was revoked: ";
    assert!(text.starts_with(begins), "{text}");
}

#[tokio::test]
async fn a_credential_that_the_relay_does_not_know_waits_for_one_that_it_knows() {
    let server = Server::default().start().await;
    let vault = vault("stranger");
    let handle = dial(&server, &vault);
    let status = is(&handle, |now| now.state == "waiting_for_credential").await;
    assert_eq!(
        status.problem.expect("a problem").kind(),
        ProblemKind::Refused
    );
    vault.put(Ok(Credential::bearer("ada")));
    connected(&handle, 1).await;
}

#[tokio::test]
async fn a_guest_whose_process_ends_is_told() {
    let server = Server::default().start().await;
    let upstream = r#"stdio:read x; echo "$x"; read x; echo "$x""#;
    let handle = dial_before(&server, &vault("ada"), upstream);
    connected(&handle, 1).await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    guest.initialize().await;
    guest.say(&json!({"method": "last"})).await;
    assert_eq!(guest.hear().await["method"], "last");
    let (code, _) = guest.end().await;
    assert!((1000..5000).contains(&code), "{code}");
}

/// A network that cuts each connection after so many bytes, a few more each time.
struct Cutter {
    address: SocketAddr,
}

impl Cutter {
    async fn before(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            let mut bytes = 20_011;
            while let Ok((mut host, _)) = listener.accept().await {
                bytes += 7919;
                tasks.spawn(async move {
                    let mut relay = TcpStream::connect(relay).await.expect("it listens");
                    let (mut from_host, mut to_host) = host.split();
                    let (mut from_relay, mut to_relay) = relay.split();
                    let mut up = (&mut from_host).take(bytes);
                    let mut down = (&mut from_relay).take(bytes);
                    // Whichever is cut first cuts the other, in the middle of a frame as a rule.
                    tokio::select! {
                        _ = tokio::io::copy(&mut up, &mut to_relay) => {}
                        _ = tokio::io::copy(&mut down, &mut to_host) => {}
                    }
                });
            }
        });
        Self { address }
    }
}

fn vault(token: &str) -> Vault {
    let vault = Vault::empty();
    vault.put_silently(Ok(Credential::bearer(token)));
    vault
}

fn dial(server: &Served, vault: &Vault) -> ConnectorHandle {
    dial_before(server, vault, "stdio:cat")
}

fn dial_before(server: &Served, vault: &Vault, upstream: &str) -> ConnectorHandle {
    dial_at(server.address, vault, upstream)
}

fn dial_at(relay: SocketAddr, vault: &Vault, upstream: &str) -> ConnectorHandle {
    let url = format!("http://{relay}/");
    let mut config = ConnectorConfig::new(url, Host::new("vm", "0aa3"), plain_dialer());
    config.account = AccountRule::Unnamed;
    config.times.first_backoff = Duration::from_millis(40);
    config.times.max_backoff = Duration::from_millis(200);
    let upstream = Upstream::parse(upstream).expect("an upstream");
    let enrolments = MemoryEnrolments::new();
    let (connector, handle) = Connector::new(config, vault.clone(), enrolments, upstream);
    TaskTracker::new().spawn(connector.run());
    handle
}

/// Waits until it has opened so many roads, and the last is open.
async fn connected(handle: &ConnectorHandle, roads: u64) -> Status {
    is(handle, |now| now.state == "connected" && now.roads >= roads).await
}

async fn is(handle: &ConnectorHandle, is: impl Fn(&Status) -> bool) -> Status {
    let mut status = handle.watch();
    match tokio::time::timeout(DEADLINE, status.wait_for(|now| is(now))).await {
        Ok(status) => status.expect("it runs").clone(),
        Err(_) => panic!("{:?}", handle.status()),
    }
}
