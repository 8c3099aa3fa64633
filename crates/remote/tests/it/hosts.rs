//! What hosts, and those who own them, ask of the relay.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use portcullis_remote::relay::{Account, Change, Renamed, Settings, Socket, Upgrade};
use portcullis_remote::wire::Version;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tower_service::Service;

use super::first_page;
use super::support::{
    Answer, MemoryBook, Process, Served, Server, TestGuest, TestHost, ask, enrolment, until, within,
};

const ENROL: &str = "POST /backend-api/wham/remote/control/server/enroll";
const REFRESH: &str = "POST /wham/remote/control/server/refresh";
const PAIR: &str = "POST /wham/remote/control/server/pair";
const STATUS: &str = "POST /wham/remote/control/server/pair/status";
const CLAIM: &str = "POST /wham/remote/control/pair/claim";
const UNKNOWN: &str = r#"{"detail":"Remote app server not found"}"#;

#[tokio::test]
async fn an_enrolment_is_answered_with_all_that_a_host_asks_for() {
    let server = Server::default().start().await;
    let body = enrolment("vm", "i").to_string();
    let answer = ask(server.address, ENROL, Some("ada"), &[], &body).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: application/json"),
        "{}",
        answer.head
    );
    assert!(
        answer.head.contains("cache-control: no-store"),
        "{}",
        answer.head
    );
    let given = answer.json();
    for name in ["server_id", "environment_id", "remote_control_token"] {
        assert!(
            given[name].as_str().is_some_and(|it| it.len() > 20),
            "{given}"
        );
    }
    let expires_at = given["expires_at"].as_str().expect("a text");
    assert_eq!(
        (expires_at.len(), &expires_at[19..]),
        (20, "Z"),
        "{expires_at}"
    );
    // A host of old says less.
    let body = r#"{"name":"old","os":"linux","arch":"x86_64","app_server_version":"0.120.0"}"#;
    let answer = ask(server.address, ENROL, Some("ada"), &[], body).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_is_no_enrolment_is_told_why() {
    let server = Server::default().start().await;
    let ask = |line, account, body| ask(server.address, line, account, &[], body);
    let refused = ask(ENROL, None, "{}").await;
    assert_eq!(
        (refused.status, &*refused.body),
        (401, r#"{"detail":"Authentication required"}"#)
    );
    let refused = ask(ENROL, Some("ada"), "{}").await;
    assert_eq!(refused.status, 422);
    let nameless = enrolment(" ", "i").to_string();
    assert_eq!(ask(ENROL, Some("ada"), &nameless).await.status, 422);
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(ask(ENROL, Some("ada"), &long).await.status, 400);
    let get = ENROL.replace("POST", "GET");
    let refused = ask(&get, Some("ada"), "").await;
    assert_eq!(refused.status, 405);
    assert!(refused.head.contains("allow: post"), "{}", refused.head);
    for path in [
        "POST /ps/mcp",
        "GET /wham/accounts/check",
        "POST /wham/remote/control/x",
    ] {
        let refused = ask(path, Some("ada"), "").await;
        assert_eq!(
            (refused.status, &*refused.body),
            (404, r#"{"detail":"Not Found"}"#)
        );
    }
    assert_eq!(server.count("server/enroll"), 5);
    server.book.set_away(true);
    let body = enrolment("vm", "i").to_string();
    let refused = ask(ENROL, Some("ada"), &body).await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: 2"), "{}", refused.head);
}

#[tokio::test]
async fn what_hosts_and_accounts_ask_is_read_in_one_way_only() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    for path in [
        "/x/wham",
        "/backend-api/x/wham",
        "//wham",
        "/wham/wham",
        "wham",
    ] {
        let line = PAIR.replace("/wham", path);
        let refused = ask(server.address, &line, Some(&host.token), &[], "{}").await;
        assert_ne!(refused.status, 200, "{path}");
    }
    let control = "/backend-api/wham/remote/control";
    let accounts = server
        .relay
        .host_end()
        .below("/backend-api")
        .only_accounts();
    let all = server.relay.host_end().below("/backend-api");
    for (path, of_account) in [
        ("server", false),
        ("server/pair", false),
        ("server/pair/status", false),
        ("server/enroll", true),
        ("pair/claim", true),
        ("environments/env_1/clients", true),
    ] {
        for (mut end, is_asked) in [(accounts.clone(), of_account), (all.clone(), true)] {
            let request = http::Request::put(format!("{control}/{path}"))
                .body(http_body_util::Empty::<Bytes>::new())
                .expect("a request");
            let status = end.call(request).await.map(|it| it.status().as_u16());
            assert_eq!(status, Ok(if is_asked { 405 } else { 404 }), "{path}");
        }
    }
}

#[tokio::test]
async fn an_answer_says_what_its_account_has_changed_and_a_refusal_says_nothing() {
    let server = Server::default().start().await;
    let changed = |name| {
        let request = http::Request::post("/wham/remote/control/server/enroll")
            .extension(Account::new("ada"))
            .body(Full::new(Bytes::from(enrolment(name, "i").to_string())));
        let answered = server.relay.host_end().call(request.expect("a request"));
        async {
            answered
                .await
                .map(|it| it.extensions().get::<Change>().cloned())
        }
    };
    let Ok(Some(Change::Enrolled { host, name, is_new })) = changed("vm").await else {
        panic!("it has enrolled")
    };
    assert_eq!((&*name, is_new), ("vm", true));
    let again = Change::Enrolled {
        host: host.clone(),
        name,
        is_new: false,
    };
    assert_eq!(changed("vm").await, Ok(Some(again)));
    assert_eq!(changed(" ").await, Ok(None));
    server.relay.revoke_host(&host).await.expect("a book");
    assert_eq!(changed("vm").await, Ok(None));
}

#[tokio::test]
async fn who_enrols_again_is_the_host_that_it_was_unless_that_has_a_road() {
    let server = Server::default().start().await;
    let first = TestHost::enrol_from(server.address, "ada", "vm", "i").await;
    let again = TestHost::enrol_from(server.address, "ada", "vm", "i").await;
    assert_eq!(again.server_id, first.server_id);
    assert_ne!(again.token, first.token);
    let _road = again.dial().await;
    until(|| server.relay.roads().len() == 1).await;
    let second = TestHost::enrol_from(server.address, "ada", "vm", "i").await;
    assert_ne!(second.server_id, first.server_id);
    let listed = server.relay.list_hosts(Some("ada"), first_page()).await;
    let mut names: Vec<_> = listed
        .expect("a book")
        .items
        .into_iter()
        .map(|it| it.host.name)
        .collect();
    names.sort();
    assert_eq!(names, ["vm".into(), "vm-2".into()]);
}

#[tokio::test]
async fn an_account_has_as_many_hosts_as_it_may() {
    let server = Server::with(|settings| settings.hosts = 1).start().await;
    TestHost::enrol(server.address, "ada", "one").await;
    let body = enrolment("two", "i2").to_string();
    let refused = ask(server.address, ENROL, Some("ada"), &[], &body).await;
    assert_eq!(refused.status, 409);
    TestHost::enrol(server.address, "bob", "one").await;
}

#[tokio::test]
async fn a_refresh_gives_another_token_and_the_one_before_counts_no_more() {
    let server = Server::default().start().await;
    let host = TestHost::enrol_from(server.address, "ada", "vm", "i").await;
    let answer = refresh(&server, &host, "ada", "i").await;
    assert_eq!(answer.status, 200);
    let given = answer.json();
    assert_eq!(given["server_id"], *host.server_id);
    assert_eq!(given["environment_id"], *host.environment_id);
    let token = given["remote_control_token"].as_str().expect("a text");
    assert!(host.try_dial(token).await.is_ok());
    let refused = host.try_dial(&host.token).await.err();
    let detail = r#"{"detail":"The server token is not valid"}"#.to_owned();
    assert_eq!(refused, Some((401, detail)));
}

#[tokio::test]
async fn what_is_not_there_any_more_makes_a_host_enrol_anew() {
    let server = Server::default().start().await;
    let host = TestHost::enrol_from(server.address, "ada", "vm", "i").await;
    for (account, installation) in [("bob", "i"), ("ada", "other")] {
        let refused = refresh(&server, &host, account, installation).await;
        assert_eq!((refused.status, &*refused.body), (404, UNKNOWN));
    }
    let _road = host.dial().await;
    until(|| server.relay.roads().len() == 1).await;
    assert_eq!(server.relay.remove_host(&host.server_id).await, Ok(true));
    until(|| server.relay.roads().is_empty()).await;
    let refused = refresh(&server, &host, "ada", "i").await;
    assert_eq!((refused.status, &*refused.body), (404, UNKNOWN));
    let refused = host.try_dial(&host.token).await.err();
    assert_eq!(refused, Some((404, UNKNOWN.to_owned())));
    TestHost::enrol_from(server.address, "ada", "vm", "i").await;
}

#[tokio::test]
async fn an_installation_that_was_revoked_does_not_come_back_by_itself() {
    let server = Server::default().start().await;
    let host = TestHost::enrol_from(server.address, "ada", "vm", "i").await;
    server
        .relay
        .revoke_host(&host.server_id)
        .await
        .expect("a book");
    let revoked = r#"{"detail":"Remote app server was revoked"}"#;
    let refused = refresh(&server, &host, "ada", "i").await;
    assert_eq!((refused.status, &*refused.body), (403, revoked));
    let body = enrolment("vm", "i").to_string();
    let refused = ask(server.address, ENROL, Some("ada"), &[], &body).await;
    assert_eq!((refused.status, &*refused.body), (403, revoked));
    server
        .relay
        .remove_host(&host.server_id)
        .await
        .expect("a book");
    TestHost::enrol_from(server.address, "ada", "vm", "i").await;
}

#[tokio::test]
async fn a_host_that_is_revoked_while_it_dials_has_no_road() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let (near, far) = tokio::io::duplex(4096);
    let (open, opened) = tokio::sync::oneshot::channel::<()>();
    let upgrade = Upgrade::new(async move {
        opened.await.map_err(std::io::Error::other)?;
        Ok(Socket::new(near))
    });
    let request = http::Request::get("/wham/remote/control/server")
        .header("authorization", format!("Bearer {}", host.token))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("x-codex-protocol-version", "3")
        .extension(upgrade)
        .body(http_body_util::Empty::<Bytes>::new())
        .expect("a request");
    let response = server.relay.host_end().call(request).await;
    assert_eq!(response.map(|it| it.status().as_u16()), Ok(101));
    let revoked = server.relay.revoke_host(&host.server_id).await;
    assert_eq!(revoked, Ok(true));
    open.send(()).expect("it is waited for");
    let mut road = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    let end = within(road.next()).await.expect("a frame");
    let Ok(Message::Close(Some(frame))) = end else {
        panic!("{end:?}")
    };
    assert_eq!(
        (frame.code.into(), frame.reason.as_str()),
        (4004_u16, "revoked")
    );
}

