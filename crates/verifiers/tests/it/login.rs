//! Logins at a provider on loopback that tells the truth, and at ones that do not.

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_boundary::Rejection;
use portcullis_boundary::clock::Timestamp;
use portcullis_verifiers::login::{Begun, CallbackAnswer, LoggedIn, LoginError, Provider};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::service::{Reply, Service, nobody, outbound};
use crate::signer::{Signer, set};
use crate::support::{AUDIENCE, CLAIMS, FORM, ISSUER, NOW, SIGNATURE, encode};

pub(crate) const CLIENT: &str = "the gate";
const CALLBACK: &str = "https://gate.example/callback";

/// A provider on loopback, and the gate's view of it.
pub(crate) struct House {
    pub(crate) service: Service,
    pub(crate) signer: Signer,
    pub(crate) provider: Provider,
}

#[tokio::test]
async fn who_comes_back_with_a_code_is_logged_in() {
    let house = House::new();
    let begun = house.begin().await;
    house.gives(&begun, json!({"sid": "s1", "name": "Ada"}));
    let logged_in = house.finish(begun).await.unwrap();
    assert_eq!(&*logged_in.subject, "ada");
    assert_eq!(&*logged_in.issuer, house.service.origin());
    assert_eq!(logged_in.sid.as_deref(), Some("s1"));
    assert_eq!(logged_in.scopes.to_string(), "chat openid");
    assert_eq!(logged_in.claims["name"], "Ada");
}

#[tokio::test]
async fn the_browser_is_sent_with_state_nonce_and_a_challenge_and_the_code_is_shown_with_its_verifier()
 {
    let house = House::new();
    let begun = house.begin().await;
    let (url, query) = begun.url.split_once('?').unwrap();
    assert_eq!(url, format!("{}/auth", house.service.origin()));
    let sent = pairs(query);
    let challenge = encode(digest(&SHA256, begun.verifier.expose_secret().as_bytes()));
    for (name, value) in [
        ("kept", "yes"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("scope", "openid chat"),
        ("state", begun.state.expose_secret()),
        ("nonce", &begun.nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ] {
        assert!(sent.contains(&(name.into(), value.into())), "{name}");
    }
    assert!(!begun.url.contains(begun.verifier.expose_secret()));

    let verifier = begun.verifier.expose_secret().to_owned();
    house.gives(&begun, json!({}));
    house.finish(begun).await.unwrap();
    let asked = house.service.asked();
    let asked = asked.iter().find(|asked| asked.path == "/token").unwrap();
    let mut expected = vec![
        ("grant_type".to_owned(), "authorization_code".to_owned()),
        ("code".into(), "a code".into()),
        ("redirect_uri".into(), CALLBACK.into()),
        ("code_verifier".into(), verifier),
        ("client_id".into(), CLIENT.into()),
    ];
    expected.sort();
    let mut form = pairs(&asked.body);
    form.sort();
    assert_eq!(form, expected);
    assert!(!asked.headers.contains_key("authorization"));
}

#[tokio::test]
async fn no_two_logins_share_a_secret() {
    let house = House::new();
    let (one, other) = (house.begin().await, house.begin().await);
    assert_ne!(one.state.expose_secret(), other.state.expose_secret());
    assert_ne!(one.nonce, other.nonce);
    assert_ne!(one.verifier.expose_secret(), other.verifier.expose_secret());
    for secret in [
        one.state.expose_secret(),
        &one.nonce,
        one.verifier.expose_secret(),
    ] {
        assert_eq!(secret.len(), 43);
    }
}

#[tokio::test]
async fn the_clients_secret_travels_where_the_provider_takes_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "s3cr3t/+\n").unwrap();
    for (methods, in_body) in [
        (json!(["client_secret_basic", "client_secret_post"]), false),
        (json!(["client_secret_post"]), true),
    ] {
        let mut house = House::new();
        house.provider = house.provider.with_secret_file(file.path()).unwrap();
        house.says(json!({"token_endpoint_auth_methods_supported": methods}));
        let begun = house.begin().await;
        house.gives(&begun, json!({}));
        house.finish(begun).await.unwrap();
        let asked = house.service.asked();
        let asked = asked.iter().find(|asked| asked.path == "/token").unwrap();
        let secret = ("client_secret".to_owned(), "s3cr3t/+".to_owned());
        assert_eq!(pairs(&asked.body).contains(&secret), in_body);
        let header = asked
            .headers
            .get("authorization")
            .map(|value| value.to_str().unwrap());
        // `the+gate:s3cr3t%2F%2B`, as OAuth asks.
        let basic = "Basic dGhlK2dhdGU6czNjcjN0JTJGJTJC";
        assert_eq!(header, (!in_body).then_some(basic));
    }
}

