//! Capability tokens, by the app-server's table 2.2.

use http::{HeaderValue, Request};
use portcullis_boundary::carrier::Carrier;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Identity, Rejection, Scopes, Verifier};
use portcullis_verifiers::capability::NamedToken;
use portcullis_verifiers::{CapabilityTokens, ConfigError};

use crate::support::{ask, header};

const TOKEN: &str = "s3cr3t";
const DIGEST: &str = "4e738ca5563c06cfd0018299933d58db1dd8bf97f6973dc99bf6cdc64b5550bd";
const UNKNOWN: Rejection = Rejection::Invalid(InvalidReason::UnknownToken);

#[test]
fn a_request_is_answered_as_the_app_server_answers_it() {
    for (lines, answer) in [
        (&[][..], Answer::Missing),
        (&["Bearer wrong"], Answer::Invalid),
        (&["Bearer s3cr3t more"], Answer::Invalid),
        (&["Bearer \"s3cr3t\""], Answer::Invalid),
        (&["Bearer S3CR3T"], Answer::Invalid),
        (&["Basic czNjcjN0"], Answer::Malformed),
        (&["s3cr3t"], Answer::Malformed),
        (&["Bearer"], Answer::Malformed),
        (&["Bearer "], Answer::Malformed),
        (&["Bearer\ts3cr3t"], Answer::Malformed),
        (&[""], Answer::Malformed),
        (&["Bearer s\u{e9}cret"], Answer::Malformed),
        (&["Bearer s3cr3t"], Answer::Admitted),
        (&["bearer s3cr3t"], Answer::Admitted),
        (&["BEARER s3cr3t"], Answer::Admitted),
        (&["Bearer  s3cr3t"], Answer::Admitted),
        (&["Bearer s3cr3t  "], Answer::Admitted),
        // Stricter than the app-server, which takes the first.
        (&["Bearer s3cr3t", "Bearer wrong"], Answer::Malformed),
        (&["Bearer wrong", "Bearer s3cr3t"], Answer::Malformed),
    ] {
        let lines = lines.iter().map(|line| ("AUTHORIZATION", *line));
        assert_eq!(answer_to("/", lines.clone()), answer, "{lines:?}");
    }
}

#[test]
fn other_places_than_the_header_are_not_looked_at() {
    assert_eq!(answer_to("/?token=s3cr3t", []), Answer::Missing);
    for line in [
        ("proxy-authorization", "Bearer s3cr3t"),
        ("sec-websocket-protocol", "bearer, s3cr3t"),
        ("cookie", "token=s3cr3t"),
    ] {
        assert_eq!(answer_to("/", [line]), Answer::Missing, "{line:?}");
    }
}

#[test]
fn a_token_is_trimmed_and_may_have_spaces_inside() {
    let verifier = CapabilityTokens::from_token("t", "\n pad-token with space \r\n").unwrap();
    assert!(ask(&verifier, "pad-token with space").is_ok());
    assert_eq!(ask(&verifier, "pad-token"), Err(UNKNOWN));
    let with_bom = CapabilityTokens::from_token("t", "\u{feff}s3cr3t").unwrap();
    assert_eq!(ask(&with_bom, TOKEN), Err(UNKNOWN));
}

#[test]
fn a_digest_serves_in_place_of_its_token() {
    for hex in [
        DIGEST,
        &DIGEST.to_uppercase(),
        &format!(" {}\n", DIGEST.replace('d', "D")),
    ] {
        let verifier = CapabilityTokens::from_sha256_hex("t", hex).unwrap();
        assert!(ask(&verifier, TOKEN).is_ok());
        assert_eq!(ask(&verifier, DIGEST), Err(UNKNOWN));
    }
}

#[test]
fn a_sole_token_gives_the_configured_identity() {
    let verifier = CapabilityTokens::from_token("tokens", TOKEN).unwrap();
    let identity = Identity::new("capability")
        .verified_by("tokens")
        .with_credential_id("capability")
        .with_key_id("4e738ca5563c06cf");
    assert_eq!(ask(&verifier, TOKEN), Ok(identity));

    let verifier = verifier
        .with_subject("operator")
        .with_scopes(Scopes::parse("chat"));
    let identity = ask(&verifier, TOKEN).unwrap();
    assert_eq!(identity.subject(), "operator");
    assert_eq!(identity.scopes().to_string(), "chat");
    assert_eq!(identity.credential_id(), Some("capability"));
}

