//! A gate's desk, a ledger, and a provider on loopback.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{Request, Response, StatusCode};
use portcullis_boundary::Peer;
use portcullis_boundary::clock::Timestamp;
use portcullis_gateway::Later;
use portcullis_ledger::{LedgerError, LedgerUrl, NewRevocation, Settings, SqlLedger};
use portcullis_verifiers::Outbound;
use portcullis_verifiers::login::LoginCookie;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::login::revoker::{LoginRecord, Revoker};
use crate::login::{LedgerLogins, LoginDesk, LoginPlan};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(super) const BASE: &str = "https://gate.example";
const CLIENT: &str = "gate";

pub(super) struct House {
    pub(super) desk: LoginDesk,
    pub(super) logins: LedgerLogins,
    pub(super) ledger: SqlLedger,
    pub(super) provider: Arc<Provider>,
    pub(super) revoked: Arc<Revoked>,
    _folder: tempfile::TempDir,
}

/// A browser, which keeps its cookies.
#[derive(Clone, Default)]
pub(super) struct Browser {
    cookies: Vec<(String, String)>,
}

/// What was taken back.
#[derive(Default)]
pub(super) struct Revoked {
    pub(super) all: Mutex<Vec<NewRevocation>>,
    pub(super) is_away: AtomicBool,
    /// What was recorded, in words.
    pub(super) records: Mutex<Vec<String>>,
}

impl Revoker for Revoked {
    fn revoke(&self, revocation: NewRevocation) -> Later<'_, Result<(), LedgerError>> {
        let away = self.is_away.load(Ordering::Relaxed);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = if away {
            Err(LedgerError::Unavailable("as it was told".into()))
        } else {
            all.push(revocation);
            Ok(())
        };
        Box::pin(async { answer })
    }

    fn record(&self, record: LoginRecord<'_>) {
        let subject = record.subject.unwrap_or("-");
        let from = record.address.map(|address| format!(" from {address}"));
        let from = from.unwrap_or_default();
        let line = format!("{} {subject}: {}{from}", record.outcome, record.detail);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(line);
    }
}

/// Gives an ID token for each code, which is the nonce here.
pub(super) struct Provider {
    pub(super) issuer: String,
    key: Ed25519KeyPair,
}

impl Provider {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("an address");
        let provider = Arc::new(Self {
            issuer: format!("http://{address}"),
            key: Ed25519KeyPair::generate().expect("a key"),
        });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&provider));
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        Handle::current().spawn(async move { axum::serve(listener, app).await });
        provider
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!(
            "{}.{}",
            part(&json!({"alg": "EdDSA", "kid": "k"})),
            part(claims)
        );
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    pub(super) fn logout_token(&self, id: &str, whose: &Value) -> String {
        let mut claims = json!({
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": NOW.as_secs(),
            "exp": NOW.as_secs() + 120,
            "jti": id,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        for (name, value) in whose.as_object().expect("an object") {
            if let Some(claims) = claims.as_object_mut() {
                claims.insert(name.clone(), value.clone());
            }
        }
        self.sign(&claims)
    }
}

async fn metadata(State(provider): State<Arc<Provider>>) -> String {
    let issuer = &provider.issuer;
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/keys"),
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "end_session_endpoint": format!("{issuer}/end"),
    })
    .to_string()
}

async fn keys(State(provider): State<Arc<Provider>>) -> String {
    let x = URL_SAFE_NO_PAD.encode(provider.key.public_key());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string()
}

async fn token(State(provider): State<Arc<Provider>>, body: String) -> String {
    let code = form_urlencoded::parse(body.as_bytes())
        .find(|(name, _)| name == "code")
        .map(|(_, code)| code.into_owned());
    let id_token = provider.sign(&json!({
        "iss": provider.issuer,
        "aud": CLIENT,
        "sub": "ada",
        "sid": "s1",
        "exp": NOW.as_secs() + 60,
        "iat": NOW.as_secs(),
        "nonce": code,
        "groups": ["staff"],
    }));
    json!({"id_token": id_token, "scope": "openid chat"}).to_string()
}

impl House {
    /// With the logins `people` and `staff` at one provider.
    pub(super) async fn new() -> Self {
        Self::lasting(Duration::from_secs(3600), None).await
    }