#[tokio::test]
async fn an_id_token_must_be_of_this_login_of_this_client_and_true() {
    let invalid = LoginError::Token;
    for (claims, error) in [
        (json!({"nonce": "another"}), LoginError::OtherNonce),
        (json!({"nonce": null}), LoginError::OtherNonce),
        (json!({"aud": "another"}), invalid(AUDIENCE)),
        (json!({"aud": [CLIENT, "another"]}), LoginError::OtherParty),
        (json!({"azp": "another"}), LoginError::OtherParty),
        (json!({"azp": 7}), LoginError::OtherParty),
        (json!({"iss": "https://another.example"}), invalid(ISSUER)),
        (json!({"exp": NOW - 31}), invalid(Rejection::Expired)),
        (json!({"iat": NOW + 31}), invalid(CLAIMS)),
        (json!({"iat": null}), invalid(CLAIMS)),
        (json!({"sub": ""}), invalid(CLAIMS)),
        (json!({"sub": "a".repeat(256)}), invalid(CLAIMS)),
        (json!({"at_hash": "AAAA"}), LoginError::OtherAccessToken),
    ] {
        let house = House::new();
        let begun = house.begin().await;
        house.gives(&begun, claims.clone());
        let finished = house.finish(begun).await;
        assert_eq!(finished.map(drop), Err(error), "{claims}");
    }
}

#[tokio::test]
async fn an_id_token_for_several_audiences_must_name_this_client_as_its_party() {
    let house = House::new();
    let begun = house.begin().await;
    let hash = digest(&SHA256, b"an access token");
    let at_hash = encode(&hash.as_ref()[..16]);
    let claims = json!({"aud": [CLIENT, "another"], "azp": CLIENT, "at_hash": at_hash});
    house.gives(&begun, claims);
    assert!(house.finish(begun).await.is_ok());
}

#[tokio::test]
async fn a_token_that_another_signed_or_that_is_none_logs_nobody_in() {
    let house = House::new();
    let begun = house.begin().await;
    let claims = house.claims(&begun, json!({}));
    let stranger = Signer::es256("k");
    for (token, error) in [
        (stranger.sign(&stranger.header(), &claims), SIGNATURE),
        ("no token".into(), FORM),
    ] {
        house.answers(&json!({"id_token": token}));
        let finished = house
            .provider
            .finish(CODE, &begun.nonce, "v".to_owned().into(), now());
        assert_eq!(finished.await.map(drop), Err(LoginError::Token(error)));
    }
    house.answers(&json!({"access_token": "an access token"}));
    assert_eq!(
        house.finish(begun).await.map(drop),
        Err(LoginError::NoIdToken)
    );
}

#[tokio::test]
async fn an_answer_that_names_another_issuer_or_none_where_it_must_is_not_followed() {
    let house = House::new();
    house.says(json!({"authorization_response_iss_parameter_supported": true}));
    for issuer in [Some("https://another.example"), Some(""), None] {
        let begun = house.begin().await;
        let answer = CallbackAnswer { issuer, ..CODE };
        let finished = house
            .provider
            .finish(answer, &begun.nonce, begun.verifier, now());
        assert_eq!(
            finished.await.map(drop),
            Err(LoginError::OtherIssuer),
            "{issuer:?}"
        );
    }
    assert!(
        house
            .service
            .asked()
            .iter()
            .all(|asked| asked.path != "/token")
    );
    let begun = house.begin().await;
    house.gives(&begun, json!({}));
    let issuer = Some(house.service.origin());
    let answer = CallbackAnswer { issuer, ..CODE };
    let finished = house
        .provider
        .finish(answer, &begun.nonce, begun.verifier, now());
    assert!(finished.await.is_ok());
}