#[test]
fn each_token_of_a_file_gives_its_own_identity() {
    let text = "# people\nada: first\nbob: second\n\ncy: third\n";
    let verifier = CapabilityTokens::from_tokens_file("people", text).unwrap();
    for (token, name) in [("first", "ada"), ("second", "bob"), ("third", "cy")] {
        let identity = ask(&verifier, token).unwrap();
        assert_eq!(identity.subject(), name);
        assert_eq!(identity.credential_id(), Some(name));
    }
    assert_eq!(ask(&verifier, "fourth"), Err(UNKNOWN));
    assert_eq!(ask(&verifier, ""), Err(UNKNOWN));
    assert_eq!(ask(&verifier, &"x".repeat(50_000)), Err(UNKNOWN));
}

#[test]
fn a_token_that_was_taken_out_is_vouched_for_no_more() {
    let verifier = CapabilityTokens::from_tokens_file("people", "ada:first\nbob:second").unwrap();
    let ada = ask(&verifier, "first").unwrap();
    let bob = ask(&verifier, "second").unwrap();
    let reloaded = CapabilityTokens::from_tokens_file("people", "bob:second\nada:new").unwrap();
    assert!(verifier.vouches_for(&ada));
    assert!(!reloaded.vouches_for(&ada));
    assert!(reloaded.vouches_for(&bob));
    assert!(!reloaded.vouches_for(&Identity::new("ada")));
}

#[test]
fn everything_is_recognised() {
    let verifier = CapabilityTokens::from_token("tokens", TOKEN).unwrap();
    for text in ["s3cr3t", "a.b.c", "", "two words"] {
        assert!(verifier.recognises(&header(text)));
    }
}

#[test]
fn tokens_that_cannot_serve_are_refused() {
    let file = |text| CapabilityTokens::from_tokens_file("t", text).unwrap_err();
    let empty = |name: &str| ConfigError::TokenEmpty { name: name.into() };
    assert_eq!(
        CapabilityTokens::from_token("t", " \n").unwrap_err(),
        empty("capability")
    );
    assert_eq!(file("ada:"), empty("ada"));
    assert_eq!(file("# none\n"), ConfigError::NoToken);
    assert_eq!(
        file("ada:a\nno token"),
        ConfigError::LineMalformed { line: 2 }
    );
    let duplicate_name = file("ada:a\nbob:b\nada:c");
    assert_eq!(
        duplicate_name.to_string(),
        "the name `ada` stands for two tokens"
    );
    let duplicate_token = file("ada:a\nbob:b\ncy: a");
    assert_eq!(
        duplicate_token.to_string(),
        "`ada` and `cy` are the same token"
    );
    for hex in ["", "abc", &DIGEST[1..], &DIGEST.replace('4', "g"), TOKEN] {
        let error = CapabilityTokens::from_sha256_hex("t", hex).unwrap_err();
        let text = "must be a 64-character hex SHA-256 digest";
        assert_eq!(error.to_string(), text, "{hex:?}");
    }
}

#[test]
fn debug_shows_names_and_no_token_and_no_digest() {
    let verifier = CapabilityTokens::from_token("tokens", TOKEN).unwrap();
    let shown = format!("{verifier:?} {:?}", NamedToken::new("ada", TOKEN).unwrap());
    assert!(shown.contains("ada") && shown.contains("4e738ca5563c06cf"));
    assert!(!shown.contains(TOKEN) && !shown.contains(&DIGEST[..17]));
}

#[derive(Debug, Eq, PartialEq)]
enum Answer {
    Admitted,
    Invalid,
    Malformed,
    Missing,
}

fn answer_to<'a>(uri: &str, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Answer {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request = request.header(name, value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    let credential = match Carrier::Header.extract(&head) {
        Ok(Some(credential)) => credential,
        Ok(None) => return Answer::Missing,
        Err(_) => return Answer::Malformed,
    };
    let verifier = CapabilityTokens::from_token("tokens", TOKEN).unwrap();
    match ask(&verifier, credential.expose()) {
        Ok(_) => Answer::Admitted,
        Err(rejection) => {
            assert_eq!(rejection, UNKNOWN);
            Answer::Invalid
        }
    }
}
