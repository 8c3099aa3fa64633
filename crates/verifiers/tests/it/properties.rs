//! What holds of every token.

use portcullis_verifiers::CapabilityTokens;
use portcullis_verifiers::hmac_jwt::{Algorithm, dangerous_inspect, sign};
use proptest::prelude::*;
use serde_json::Map;

use crate::support::{NOW, SECRET, ask, encode, jwt, mint, secret};

#[test]
fn a_token_with_any_one_byte_changed_is_never_admitted() {
    let claims = Map::from_iter([("exp".to_owned(), NOW.into())]);
    let token = sign::sign(&secret(SECRET), Algorithm::Hs256, claims);
    assert!(ask(&jwt(), &token).is_ok());
    for at in 0..token.len() {
        for byte in (0..=0x7f).filter(|byte| *byte != token.as_bytes()[at]) {
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            assert!(ask(&jwt(), &changed).is_err(), "{changed:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_token_with_a_part_missing_doubled_or_moved_is_never_admitted(
        from in 0_usize..200, to in 0_usize..200, into in 0_usize..200, keep: bool,
    ) {
        let claims = Map::from_iter([("exp".to_owned(), NOW.into())]);
        let token = sign::sign(&secret(SECRET), Algorithm::Hs256, claims);
        let (from, to) = (from.min(token.len()), to.min(token.len()));
        let (from, to) = (from.min(to), from.max(to));
        let part = &token[from..to];
        let mut changed = token.clone();
        if !keep {
            changed.replace_range(from..to, "");
        }
        changed.insert_str(into.min(changed.len()), part);
        prop_assume!(changed != token);
        prop_assert!(ask(&jwt(), &changed).is_err());
    }

    #[test]
    fn no_text_is_too_strange_to_be_refused(text in any::<String>()) {
        let tokens = CapabilityTokens::from_token("tokens", SECRET).unwrap();
        prop_assert!(ask(&jwt(), &text).is_err());
        prop_assert!(ask(&tokens, &text).is_err());
        let _: Result<_, _> = dangerous_inspect(&text);
    }

    #[test]
    fn no_segments_are_too_strange_to_be_refused(
        header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), tag in any::<Vec<u8>>(),
    ) {
        let token = format!("{}.{}.{}", encode(header), encode(payload), encode(tag));
        prop_assert!(ask(&jwt(), &token).is_err());
    }

    #[test]
    fn no_signed_payload_is_too_strange_to_be_judged(
        payload in r#"\{("(exp|nbf|iss|aud|sub|scope)":(-?[0-9]{1,20}(\.0|e9)?|null|"a?"|\[("b",?){0,2}\]),?){0,4}\}"#,
    ) {
        let token = mint(r#"{"alg":"HS256"}"#, &payload);
        let _: Result<_, _> = ask(&jwt(), &token);
        let _: Result<_, _> = ask(&jwt().with_issuer("a").with_audience("b"), &token);
    }
}