#[tokio::test]
async fn a_token_expires_and_a_road_that_is_open_stays() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    server.clock.advance(Duration::from_secs(3601));
    let refused = host.try_dial(&host.token).await.err();
    let detail = r#"{"detail":"The server token has expired"}"#.to_owned();
    assert_eq!(refused, Some((401, detail)));
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
}

#[tokio::test]
async fn nobody_has_a_road_with_a_token_that_is_not_its_own() {
    let server = Server::default().start().await;
    let one = TestHost::enrol(server.address, "ada", "one").await;
    let two = TestHost::enrol(server.address, "ada", "two").await;
    let refused = one.try_dial(&two.token).await.err().map(|it| it.0);
    assert_eq!(refused, Some(401));
    // The credential of an account is none of a host, but for hosts of old.
    let refused = one.try_dial("ada").await.err().map(|it| it.0);
    assert_eq!(refused, Some(401));
    let mut old = one.clone();
    old.version = Version::V2;
    assert!(old.try_dial("ada").await.is_ok());
    let refused = old.try_dial("bob").await.err().map(|it| it.0);
    assert_eq!(refused, Some(401));
    let refused = old.try_dial("stranger").await.err().map(|it| it.0);
    assert_eq!(refused, Some(401));
}

#[tokio::test]
async fn the_book_is_not_asked_about_what_is_no_server_token() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    server.book.set_away(true);
    let pair = |token: String| async move {
        ask(server.address, PAIR, Some(&token), &[], "{}")
            .await
            .status
    };
    let long = format!("{}x", host.token);
    for token in ["x", "prt_", "prt_wrong", &*long, &host.token[1..]] {
        assert_eq!(pair(token.to_owned()).await, 401, "{token}");
    }
    assert_eq!(pair(host.token.clone()).await, 503);
}