    pub(super) async fn lasting(lifetime: Duration, idle: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let url = LedgerUrl::parse(&url).expect("a URL");
        let runtime = Handle::current();
        let opened = SqlLedger::open(url, Settings::default(), &runtime).await;
        let ledger = opened.expect("a ledger");
        let provider = Provider::start();
        let logins = LedgerLogins::default();
        logins.found(Arc::new(ledger.clone()));
        let revoked = Arc::new(Revoked::default());
        let desk = LoginDesk::new(logins.clone(), Arc::clone(&revoked) as Arc<dyn Revoker>);
        let outbound = Outbound::new(runtime).expect("a client");
        let plan = |name| {
            let plan = LoginPlan::new(name, &provider.issuer, CLIENT, BASE, outbound.clone());
            Arc::new(plan.expect("a plan").lasting(Some(lifetime), idle))
        };
        desk.set_plans(vec![plan("people"), plan("staff")]);
        Self {
            desk,
            logins,
            ledger,
            provider,
            revoked,
            _folder: folder,
        }
    }

    pub(super) async fn send(
        &self,
        browser: &mut Browser,
        request: Request<Bytes>,
        now: Timestamp,
    ) -> Response<Bytes> {
        self.send_from(&Peer::local(), browser, request, now).await
    }

    pub(super) async fn send_from(
        &self,
        peer: &Peer,
        browser: &mut Browser,
        mut request: Request<Bytes>,
        now: Timestamp,
    ) -> Response<Bytes> {
        let pairs: Vec<_> = browser
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !pairs.is_empty() {
            let cookie = pairs.join("; ").parse().expect("a header");
            request.headers_mut().insert(COOKIE, cookie);
        }
        let answer = self.desk.answer(&request, peer, now).await;
        let answer = answer.expect("a page");
        browser.take(&answer);
        answer
    }

    pub(super) async fn get(&self, browser: &mut Browser, path: &str) -> Response<Bytes> {
        self.send(browser, get_request(path), NOW).await
    }

    /// Goes to the provider, and comes back as far as the address of the callback.
    pub(super) async fn go(&self, browser: &mut Browser, back_to: &str) -> String {
        let asked = format!("/.portcullis/login/people?return={back_to}");
        let sent = self.get(browser, &asked).await;
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
        let url = location(&sent);
        assert!(
            url.starts_with(&format!("{}/auth?", self.provider.issuer)),
            "{url}"
        );
        let (state, nonce) = (query(url, "state"), query(url, "nonce"));
        format!("/.portcullis/login/people/callback?state={state}&code={nonce}")
    }

    pub(super) async fn log_in(&self, browser: &mut Browser) -> LoginCookie {
        let callback = self.go(browser, "/").await;
        let welcome = self.get(browser, &callback).await;
        assert_eq!(welcome.status(), StatusCode::OK);
        browser.login().expect("a cookie")
    }

    pub(super) async fn log_out_there(&self, token: &str) -> StatusCode {
        let form: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("logout_token", token)
            .finish();
        let request = Request::post("/.portcullis/login/people/backchannel");
        let request = request.body(Bytes::from(form)).expect("a request");
        self.send(&mut Browser::default(), request, NOW)
            .await
            .status()
    }
}

impl Browser {
    fn take(&mut self, answer: &Response<Bytes>) {
        for set in answer.headers().get_all(SET_COOKIE) {
            let set = set.to_str().expect("text");
            let (pair, rest) = set.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.retain(|(known, _)| known != name);
            if !rest.contains("Max-Age=0") {
                self.cookies.push((name.into(), value.into()));
            }
        }
    }

    pub(super) fn login(&self) -> Option<LoginCookie> {
        let mut cookies = self.cookies.iter();
        let (_, value) = cookies.find(|(name, _)| name == "__Host-portcullis")?;
        LoginCookie::parse(value)
    }
}

pub(super) fn get_request(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).expect("a request")
}

pub(super) fn location(answer: &Response<Bytes>) -> &str {
    let location = answer.headers().get(LOCATION).expect("a location");
    location.to_str().expect("text")
}

pub(super) fn query(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').expect("a query");
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let found = pairs.find(|(found, _)| found == name).expect("a parameter");
    found.1.into_owned()
}

pub(super) fn text(answer: &Response<Bytes>) -> &str {
    std::str::from_utf8(answer.body()).expect("text")
}
