//! Tokens of public keys: each way to be good, and each way to be wrong, with keys at hand.

use std::time::Duration;

use aws_lc_rs::hmac;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Rejection, Verifier};
use portcullis_verifiers::jwks::{Algorithm, Issuer, KeySet, KeySource};
use portcullis_verifiers::{ConfigError, Jwks};
use serde_json::{Value, json};

use crate::signer::{Signer, set};
use crate::support::{
    AUDIENCE, CLAIMS, FORM, ISSUER, NOW, SIGNATURE, ask, ask_at, encode, header, seal,
};

const ID: &str = "https://id.example";
const ALGORITHM: Rejection = Rejection::Invalid(InvalidReason::Algorithm);
const KEY: Rejection = Rejection::Invalid(InvalidReason::Key);
const TYPE: Rejection = Rejection::Invalid(InvalidReason::Type);

fn source(keys: impl IntoIterator<Item = Value>) -> KeySource {
    KeySource::fixed(KeySet::parse(set(keys).as_bytes()).unwrap())
}

fn issuer(keys: impl IntoIterator<Item = Value>) -> Issuer {
    Issuer::new(ID, ["gate"], source(keys))
        .unwrap()
        .max_clock_skew(Duration::ZERO)
        .unwrap()
}

fn jwks(keys: impl IntoIterator<Item = Value>) -> Jwks {
    Jwks::new("id", [issuer(keys)]).unwrap()
}

#[test]
fn each_algorithm_verifies_what_its_key_signed_and_what_no_other_key_did() {
    for algorithm in Algorithm::ALL {
        let (signer, other) = (Signer::new(algorithm, "k"), Signer::new(algorithm, "k"));
        let token = signer.token(ID, json!({"scope": "read"}));
        let identity = ask(&jwks([signer.jwk()]), &token).unwrap();
        assert_eq!(identity.subject(), "ada", "{algorithm}");
        assert_eq!(identity.key_id(), Some("k"));
        assert_eq!(identity.audience(), Some("gate"));
        assert_eq!(identity.verifier(), Some("id"));
        assert_eq!(identity.issuer(), Some(ID));
        assert_eq!(identity.scopes().to_string(), "read");
        let verdict = ask(&jwks([other.jwk()]), &token);
        assert_eq!(verdict, Err(SIGNATURE), "{algorithm}");
    }
}