#[tokio::test]
async fn a_host_is_renamed_and_its_guests_come_by_the_new_name() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    TestHost::enrol(server.address, "ada", "taken").await;
    let rename = |name| server.relay.rename_host(&host.server_id, name);
    assert_eq!(rename("taken").await, Ok(Renamed::NameTaken));
    assert_eq!(rename("desk").await, Ok(Renamed::Done));
    assert!(
        TestGuest::try_enter(server.address, "ada", "desk")
            .await
            .is_ok()
    );
    let gone = TestGuest::try_enter(server.address, "ada", "vm").await;
    assert_eq!(gone.err(), Some(404));
}

#[tokio::test]
async fn who_claims_a_code_becomes_a_client_until_it_is_taken_back() {
    for with_manual in [false, true] {
        let server = whose_ada(MemoryBook::default()).await;
        let host = TestHost::enrol(server.address, "ada", "vm").await;
        let given = pair(&server, &host, with_manual).await;
        assert_eq!(given["server_id"], *host.server_id);
        assert_eq!(given["environment_id"], *host.environment_id);
        let code = if with_manual {
            json!({"manual_pairing_code": given["manual_pairing_code"]})
        } else {
            assert!(given.get("manual_pairing_code").is_none(), "{given}");
            json!({"pairing_code": given["pairing_code"]})
        };
        assert_eq!(
            status(&server, &host, &code).await,
            json!({"claimed": false})
        );
        let entered = TestGuest::try_enter(server.address, "bob", "vm").await;
        assert_eq!(entered.err(), Some(403));
        let mut claim = code.clone();
        claim["display_name"] = "Bob's phone".into();
        let answer = ask(server.address, CLAIM, Some("bob"), &[], &claim.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let client = answer.json()["client_id"].clone();
        assert_eq!(
            status(&server, &host, &code).await,
            json!({"claimed": true})
        );
        let twice = ask(server.address, CLAIM, Some("eve"), &[], &claim.to_string()).await;
        assert_eq!(twice.status, 404);

        let mut guest = TestGuest::enter(server.address, "bob", "vm").await;
        let listed = clients(&server, &host, "?limit=5&order=desc").await.json();
        assert_eq!(listed["items"][0]["client_id"], client);
        assert_eq!(listed["items"][0]["display_name"], "Bob's phone");
        assert!(listed["items"][0]["last_seen_at"].is_string(), "{listed}");
        let path = format!(
            "environments/{}/clients/{}",
            host.environment_id,
            text(&client)
        );
        let line = format!("DELETE /wham/remote/control/{path}");
        let other = ask(server.address, &line, Some("bob"), &[], "").await;
        assert_eq!(other.status, 404, "it is not bob's host");
        let revoked = ask(server.address, &line, Some("ada"), &[], "").await;
        assert_eq!(revoked.status, 204);
        assert_eq!(guest.end().await, (4003, "not_owner".into()));
        let entered = TestGuest::try_enter(server.address, "bob", "vm").await;
        assert_eq!(entered.err(), Some(403));
        let again = ask(server.address, &line, Some("ada"), &[], "").await;
        assert_eq!(again.status, 404);
    }
}

#[tokio::test]
async fn an_operator_takes_a_device_back_as_its_hosts_owner_does() {
    let server = whose_ada(MemoryBook::default()).await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    host.pair("bob").await;
    let mut guest = TestGuest::enter(server.address, "bob", "vm").await;
    let relay = &server.relay;
    let listed = relay.list_devices(&host.server_id, first_page()).await;
    let device = listed.expect("a book").items.remove(0);
    assert_eq!(&*device.account, "bob");
    for is_there in [true, false] {
        let removed = relay.remove_device(&host.server_id, &device.id).await;
        assert_eq!(removed, Ok(is_there));
    }
    assert_eq!(guest.end().await, (4003, "not_owner".into()));
    let shown = relay.find_host(&host.server_id).await.expect("a book");
    assert_eq!(shown.map(|it| it.host.name), Some("vm".into()));
    assert_eq!(relay.find_host("srv_0").await, Ok(None));
}

#[tokio::test]
async fn clients_are_listed_page_by_page() {
    let server = whose_ada(MemoryBook::default()).await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    for account in ["bob", "eve", "joe"] {
        host.pair(account).await;
    }
    let first = clients(&server, &host, "?limit=2").await.json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    let query = format!("?limit=2&cursor={}", text(&first["cursor"]));
    let rest = clients(&server, &host, &query).await.json();
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
    assert!(rest.get("cursor").is_none(), "{rest}");
    for query in ["?limit=0", "?limit=101", "?limit=x", "?order=up"] {
        assert_eq!(clients(&server, &host, query).await.status, 422, "{query}");
    }
}

#[tokio::test]
async fn codes_expire_and_are_neither_guessed_nor_hoarded() {
    let server = Server::with(|settings: &mut Settings| {
        settings.wrong_claims = 2;
        settings.pairings = 1;
    });
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let given = pair(&server, &host, true).await;
    let more = ask(server.address, PAIR, Some(&host.token), &[], "{}").await;
    assert_eq!(more.status, 429);
    let right = json!({"pairing_code": given["pairing_code"]}).to_string();
    let wrong = json!({"manual_pairing_code": "0000-0000"}).to_string();
    let claim = |account, body| async move {
        ask(server.address, CLAIM, Some(account), &[], body)
            .await
            .status
    };
    assert_eq!(claim("eve", &wrong).await, 404);
    assert_eq!(claim("eve", &wrong).await, 404);
    assert_eq!(claim("eve", &right).await, 429);
    server.clock.advance(Duration::from_secs(601));
    assert_eq!(claim("bob", &right).await, 404, "it has expired");
    let code = json!({"pairing_code": given["pairing_code"]});
    assert_eq!(
        status(&server, &host, &code).await,
        json!({"claimed": false})
    );
    for body in ["{}", r#"{"pairing_code":"a","manual_pairing_code":"b"}"#] {
        let refused = ask(server.address, STATUS, Some(&host.token), &[], body).await;
        assert_eq!(refused.status, 422);
    }
    let refused = ask(server.address, PAIR, Some("prt_wrong"), &[], "{}").await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn many_wrong_codes_at_once_are_no_more_than_one_after_the_other() {
    let server = Server::with(|settings: &mut Settings| settings.wrong_claims = 3);
    let server = server.start().await;
    let release = server.book.hold_claims();
    let claim = |account| async move {
        let wrong = json!({"manual_pairing_code": "0000-0000"}).to_string();
        let answer = ask(server.address, CLAIM, Some(account), &[], &wrong).await;
        answer.status
    };
    let mut claims: FuturesUnordered<_> = (0..20).map(|_| claim("eve")).collect();
    for _ in 0..17 {
        let answered = within(claims.next()).await;
        assert_eq!(answered, Some(429), "the book answers nobody yet");
    }
    release.send_replace(true);
    assert_eq!(within(claims.collect::<Vec<_>>()).await, [404; 3]);
    assert_eq!(claim("eve").await, 429);
    assert_eq!(claim("bob").await, 404);
}

#[tokio::test]
async fn a_claim_that_is_good_or_that_no_book_answers_is_no_guess() {
    let server = Server::with(|settings: &mut Settings| settings.wrong_claims = 1);
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let claim = |code: String| async move {
        ask(server.address, CLAIM, Some("bob"), &[], &code)
            .await
            .status
    };
    for _ in 0..2 {
        let code = json!({"pairing_code": pair(&server, &host, false).await["pairing_code"]});
        server.book.set_away(true);
        assert_eq!(claim(code.to_string()).await, 503);
        server.book.set_away(false);
        assert_eq!(claim("{}".to_owned()).await, 422);
        assert_eq!(claim(code.to_string()).await, 200);
    }
    assert_eq!(claim(json!({"pairing_code": "x"}).to_string()).await, 404);
    assert_eq!(claim(json!({"pairing_code": "x"}).to_string()).await, 429);
}

async fn whose_ada(book: MemoryBook) -> Served {
    let server = Server {
        whose: portcullis_remote::relay::Whose::Accounts("ada".into()),
        book,
        ..Server::default()
    };
    server.start().await
}

async fn refresh(server: &Served, host: &TestHost, account: &str, installation: &str) -> Answer {
    let body = json!({"server_id": host.server_id, "installation_id": installation});
    ask(
        server.address,
        REFRESH,
        Some(account),
        &[],
        &body.to_string(),
    )
    .await
}

async fn pair(server: &Served, host: &TestHost, with_manual: bool) -> Value {
    let body = json!({"manual_code": with_manual}).to_string();
    let answer = ask(server.address, PAIR, Some(&host.token), &[], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn status(server: &Served, host: &TestHost, code: &Value) -> Value {
    let answer = ask(
        server.address,
        STATUS,
        Some(&host.token),
        &[],
        &code.to_string(),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn clients(server: &Served, host: &TestHost, query: &str) -> Answer {
    let path = format!("environments/{}/clients{query}", host.environment_id);
    let line = format!("GET /wham/remote/control/{path}");
    ask(server.address, &line, Some("ada"), &[], "").await
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
