mod each;

use std::net::Ipv4Addr;

use axum::Extension;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Builder;
use http_body_util::BodyExt;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::revocation::RevocationSet;
use portcullis_boundary::{Credential, Peer, Rejection, Verifier};
use portcullis_gateway::config::{GateConfig, Room, Timeouts};
use portcullis_gateway::{Services, StartOptions};
use portcullis_remote::connector::Connector;
use portcullis_remote::relay::exchange::LocalExchange;
use portcullis_verifiers::{ApiKeys, CapabilityTokens};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::*;
use crate::config::{ADMIN_SCOPE, BusPlan, LedgerPlan, admin_policy};
use crate::connector::resting;
use crate::remote::RelayPlan;
use crate::state::LedgerKeys;

const ADMIN: &str = "the-token-of-the-admin";
const OTHER: &str = "the-token-of-somebody-else";

/// An API over a ledger in memory.
struct Tested {
    router: Router,
    keys: ApiKeys<LedgerKeys>,
    state: Arc<State>,
    gate: Arc<Gate>,
    /// Who is asked for orders must live.
    _connector: Connector,
}

impl Tested {
    async fn new() -> Self {
        Self::with_scope(ADMIN_SCOPE).await
    }

    async fn with_scope(scope: &str) -> Self {
        let scopes = std::iter::once(scope).collect();
        let admin = CapabilityTokens::from_token("admin", ADMIN).expect("a token");
        let policy = admin_policy(vec![Arc::new(admin.with_scopes(scopes))], ADMIN_SCOPE);
        let plan = LedgerPlan::in_memory();
        let keys = LedgerKeys::default();
        let state = State::open(
            &plan,
            &BusPlan::default(),
            "gate",
            &keys,
            &Handle::current(),
        )
        .await;
        let state = Arc::new(state.expect("a ledger"));
        let gate = Gate::start(
            GateConfig {
                routes: Vec::new(),
                limits: Limits::default(),
                room: Room::default(),
                timeouts: Timeouts::default(),
                warnings: Vec::new(),
            },
            Vec::new(),
            StartOptions {
                workers: 1,
                before_idle: || {},
                services: Services::default(),
                revoked: RevocationSet::default(),
            },
        );
        let gate = Arc::new(gate.expect("a gate"));
        let tickets = LedgerTickets::default();
        tickets.found(Arc::clone(state.ledger()));
        let remote = RemotePlace::default();
        let opened = remote.open(
            &RelayPlan::default(),
            Arc::clone(state.ledger()),
            Arc::new(LocalExchange::new()),
        );
        opened.expect("a relay");
        let (connector, handle) = resting();
        let api = Api::new(
            policy,
            Arc::clone(&state),
            Arc::clone(&gate),
            tickets,
            remote,
            Some(handle),
        );
        Self {
            router: api.routes(),
            keys: ApiKeys::new("keys", keys).remember_for(Duration::ZERO),
            state,
            gate,
            _connector: connector,
        }
    }

    async fn sends(&self, request: Builder, body: Body) -> (StatusCode, Value) {
        let peer = Peer::at(Ipv4Addr::LOCALHOST.into());
        self.sends_from(peer, request, body).await
    }