#[test]
fn a_header_that_names_another_algorithm_than_the_one_that_signed_is_refused() {
    for signs in Algorithm::ALL {
        let signer = Signer::new(signs, "k");
        let verifier = jwks([signer.jwk()]);
        for says in Algorithm::ALL.into_iter().filter(|says| *says != signs) {
            let token = signer.sign(
                &json!({"alg": says.as_str(), "kid": "k"}),
                &json!({"iss": ID, "aud": "gate", "sub": "ada", "exp": NOW}),
            );
            let is_rsa =
                |one: Algorithm| one.as_str().contains('S') && !one.as_str().starts_with('E');
            let expected = if is_rsa(signs) && is_rsa(says) {
                SIGNATURE
            } else {
                KEY
            };
            assert_eq!(ask(&verifier, &token), Err(expected), "{signs} as {says}");
        }
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret_nor_none_for_an_algorithm() {
    let signer = Signer::new(Algorithm::Rs256, "k");
    let verifier = jwks([signer.jwk()]);
    let claims = encode(json!({"iss": ID, "aud": "gate", "sub": "ada", "exp": NOW}).to_string());
    let secrets = [
        signer.public_bytes(),
        signer.jwk().to_string().into_bytes(),
        signer.jwk()["n"].as_str().unwrap().into(),
    ];
    for (alg, hash) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        for secret in &secrets {
            let head = encode(json!({"alg": alg, "kid": "k"}).to_string());
            let tag = hmac::sign(
                &hmac::Key::new(hash, secret),
                format!("{head}.{claims}").as_bytes(),
            );
            let token = format!("{head}.{claims}.{}", encode(tag));
            assert_eq!(ask(&verifier, &token), Err(ALGORITHM), "{alg}");
        }
    }
    for alg in ["none", "None", "NONE", "", "rs256", "RS256 ", "ES256K"] {
        let head = encode(json!({"alg": alg, "kid": "k"}).to_string());
        for signature in ["", "AA"] {
            let token = format!("{head}.{claims}.{signature}");
            assert_eq!(ask(&verifier, &token), Err(ALGORITHM), "{alg}");
        }
    }
    let shared = seal(
        hmac::HMAC_SHA256,
        "x",
        &format!("{}.{claims}", encode(r#"{"kid":"k"}"#)),
    );
    assert_eq!(ask(&verifier, &shared), Err(FORM));
}

#[test]
fn only_the_allowed_algorithms_and_those_that_the_key_is_for_are_taken() {
    let signer = Signer::new(Algorithm::Rs256, "k");
    let token = signer.token(ID, json!({}));
    let only = |algorithm| {
        let issuer = issuer([signer.jwk()]).only_algorithms([algorithm]).unwrap();
        ask(&Jwks::new("id", [issuer]).unwrap(), &token).map(drop)
    };
    assert_eq!(only(Algorithm::Rs256), Ok(()));
    assert_eq!(only(Algorithm::Es256), Err(ALGORITHM));
    let mut for_pss = signer.jwk();
    for_pss["alg"] = "PS256".into();
    assert_eq!(ask(&jwks([for_pss.clone()]), &token), Err(KEY));
    let pss = signer.with(Algorithm::Ps256).token(ID, json!({}));
    assert!(ask(&jwks([for_pss]), &pss).is_ok());
}

#[test]
fn no_key_is_taken_from_a_token() {
    let (signer, mallory) = (Signer::es256("k"), Signer::es256("k"));
    let verifier = jwks([signer.jwk()]);
    let claims = json!({"iss": ID, "aud": "gate", "sub": "ada", "exp": NOW});
    for (name, value) in [
        ("jwk", mallory.jwk()),
        ("jku", json!("https://mallory.example/keys")),
        ("x5u", json!("https://mallory.example/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = mallory.header();
        header[name] = value;
        assert_eq!(
            ask(&verifier, &mallory.sign(&header, &claims)),
            Err(SIGNATURE),
            "{name}"
        );
        assert!(
            ask(&verifier, &signer.sign(&header, &claims)).is_ok(),
            "{name}"
        );
    }
    let mut critical = signer.header();
    critical["crit"] = json!(["exp"]);
    assert_eq!(ask(&verifier, &signer.sign(&critical, &claims)), Err(FORM));
}

#[test]
fn a_token_without_kid_needs_exactly_one_key_that_serves_its_algorithm() {
    let signer = Signer::es256("k").without_kid();
    let token = signer.token(ID, json!({}));
    let rsa = Signer::new(Algorithm::Rs256, "r");
    let identity = ask(&jwks([signer.jwk(), rsa.jwk()]), &token).unwrap();
    assert_eq!(identity.key_id().map(str::len), Some(16));
    let other = Signer::es256("other");
    assert_eq!(ask(&jwks([signer.jwk(), other.jwk()]), &token), Err(KEY));
    assert_eq!(ask(&jwks([rsa.jwk()]), &token), Err(KEY));
}

#[test]
fn an_unknown_kid_is_said_to_be_unknown_even_where_one_key_would_do() {
    let signer = Signer::es256("k");
    let token = signer.token(ID, json!({}));
    let mut renamed = signer.jwk();
    renamed["kid"] = "other".into();
    assert_eq!(ask(&jwks([renamed]), &token), Err(Rejection::KeyUnknown));
    for kid in [json!(7), json!(null), json!(["k"])] {
        let header = json!({"alg": "ES256", "kid": kid});
        let token = signer.sign(&header, &json!({"iss": ID, "exp": NOW}));
        assert_eq!(ask(&jwks([signer.jwk()]), &token), Err(FORM));
    }
}

#[test]
fn a_key_counts_for_the_tokens_of_its_own_issuer_alone() {
    let (ours, theirs) = (Signer::es256("k"), Signer::es256("k"));
    let other = "https://other.example";
    let verifier = Jwks::new(
        "id",
        [
            issuer([ours.jwk()]),
            Issuer::new(other, ["gate"], source([theirs.jwk()])).unwrap(),
        ],
    )
    .unwrap();
    for (signer, issuer, expected) in [
        (&ours, ID, Ok(ID)),
        (&theirs, other, Ok(other)),
        (&theirs, ID, Err(SIGNATURE)),
        (&ours, other, Err(SIGNATURE)),
        (&ours, "https://id.example/", Err(ISSUER)),
        (&ours, "", Err(ISSUER)),
    ] {
        let verdict = ask(&verifier, &signer.token(issuer, json!({})));
        let found = verdict.as_ref().map(|identity| identity.issuer().unwrap());
        assert_eq!(found, expected.as_ref().copied(), "{issuer}");
    }
}

#[test]
fn each_claim_is_asked_for() {
    let signer = Signer::es256("k");
    for (claims, expected) in [
        (json!({}), Ok(())),
        (json!({"aud": ["x", "gate"]}), Ok(())),
        (json!({"aud": "x"}), Err(AUDIENCE)),
        (json!({"aud": ["x"]}), Err(AUDIENCE)),
        (json!({"aud": null}), Err(AUDIENCE)),
        (json!({"aud": 7}), Err(CLAIMS)),
        (json!({"cnf": {"jkt": "x"}}), Err(TYPE)),
        (json!({"sub": ""}), Err(CLAIMS)),
        (json!({"sub": null}), Err(CLAIMS)),
        (json!({"sub": 7}), Err(CLAIMS)),
        (json!({"exp": null}), Err(CLAIMS)),
        (json!({"exp": "1800000060"}), Err(CLAIMS)),
        (json!({"exp": 1.5}), Err(CLAIMS)),
        (json!({"nbf": "0"}), Err(CLAIMS)),
        (json!({"iss": 7}), Err(ISSUER)),
        (json!({"exp": NOW}), Ok(())),
        (json!({"exp": NOW - 1}), Err(Rejection::Expired)),
        (json!({"nbf": NOW}), Ok(())),
        (json!({"nbf": NOW + 1}), Err(Rejection::NotYetValid)),
        (json!({"exp": NOW - 1, "aud": "x"}), Err(AUDIENCE)),
        (json!({"exp": NOW - 1, "sub": ""}), Err(CLAIMS)),
    ] {
        let verdict = ask(&jwks([signer.jwk()]), &signer.token(ID, claims.clone()));
        assert_eq!(verdict.map(drop), expected, "{claims}");
    }
}

#[test]
fn what_an_issuer_is_told_to_ask_for_is_asked_for() {
    let signer = Signer::es256("k");
    let verdict = |issuer: Issuer, typ: Value, claims: Value| {
        let mut header = signer.header();
        header["typ"] = typ;
        let mut all = json!({"iss": ID, "aud": "gate", "sub": "ada", "exp": NOW});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let verifier = Jwks::new("id", [issuer]).unwrap();
        ask(&verifier, &signer.sign(&header, &all)).map(|identity| identity.subject().to_owned())
    };
    let access = || issuer([signer.jwk()]).with_token_type("AT+JWT");
    for (typ, is_good) in [
        ("at+jwt", true),
        ("application/at+JWT", true),
        ("JWT", false),
    ] {
        let expected = if is_good { Ok("ada".into()) } else { Err(TYPE) };
        assert_eq!(verdict(access(), json!(typ), json!({})), expected, "{typ}");
    }
    assert_eq!(verdict(access(), json!(null), json!({})), Err(TYPE));
    let mail = || issuer([signer.jwk()]).with_subject_claim("email");
    assert_eq!(verdict(mail(), json!("JWT"), json!({})), Err(CLAIMS));
    assert_eq!(
        verdict(mail(), json!("JWT"), json!({"email": "a@b"})),
        Ok("a@b".into())
    );
    let group = || issuer([signer.jwk()]).requiring(["group"]);
    assert_eq!(verdict(group(), json!("JWT"), json!({})), Err(CLAIMS));
    assert_eq!(
        verdict(group(), json!("JWT"), json!({"group": null})),
        Err(CLAIMS)
    );
    assert!(verdict(group(), json!("JWT"), json!({"group": []})).is_ok());
    let any = Issuer::dangerous_for_any_audience(ID, source([signer.jwk()])).unwrap();
    assert!(verdict(any, json!("JWT"), json!({"aud": "x"})).is_ok());
}

#[test]
fn a_token_that_was_good_is_asked_for_its_time_each_time() {
    let signer = Signer::es256("k");
    let verifier = jwks([signer.jwk()]);
    let token = signer.token(ID, json!({"exp": NOW}));
    let at = |seconds| ask_at(&verifier, &token, Timestamp::from_secs(seconds)).map(drop);
    for _ in 0..2 {
        assert_eq!(at(NOW), Ok(()));
        assert_eq!(at(NOW + 1), Err(Rejection::Expired));
    }
}

#[test]
fn what_differs_in_one_byte_from_a_token_that_was_good_is_refused() {
    let signer = Signer::es256("k");
    let verifier = jwks([signer.jwk()]);
    let token = signer.token(ID, json!({}));
    assert!(ask(&verifier, &token).is_ok());
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(ask(&verifier, &changed).is_err(), "{at}");
    }
    let long = format!("{token}{}", "A".repeat(16 * 1024));
    assert_eq!(ask(&verifier, &long), Err(FORM));
}

#[test]
fn it_vouches_as_long_as_issuer_audience_and_key_are_configured() {
    let (signer, next) = (Signer::es256("k"), Signer::es256("next"));
    let identity = ask(&jwks([signer.jwk()]), &signer.token(ID, json!({}))).unwrap();
    assert!(jwks([signer.jwk(), next.jwk()]).vouches_for(&identity));
    assert!(!jwks([next.jwk()]).vouches_for(&identity));
    for (id, audience) in [("https://other.example", "gate"), (ID, "other")] {
        let issuer = Issuer::new(id, [audience], source([signer.jwk()])).unwrap();
        assert!(!Jwks::new("id", [issuer]).unwrap().vouches_for(&identity));
    }
}

#[test]
fn what_cannot_be_meant_is_refused_when_it_is_built() {
    let keys = || source([Signer::es256("k").jwk()]);
    let none: [&str; 0] = [];
    assert_eq!(
        Issuer::new(" ", ["a"], keys()).unwrap_err(),
        ConfigError::IssuerMissing
    );
    assert_eq!(
        Issuer::new(ID, none, keys()).unwrap_err(),
        ConfigError::AudienceMissing
    );
    assert_eq!(
        Issuer::new(ID, [""], keys()).unwrap_err(),
        ConfigError::AudienceMissing
    );
    let one = || Issuer::new(ID, ["a"], keys()).unwrap();
    assert_eq!(
        one().only_algorithms([]).unwrap_err(),
        ConfigError::NoAlgorithm
    );
    assert_eq!(Jwks::new("id", []).unwrap_err(), ConfigError::IssuerMissing);
    let twice = Jwks::new("id", [one(), one()]).unwrap_err();
    assert_eq!(twice, ConfigError::DuplicateIssuer { issuer: ID.into() });
}

#[test]
fn alone_it_recognises_everything_and_before_others_only_jwt_shapes() {
    let keys = [Signer::es256("k").jwk()];
    assert!(jwks(keys.clone()).recognises(&header("s3cr3t")));
    assert!(
        !jwks(keys)
            .only_jwt_shapes(true)
            .recognises(&header("s3cr3t"))
    );
}