#[tokio::test]
async fn a_code_that_the_provider_refuses_is_told_from_a_provider_that_fails() {
    for (reply, is_unavailable) in [
        (Reply::status(400, r#"{"error":"invalid_grant"}"#), false),
        (Reply::status(401, r#"{"error":"invalid_client"}"#), false),
        (Reply::status(400, "<h1>no</h1>"), true),
        (Reply::status(503, r#"{"error":"x"}"#), true),
        (Reply::status(302, ""), true),
        (Reply::ok("no JSON"), true),
        (Reply::ok(" ".repeat(200_000)), true),
        (Reply::hang(), true),
    ] {
        let mut house = House::new();
        house.provider = house.provider.timeout(reply.patience());
        let begun = house.begin().await;
        house.service.reply("/token", reply.clone());
        let error = house.finish(begun).await.unwrap_err();
        assert_eq!(error.is_unavailable(), is_unavailable, "{reply:?}: {error}");
    }
}

#[tokio::test]
async fn metadata_are_fetched_once_an_hour_and_serve_a_day_while_they_cannot_be() {
    let house = House::new();
    let document = || {
        let asked = house.service.asked();
        asked
            .iter()
            .filter(|asked| asked.path.ends_with("openid-configuration"))
            .count()
    };
    let at = |seconds| Timestamp::from_secs(NOW + seconds);
    house.provider.begin(at(0)).await.unwrap();
    house.provider.begin(at(3599)).await.unwrap();
    assert_eq!(document(), 1);
    house.provider.begin(at(3600)).await.unwrap();
    assert_eq!(document(), 2);
    let gone = Reply::status(500, "");
    house
        .service
        .reply("/.well-known/openid-configuration", gone);
    house.provider.begin(at(3600 * 24)).await.unwrap();
    assert!(
        house
            .provider
            .begin(at(3600 * 25))
            .await
            .unwrap_err()
            .is_unavailable()
    );
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_or_calls_itself_otherwise_begins_no_login() {
    let away = Provider::new(nobody().as_str(), CLIENT, CALLBACK, outbound()).unwrap();
    assert!(away.begin(now()).await.unwrap_err().is_unavailable());
    let house = House::new();
    house.says(json!({"issuer": "https://another.example"}));
    let begun = house.provider.begin(now()).await;
    assert_eq!(begun.map(drop), Err(LoginError::OtherIssuer));
}

#[tokio::test]
async fn what_people_may_do_is_what_was_granted_or_stands_in_a_claim() {
    let house = House::new();
    let begun = house.begin().await;
    let token = house.token(&begun, json!({}));
    house.answers(&json!({"id_token": token, "scope": "openid"}));
    assert_eq!(
        house.finish(begun).await.unwrap().scopes.to_string(),
        "openid"
    );

    let mut house = House::new();
    house.provider = house.provider.with_scopes_claim("groups");
    for (groups, scopes) in [
        (json!(["staff", "a b", 7]), "staff"),
        (json!("staff admin"), "admin staff"),
        (json!(7), ""),
        (Value::Null, ""),
    ] {
        let begun = house.begin().await;
        house.gives(&begun, json!({"groups": groups}));
        assert_eq!(
            house.finish(begun).await.unwrap().scopes.to_string(),
            scopes
        );
    }
}

#[tokio::test]
async fn who_logs_out_is_sent_to_the_provider_if_it_has_a_place_for_that() {
    let house = House::new();
    let url = house
        .provider
        .logout_url(Some("hint"), "https://gate.example/", now());
    let url = url.await.unwrap().unwrap();
    let end = "/end?id_token_hint=hint&client_id=the+gate\
        &post_logout_redirect_uri=https%3A%2F%2Fgate.example%2F";
    assert_eq!(url, format!("{}{end}", house.service.origin()));

    let house = House::new();
    house.says(json!({"end_session_endpoint": null}));
    let url = house
        .provider
        .logout_url(None, "https://gate.example/", now());
    assert_eq!(url.await, Ok(None));
}

#[tokio::test]
async fn nothing_secret_shows_in_debug() {
    let house = House::new();
    let begun = house.begin().await;
    assert_eq!(format!("{begun:?}"), "Begun { .. }");
    house.gives(&begun, json!({}));
    let logged_in = house.finish(begun).await.unwrap();
    assert!(!format!("{logged_in:?}").contains(logged_in.id_token.expose_secret()));
    assert!(!format!("{CODE:?}").contains("a code"));
}

pub(crate) const CODE: CallbackAnswer<'static> = CallbackAnswer {
    code: "a code",
    issuer: None,
};

impl House {
    pub(crate) fn new() -> Self {
        let service = Service::start();
        let signer = Signer::es256("k");
        let scopes = ["chat"].into_iter().collect();
        let provider = Provider::new(service.origin(), CLIENT, CALLBACK, outbound());
        let house = Self {
            provider: provider.unwrap().with_scopes(&scopes),
            signer,
            service,
        };
        house
            .service
            .reply("/keys", Reply::ok(set([house.signer.jwk()])));
        house.says(json!({}));
        house
    }

    /// Publishes its metadata, with these changes.
    fn says(&self, change: Value) {
        let origin = self.service.origin();
        let mut document = json!({
            "issuer": origin,
            "jwks_uri": format!("{origin}/keys"),
            "authorization_endpoint": format!("{origin}/auth?kept=yes"),
            "token_endpoint": format!("{origin}/token"),
            "end_session_endpoint": format!("{origin}/end"),
            "code_challenge_methods_supported": ["S256"],
        });
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        let document = Reply::ok(document.to_string());
        self.service
            .reply("/.well-known/openid-configuration", document);
    }

    async fn begin(&self) -> Begun {
        self.provider.begin(now()).await.unwrap()
    }

    fn claims(&self, begun: &Begun, change: Value) -> Value {
        let mut claims = json!({
            "iss": self.service.origin(),
            "aud": CLIENT,
            "sub": "ada",
            "exp": NOW + 60,
            "iat": NOW,
            "nonce": begun.nonce,
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn token(&self, begun: &Begun, change: Value) -> String {
        self.signer
            .sign(&self.signer.header(), &self.claims(begun, change))
    }

    /// Gives a good ID token with these changes for any code.
    fn gives(&self, begun: &Begun, change: Value) {
        let token = self.token(begun, change);
        self.answers(&json!({"id_token": token, "access_token": "an access token"}));
    }

    fn answers(&self, tokens: &Value) {
        self.service.reply("/token", Reply::ok(tokens.to_string()));
    }

    async fn finish(&self, begun: Begun) -> Result<LoggedIn, LoginError> {
        let Begun {
            nonce, verifier, ..
        } = begun;
        self.provider.finish(CODE, &nonce, verifier, now()).await
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

fn pairs(form: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .collect()
}
