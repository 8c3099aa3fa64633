use std::net::SocketAddr;

use axum::Extension;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Builder;
use http_body_util::BodyExt;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::{Credential, Peer, Rejection, Verifier};
use portcullis_ledger::{LedgerUrl, Settings, SqlLedger};
use portcullis_verifiers::{ApiKeys, CapabilityTokens};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::*;
use crate::config::{ADMIN_SCOPE, admin_policy};
use crate::state::LedgerKeys;

const ADMIN: &str = "the-token-of-the-admin";
const OTHER: &str = "the-token-of-somebody-else";

/// An API over a ledger in memory.
struct Tested {
    router: Router,
    keys: ApiKeys<LedgerKeys>,
}

impl Tested {
    async fn new() -> Self {
        let url = LedgerUrl::parse("sqlite::memory:").expect("a URL");
        let ledger = SqlLedger::open(url, Settings::default(), &Handle::current()).await;
        let ledger: Arc<dyn Ledger> = Arc::new(ledger.expect("a ledger"));
        let scopes = std::iter::once(ADMIN_SCOPE).collect();
        let admin = CapabilityTokens::from_token("admin", ADMIN).expect("a token");
        let api = Api::new(
            admin_policy(vec![Arc::new(admin.with_scopes(scopes))], ADMIN_SCOPE),
            Arc::clone(&ledger),
        );
        let keys = LedgerKeys::default();
        keys.found(ledger);
        Self {
            router: api.routes(),
            keys: ApiKeys::new("keys", keys).remember_for(Duration::ZERO),
        }
    }

    async fn sends(&self, request: Builder, body: Body) -> (StatusCode, Value) {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let request = request
            .header("host", "localhost")
            .body(body)
            .expect("a request");
        let router = self.router.clone().layer(Extension(Peer::at(peer.ip())));
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
    let url = LedgerUrl::parse("sqlite::memory:").expect("a URL");
    let ledger = SqlLedger::open(url, Settings::default(), &Handle::current()).await;
    let plain = CapabilityTokens::from_token("admin", ADMIN).expect("a token");
    let policy = admin_policy(vec![Arc::new(plain)], ADMIN_SCOPE);
    let api = Api::new(policy, Arc::new(ledger.expect("a ledger")));
    let tested = Tested {
        router: api.routes(),
        keys: ApiKeys::new("keys", LedgerKeys::default()),
    };
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
    let url = LedgerUrl::parse("sqlite::memory:").expect("a URL");
    let ledger = SqlLedger::open(url, Settings::default(), &Handle::current()).await;
    let ledger = ledger.expect("a ledger");
    ledger.close().await;
    let scopes = std::iter::once(ADMIN_SCOPE).collect();
    let admin = CapabilityTokens::from_token("admin", ADMIN).expect("a token");
    let policy = admin_policy(vec![Arc::new(admin.with_scopes(scopes))], ADMIN_SCOPE);
    let tested = Tested {
        router: Api::new(policy, Arc::new(ledger)).routes(),
        keys: ApiKeys::new("keys", LedgerKeys::default()),
    };
    assert_eq!(tested.asks("GET", "/keys", None).await.0, 503);
    let key = "pk_a_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let rejection = tested.verifies(key).await;
    assert!(matches!(rejection, Err(Rejection::Unavailable { .. })));
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
    for body in [
        json!({}),
        json!([]),
        json!({"owner": ""}),
        json!({"owner": "a\u{0}b"}),
        json!({"owner": "a".repeat(2000)}),
        json!({"owner": "a", "scopes": ["a b"]}),
        json!({"owner": "a", "scopes": "a"}),
        json!({"owner": "a", "expires_at": "2001-01-01T00:00:00Z"}),
        json!({"owner": "a", "expires_at": 5}),
    ] {
        wrong.push(("POST", "/keys", Some(body), 400));
    }
    let long = json!({"owner": "a".repeat(70_000)});
    wrong.push(("POST", "/keys", Some(long), 413));
    wrong
}
