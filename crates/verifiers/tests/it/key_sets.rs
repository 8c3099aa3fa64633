//! Key sets: which are taken, and what of them.

use portcullis_verifiers::jwks::{Algorithm, KeySet, KeySetError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::signer::{Signer, set};
use crate::support::encode;

/// A key with these members set; null takes one away.
fn changed(mut jwk: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value.clone();
        }
    }
    jwk
}

#[test]
fn keys_that_are_of_no_use_are_left_out_and_the_others_count() {
    let good = Signer::es256("good").jwk();
    let (ec, rsa, ed) = (
        Signer::es256("x").jwk(),
        Signer::new(Algorithm::Rs256, "x").jwk(),
        Signer::new(Algorithm::EdDsa, "x").jwk(),
    );
    let mut weak = vec![0xff; 128];
    let mut even = vec![0xff; 256];
    even[255] = 0xfe;
    let bits_2047 = [&[0x7f], &[0xff; 255][..]].concat();
    weak[127] = 0xfd;
    for (jwk, members) in [
        (&ec, json!({"use": "enc"})),
        (&ec, json!({"key_ops": ["encrypt"]})),
        (&ec, json!({"key_ops": "verify"})),
        (&ec, json!({"alg": "ES384"})),
        (&ec, json!({"alg": "RS256"})),
        (&ec, json!({"alg": "HS256"})),
        (&ec, json!({"alg": "none"})),
        (&ec, json!({"alg": 7})),
        (&ec, json!({"crv": "P-384"})),
        (&ec, json!({"crv": "secp256k1"})),
        (&ec, json!({"crv": null})),
        (&ec, json!({"y": null})),
        (&ec, json!({"x": encode([1; 32]), "y": encode([1; 32])})),
        (&ec, json!({"x": encode([0; 31])})),
        (&ec, json!({"x": "!"})),
        (&ec, json!({"kty": "RSA"})),
        (&ec, json!({"kty": "AKP"})),
        (&ed, json!({"crv": "Ed448"})),
        (&ed, json!({"crv": "X25519"})),
        (&ed, json!({"x": encode([1; 31])})),
        (&rsa, json!({"n": encode(weak)})),
        (&rsa, json!({"n": encode(bits_2047)})),
        (&rsa, json!({"n": encode(even)})),
        (&rsa, json!({"n": encode([0xff; 1025])})),
        (&rsa, json!({"n": ""})),
        (&rsa, json!({"e": "AQ"})),
        (&rsa, json!({"e": "Ag"})),
        (&rsa, json!({"e": encode([0xff; 5])})),
        (&rsa, json!({"e": encode([0, 1, 1])})),
        (&rsa, json!({"e": ""})),
    ] {
        let jwk = changed(jwk.clone(), &members);
        let alone = KeySet::parse(set([jwk.clone()]).as_bytes());
        assert_eq!(alone.unwrap_err(), KeySetError::Useless, "{members}");
        let both = KeySet::parse(set([jwk, good.clone()]).as_bytes()).unwrap();
        assert_eq!((both.len(), both.left_out()), (1, 1), "{members}");
    }
}

#[test]
fn what_does_not_speak_against_a_key_is_not_looked_at() {
    let rsa = Signer::new(Algorithm::Rs256, "x").jwk();
    for members in [
        json!({"use": "sig", "key_ops": ["verify"], "alg": "PS512"}),
        json!({"x5c": ["MIIB"], "x5t": "x", "x5u": "https://id.example", "new": {"k": 1}}),
        json!({"kid": null}),
    ] {
        let jwk = changed(rsa.clone(), &members);
        assert_eq!(KeySet::parse(set([jwk]).as_bytes()).unwrap().len(), 1);
    }
}

#[test]
fn one_suspect_key_makes_the_whole_set_suspect() {
    let good = Signer::es256("good").jwk();
    let oct = json!({"kty": "oct", "kid": "x", "k": "c2VjcmV0"});
    let private = changed(Signer::es256("x").jwk(), &json!({"d": "AQAB"}));
    let namesake = Signer::es256("good").jwk();
    let numbered = changed(Signer::es256("x").jwk(), &json!({"kid": 7}));
    let kindless = changed(Signer::es256("x").jwk(), &json!({"kty": null}));
    let ambiguous = KeySetError::Ambiguous { kid: "good".into() };
    for (bad, error) in [
        (oct, KeySetError::Symmetric),
        (
            changed(good.clone(), &json!({"k": "AQAB"})),
            KeySetError::Symmetric,
        ),
        (private, KeySetError::Private),
        (namesake, ambiguous),
        (numbered, KeySetError::Malformed),
        (kindless, KeySetError::Malformed),
        (json!({"kty": 7}), KeySetError::Malformed),
        (json!("key"), KeySetError::Malformed),
    ] {
        for keys in [[good.clone(), bad.clone()], [bad.clone(), good.clone()]] {
            assert_eq!(
                KeySet::parse(set(keys).as_bytes()).unwrap_err(),
                error,
                "{bad}"
            );
        }
    }
}

#[test]
fn one_name_may_stand_for_keys_of_two_kinds_and_the_same_key_may_stand_twice() {
    let (ec, rsa) = (
        Signer::es256("k").jwk(),
        Signer::new(Algorithm::Rs256, "k").jwk(),
    );
    let both = KeySet::parse(set([ec.clone(), rsa]).as_bytes()).unwrap();
    assert_eq!((both.len(), both.left_out()), (2, 0));
    let twice = KeySet::parse(set([ec.clone(), ec]).as_bytes()).unwrap();
    assert_eq!((twice.len(), twice.left_out()), (1, 1));
}

#[test]
fn what_is_no_set_is_refused() {
    let key = Signer::es256("k").jwk();
    for (text, error) in [
        (String::new(), KeySetError::Malformed),
        ("<html>".into(), KeySetError::Malformed),
        ("[]".into(), KeySetError::Malformed),
        ("{}".into(), KeySetError::Malformed),
        (r#"{"keys":{}}"#.into(), KeySetError::Malformed),
        (r#"{"keys":[],"keys":[]}"#.into(), KeySetError::Malformed),
        (r#"{"keys":[]}"#.into(), KeySetError::Useless),
        (set(vec![key.clone(); 101]), KeySetError::TooMany),
        (
            format!("{}{}", set([key]), " ".repeat(256 * 1024)),
            KeySetError::TooLarge,
        ),
    ] {
        assert_eq!(KeySet::parse(text.as_bytes()).unwrap_err(), error);
    }
}

proptest! {
    #[test]
    fn any_members_make_a_set_or_a_typed_error(
        kty in "EC|RSA|OKP|oct|[a-z]{0,3}", crv in "P-(256|384|521)|Ed25519|[a-z]{0,3}",
        texts in proptest::collection::vec("[A-Za-z0-9_-]{0,90}", 4),
        text in ".{0,60}",
    ) {
        let [x, y, n, e] = <[String; 4]>::try_from(texts).unwrap();
        let jwk = json!({"kty": kty, "crv": crv, "x": x, "y": y, "n": n, "e": e});
        let _: Result<KeySet, KeySetError> = KeySet::parse(set([jwk]).as_bytes());
        let _: Result<KeySet, KeySetError> = KeySet::parse(text.as_bytes());
        let _: Result<KeySet, KeySetError> = KeySet::parse_certificates(text.as_bytes());
    }
}