    async fn sends_from(&self, peer: Peer, request: Builder, body: Body) -> (StatusCode, Value) {
        let request = request
            .header("host", "localhost")
            .body(body)
            .expect("a request");
        let router = self.router.clone().layer(Extension(peer));
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status();
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("whole")
            .to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn asks(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {ADMIN}"))
            .header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let (status, answer) = self.sends(request, body).await;
        (status.as_u16(), answer)
    }

    async fn verifies(&self, key: &str) -> Result<String, Rejection> {
        let credential = Credential::new(key, CarrierKind::Header);
        let now = SystemClock::new().now();
        let identity = self.keys.verify(&credential, now).await?;
        Ok(identity.scopes().to_string())
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_counts_until_it_is_taken_back() {
    let tested = Tested::new().await;
    let wanted = json!({"owner": "ada", "name": "laptop", "scopes": ["chat", "files"]});
    let (status, made) = tested.asks("POST", "/keys", Some(wanted)).await;
    assert_eq!(status, 201);
    let key = made["key"].as_str().expect("a key").to_owned();
    let path = format!("/keys/{}", made["id"].as_str().expect("an id"));
    assert_eq!(tested.verifies(&key).await, Ok("chat files".into()));

    let (_, shown) = tested.asks("GET", &path, None).await;
    let (_, listed) = tested.asks("GET", "/keys?owner=ada", None).await;
    assert_eq!(listed["items"], json!([shown]));
    let secret = key.rsplit('_').next().expect("a secret");
    assert!(!listed.to_string().contains(secret));

    assert_eq!(tested.asks("DELETE", &path, None).await.0, 204);
    assert_eq!(tested.verifies(&key).await, Err(Rejection::Revoked));
    let (_, shown) = tested.asks("GET", &path, None).await;
    assert!(shown["revoked_at"].is_string());
}

#[tokio::test]
async fn a_key_does_what_its_owner_may_and_nothing_once_the_owner_is_gone() {
    let tested = Tested::new().await;
    let wanted = json!({"owner": "a/b c", "scopes": ["chat", "files"]});
    let (_, made) = tested.asks("POST", "/keys", Some(wanted)).await;
    let key = made["key"].as_str().expect("a key").to_owned();
    let user = "/users/a%2Fb%20c";
    let (status, put) = tested
        .asks("PUT", user, Some(json!({"scopes": ["chat"]})))
        .await;
    assert_eq!((status, &put["subject"]), (200, &json!("a/b c")));
    assert_eq!(tested.verifies(&key).await, Ok("chat".into()));

    let (status, _) = tested
        .asks("PATCH", user, Some(json!({"active": false})))
        .await;
    assert_eq!(status, 204);
    assert_eq!(tested.verifies(&key).await, Err(Rejection::AccountDisabled));
    tested
        .asks("PATCH", user, Some(json!({"active": true})))
        .await;
    assert_eq!(tested.verifies(&key).await, Ok("chat".into()));

    assert_eq!(tested.asks("DELETE", user, None).await.0, 204);
    assert_eq!(tested.verifies(&key).await, Err(Rejection::Revoked));
}

#[tokio::test]
async fn whoever_is_not_an_admin_learns_nothing() {
    let tested = Tested::new().await;
    let get = || Request::builder().uri("/keys");
    let bearer = |token: &str| get().header("authorization", format!("Bearer {token}"));
    for (request, status) in [
        (get(), 401),
        (bearer(OTHER), 401),
        (bearer(ADMIN).header("origin", "http://localhost"), 403),
        (get().uri(format!("/keys?access_token={ADMIN}")), 401),
        (get().uri("/nothing/here"), 401),
    ] {
        let (answered, _) = tested.sends(request, Body::empty()).await;
        assert_eq!(answered.as_u16(), status);
    }
}

#[tokio::test]
async fn a_credential_without_the_scope_is_refused() {
    let tested = Tested::with_scope("portcullis:other").await;
    let (status, answer) = tested.asks("GET", "/keys", None).await;
    assert_eq!(
        (status, &answer["code"]),
        (403, &json!("insufficient_scope"))
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused_as_a_problem() {
    let tested = Tested::new().await;
    for (method, path, body, status) in misunderstood() {
        let (answered, problem) = tested.asks(method, path, body).await;
        assert_eq!(answered, status, "{method} {path}: {problem}");
        assert_eq!(problem["status"], status, "{method} {path}");
    }
    let form = Request::builder()
        .method("POST")
        .uri("/keys")
        .header("authorization", format!("Bearer {ADMIN}"))
        .header("content-type", "application/x-www-form-urlencoded");
    let (status, _) = tested.sends(form, Body::from("owner=ada")).await;
    assert_eq!(status.as_u16(), 415);
    assert_eq!(
        tested.asks("GET", "/keys", None).await.1["items"],
        json!([])
    );
}

#[tokio::test]
async fn names_that_look_like_sql_are_names() {
    let tested = Tested::new().await;
    for subject in [
        "x' OR '1'='1",
        "\"; DROP TABLE users; --",
        "%",
        "a\r\nb",
        "é\u{202e}",
    ] {
        let path = format!("/users/{}", percent(subject));
        let (status, put) = tested.asks("PUT", &path, Some(json!({}))).await;
        assert_eq!((status, &put["subject"]), (200, &json!(subject)));
        let (_, keys) = tested
            .asks("GET", &format!("/keys?owner={}", percent(subject)), None)
            .await;
        assert_eq!(keys["items"], json!([]));
    }
    let (_, users) = tested.asks("GET", "/users", None).await;
    assert_eq!(users["items"].as_array().expect("a list").len(), 5);
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let tested = Tested::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        tested
            .asks("PUT", &format!("/users/{name}"), Some(json!({})))
            .await;
    }
    let mut found = Vec::new();
    let mut path = "/users?limit=2".to_owned();
    loop {
        let (_, page) = tested.asks("GET", &path, None).await;
        let items = page["items"].as_array().expect("a list");
        found.extend(items.iter().map(|user| user["subject"].to_string()));
        match page["next"].as_str() {
            Some(next) => path = format!("/users?limit=2&after={}", percent(next)),
            None => break,
        }
    }
    assert_eq!(found, ["\"a\"", "\"b\"", "\"c\"", "\"d\"", "\"e\""]);
}

#[tokio::test]
async fn a_ledger_that_does_not_answer_is_503_and_says_when_to_come_back() {
    let tested = Tested::new().await;
    tested.state.close().await;
    assert_eq!(tested.asks("GET", "/keys", None).await.0, 503);
    let key = "pk_a_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let rejection = tested.verifies(key).await;
    assert!(matches!(rejection, Err(Rejection::Unavailable { .. })));
}

#[tokio::test]
async fn each_kind_of_revocation_counts_here_at_once_until_it_is_withdrawn() {
    let tested = Tested::new().await;
    let ada = Identity::new("ada")
        .with_issuer("https://issuer.example")
        .with_credential_id("c1")
        .with_key_id("k1")
        .issued_at(portcullis_boundary::clock::Timestamp::from_secs(1000));
    for wanted in [
        json!({"kind": "subject", "value": "ada"}),
        json!({"kind": "credential", "value": "c1"}),
        json!({"kind": "key", "value": "k1", "note": "stolen"}),
        json!({"kind": "issuer", "value": "https://issuer.example"}),
        json!({"kind": "subject", "value": "ada", "issued_before": "1970-01-01T00:16:41Z"}),
    ] {
        assert!(tested.gate.standing(&ada).is_ok());
        let (status, made) = tested
            .asks("POST", "/revocations", Some(wanted.clone()))
            .await;
        assert_eq!(status, 201, "{wanted}");
        assert!(tested.gate.standing(&ada).is_err(), "{wanted}");
        let path = format!("/revocations/{}", made["id"].as_str().expect("an id"));
        assert_eq!(tested.asks("DELETE", &path, None).await.0, 204);
        assert_eq!(tested.asks("DELETE", &path, None).await.0, 404);
        tested
            .gate
            .set_revocations(tested.state.revoked().await.expect("read"));
    }
    let (_, listed) = tested.asks("GET", "/revocations", None).await;
    let listed = listed["items"].as_array().expect("a list");
    assert_eq!(listed.len(), 5);
    let is_kept = |one: &Value| one["by"] == "capability" && one["withdrawn_at"].is_string();
    assert!(listed.iter().all(is_kept));
}

#[tokio::test]
async fn nobody_revokes_themselves_by_mistake() {
    let tested = Tested::new().await;
    for wanted in [
        json!({"kind": "subject", "value": "capability"}),
        // A token does not say when it was issued.
        json!({"kind": "everything", "issued_before": "1970-01-01T00:16:41Z"}),
    ] {
        let (status, _) = tested.asks("POST", "/revocations", Some(wanted)).await;
        assert_eq!(status, 409);
    }
    let capability = Identity::new("capability");
    assert!(tested.gate.standing(&capability).is_ok());
}

#[tokio::test]
async fn an_admin_whom_another_revoked_is_out() {
    let tested = Tested::new().await;
    let target = portcullis_boundary::revocation::Target::Subject("capability".into());
    tested
        .gate
        .revoke(&portcullis_boundary::Revocation::of(target));
    assert_eq!(tested.asks("GET", "/keys", None).await.0, 401);
}

#[tokio::test]
async fn a_disabled_account_is_revoked_and_an_enabled_one_is_not() {
    let tested = Tested::new().await;
    let ada = Identity::new("ada");
    tested.asks("PUT", "/users/ada", Some(json!({}))).await;
    for _ in 0..2 {
        for _ in 0..2 {
            tested
                .asks("PATCH", "/users/ada", Some(json!({"active": false})))
                .await;
        }
        let refusal = tested.gate.standing(&ada).expect_err("disabled");
        assert_eq!(refusal.kind().as_str(), "account_disabled");
        tested
            .asks("PATCH", "/users/ada", Some(json!({"active": true})))
            .await;
        tested
            .gate
            .set_revocations(tested.state.revoked().await.expect("read"));
        assert!(tested.gate.standing(&ada).is_ok());
    }
    let (_, listed) = tested.asks("GET", "/revocations", None).await;
    assert_eq!(listed["items"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_not_found_whatever_is_asked_of_it() {
    let tested = Tested::new().await;
    let (status, listed) = tested.asks("GET", "/hosts", None).await;
    assert_eq!((status, &listed["items"]), (200, &json!([])));
    let named = json!({"name": "attic"});
    for (method, path, body) in [
        ("GET", "/hosts/srv_0", None),
        ("PATCH", "/hosts/srv_0", Some(named)),
        ("DELETE", "/hosts/srv_0", None),
        ("POST", "/hosts/srv_0/revoke", None),
        ("GET", "/hosts/srv_0/devices", None),
        ("DELETE", "/hosts/srv_0/devices/cli_0", None),
    ] {
        assert_eq!(tested.asks(method, path, body).await.0, 404, "{path}");
    }
    for name in ["", " ", "a\nb", &"a".repeat(201)] {
        let (status, _) = tested
            .asks("PATCH", "/hosts/srv_0", Some(json!({"name": name})))
            .await;
        assert_eq!(status, 400, "{name:?}");
    }
}

#[test]
fn the_shipped_document_is_the_one_that_is_served() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shipped = std::fs::read_to_string(root.join("docs/openapi.json")).expect("the document");
    assert!(
        shipped == openapi::text(),
        "run `portcullis check --openapi > docs/openapi.json`"
    );
}

fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

type Wrong = (&'static str, &'static str, Option<Value>, u16);

/// Requests that are wrong, and the status that each is answered.
fn misunderstood() -> Vec<Wrong> {
    let get = |path: &'static str, status| ("GET", path, None, status);
    let mut wrong = vec![
        get("/keys?limit=1001", 400),
        get("/keys?limit=0", 400),
        get("/keys?limit=99999999999", 400),
        get("/keys?limit=-1", 400),
        get("/keys?limt=1", 400),
        get("/keys?limit=1&limit=2", 400),
        get("/users?after=%00", 400),
        get("/keys/nosuch", 404),
        get("/audit?kind=all", 400),
        get("/audit?since=yesterday", 400),
        get("/audit?session=x", 400),
        get("/sessions/nosuch", 404),
        get("/sessions/00000000000000000000000000000000", 404),
        get("/sessions?after=x", 400),
        get("/sessions?limit=1001", 400),
        (
            "DELETE",
            "/sessions/00000000000000000000000000000000",
            None,
            404,
        ),
        ("DELETE", "/revocations/-1", None, 404),
        get("/nosuch", 404),
        ("POST", "/keys/x", None, 405),
        ("DELETE", "/users/nosuch", None, 404),
        ("PATCH", "/users/nosuch", Some(json!({"active": true})), 404),
        ("PATCH", "/users/x", Some(json!({"active": "yes"})), 400),
        (
            "PATCH",
            "/users/x",
            Some(json!({"active": true, "admin": true})),
            400,
        ),
    ];
    wrong.extend(
        wrong_keys()
            .into_iter()
            .map(|body| ("POST", "/keys", Some(body), 400)),
    );
    wrong.extend(
        wrong_revocations()
            .into_iter()
            .map(|body| ("POST", "/revocations", Some(body), 400)),
    );
    let long = json!({"owner": "a".repeat(70_000)});
    wrong.push(("POST", "/keys", Some(long), 413));
    wrong
}

/// Keys that cannot be made.
fn wrong_keys() -> Vec<Value> {
    vec![
        json!({}),
        json!([]),
        json!({"owner": ""}),
        json!({"owner": "a\u{0}b"}),
        json!({"owner": "a".repeat(2000)}),
        json!({"owner": "a", "scopes": ["a b"]}),
        json!({"owner": "a", "scopes": "a"}),
        json!({"owner": "a", "expires_at": "2001-01-01T00:00:00Z"}),
        json!({"owner": "a", "expires_at": 5}),
    ]
}

/// Revocations that cannot be made.
fn wrong_revocations() -> Vec<Value> {
    vec![
        json!({"kind": "everything"}),
        json!({"kind": "person", "value": "x"}),
        json!({"kind": "subject"}),
        json!({"kind": "session", "value": "x"}),
    ]
}
