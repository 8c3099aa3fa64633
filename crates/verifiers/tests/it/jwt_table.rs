//! Signed bearer tokens, by the app-server's table 2.3.

use aws_lc_rs::hmac;
use portcullis_boundary::Rejection;
use portcullis_verifiers::HmacJwt;

use crate::support::{
    AUDIENCE, CLAIMS, FORM, HS256, ISSUER, NOW, OTHER_SECRET, SECRET, SIGNATURE, ask, claiming,
    encode, jwt, mint, seal,
};

#[test]
fn what_is_not_signed_with_the_secret_is_invalid() {
    let input = format!("{}.{}", encode(HS256), encode(r#"{"exp":1900000000}"#));
    let good = seal(hmac::HMAC_SHA256, SECRET, &input);
    assert!(ask(&jwt(), &good).is_ok());
    let (_, tag) = good.rsplit_once('.').unwrap();
    for token in [
        seal(hmac::HMAC_SHA256, OTHER_SECRET, &input),
        seal(hmac::HMAC_SHA384, SECRET, &input),
        format!("{input}."),
        format!("{input}.{}", &tag[..40]),
        format!("{input}.{tag}AAAA"),
        format!(
            "{}.{}.{tag}",
            encode(HS256),
            encode(r#"{"exp":1900000001}"#)
        ),
    ] {
        assert_eq!(ask(&jwt(), &token), Err(SIGNATURE), "{token}");
    }
}

#[test]
fn what_is_no_jws_is_of_another_form() {
    let good = claiming("");
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, tag] = parts[..] else {
        panic!("three segments")
    };
    let (last, rest) = (tag.as_bytes()[42], &tag[..42]);
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "s3cr3t".into(),
        "not.a.jwt".into(),
        format!("{head}.{body}"),
        format!("{good}."),
        format!("{good}.{tag}"),
        format!(".{body}.{tag}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{head}.{body}.{tag}="),
        format!("{head}=.{body}.{tag}"),
        // One unused bit of the last character set: the same bytes in another spelling.
        format!("{head}.{body}.{rest}{}", char::from(last + 1)),
        format!("{head}.{body}.{}+{}", &tag[..20], &tag[21..]),
        format!("{head}.{body}.{}/{}", &tag[..20], &tag[21..]),
        format!("{head}.{body}.\u{e9}{tag}"),
    ] {
        assert_eq!(ask(&jwt(), &token), Err(FORM), "{token}");
    }
}

#[test]
fn standard_base64_and_padding_are_no_spelling_even_when_signed() {
    // `?>` gives `-` and `_` in one alphabet, `+` and `/` in the other.
    let payload = encode(format!(r#"{{"exp":{NOW},"a":"~~~???>>>"}}"#));
    assert!(payload.contains('_') || payload.contains('-'));
    let standard = payload.replace('-', "+").replace('_', "/");
    let head = encode(HS256);
    for input in [format!("{head}.{standard}"), format!("{head}.{payload}==")] {
        let token = seal(hmac::HMAC_SHA256, SECRET, &input);
        assert_eq!(ask(&jwt(), &token), Err(FORM), "{input}");
    }
}

#[test]
fn a_header_of_another_algorithm_or_of_an_unreadable_form_is_refused() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"HS256","x":1,"x":2}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256","kid":null}"#,
        r#"{"alg":"HS256","kid":["a"]}"#,
        r#"["alg","HS256"]"#,
        r#""HS256""#,
        r#"{"alg":"HS256""#,
        "",
        "\u{feff}{\"alg\":\"HS256\"}",
    ] {
        let token = mint(header, format!(r#"{{"exp":{NOW}}}"#));
        assert_eq!(ask(&jwt(), &token), Err(FORM), "{header}");
    }
}

#[test]
fn critical_extensions_are_refused_as_none_is_understood() {
    // Stricter than the app-server, which ignores `crit` against RFC 7515, 4.1.11.
    for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "null", "7"] {
        let header = format!(r#"{{"alg":"HS256","b64":true,"crit":{crit}}}"#);
        let token = mint(&header, format!(r#"{{"exp":{NOW}}}"#));
        assert_eq!(ask(&jwt(), &token), Err(FORM), "{header}");
    }
}

#[test]
fn what_else_a_header_says_is_not_looked_at() {
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"anything"}"#,
        r#"{"alg":"HS256","kid":"unknown"}"#,
        r#"{"alg":"HS256","kid":""}"#,
        r#"{"alg":"HS256","jku":"https://keys.example/"}"#,
        r#"{"alg":"HS256","x5u":"https://keys.example/"}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","b64":false}"#,
        " {\"alg\" : \"HS256\"}\n",
    ] {
        let token = mint(header, format!(r#"{{"exp":{NOW}}}"#));
        assert!(ask(&jwt(), &token).is_ok(), "{header}");
    }
}

#[test]
fn a_payload_is_an_object_without_duplicates() {
    for payload in [
        "",
        "null",
        "[]",
        "\"text\"",
        "1800000000",
        "{",
        "{\"exp\":1900000000",
        "{\"exp\":1900000000}}",
        "{'exp':1900000000}",
        "\u{feff}{\"exp\":1900000000}",
        "{\"exp\":1900000000,\"exp\":1900000000}",
        "{\"exp\":1900000000,\"sub\":\"a\",\"sub\":\"b\"}",
        "{\"exp\":1900000000,\"x\":1,\"x\":1}",
        "{\"exp\":1900000000,\"x\":{\"y\":1,\"y\":1}}",
    ] {
        let token = mint(HS256, payload);
        assert_eq!(ask(&jwt(), &token), Err(CLAIMS), "{payload}");
    }
    let token = mint(HS256, b"{\"exp\":1900000000,\"sub\":\"\xff\"}");
    assert_eq!(ask(&jwt(), &token), Err(CLAIMS));
}

#[test]
fn an_expiry_is_an_integer() {
    for exp in [
        "null",
        "\"1900000000\"",
        "1900000000.5",
        "123.0",
        "1e10",
        "9223372036854775808",
        "99999999999999999999999",
        "true",
        "[1900000000]",
        "{}",
    ] {
        let token = mint(HS256, format!(r#"{{"exp":{exp}}}"#));
        assert_eq!(ask(&jwt(), &token), Err(CLAIMS), "{exp}");
    }
    assert_eq!(ask(&jwt(), &mint(HS256, "{}")), Err(CLAIMS));
    assert!(ask(&jwt(), &mint(HS256, r#"{"exp":9223372036854775807}"#)).is_ok());
}

#[test]
fn a_start_is_an_integer_or_null_or_absent() {
    for nbf in ["null", "0", "-5", "1800000000", "-9223372036854775808"] {
        assert!(ask(&jwt(), &claiming(&format!(r#""nbf":{nbf}"#))).is_ok());
    }
    for nbf in ["\"1\"", "1.5", "1.0", "true", "[]", "9223372036854775808"] {
        let token = claiming(&format!(r#""nbf":{nbf}"#));
        assert_eq!(ask(&jwt(), &token), Err(CLAIMS), "{nbf}");
    }
}

#[test]
fn the_types_of_issuer_and_audience_count_even_when_nobody_asks_for_them() {
    for claims in [
        r#""iss":7"#,
        r#""iss":["a"]"#,
        r#""iss":true"#,
        r#""iss":{}"#,
        r#""aud":7"#,
        r#""aud":["gate",7]"#,
        r#""aud":["gate",null]"#,
        r#""aud":[["gate"]]"#,
        r#""aud":false"#,
        r#""aud":{}"#,
    ] {
        assert_eq!(ask(&jwt(), &claiming(claims)), Err(CLAIMS), "{claims}");
        assert_eq!(ask(&asking(), &claiming(claims)), Err(CLAIMS), "{claims}");
    }
    for claims in [
        r#""iss":null"#,
        r#""iss":"anyone""#,
        r#""aud":null"#,
        r#""aud":"anyone""#,
        r#""aud":[]"#,
        r#""aud":["one","two"]"#,
    ] {
        assert!(ask(&jwt(), &claiming(claims)).is_ok(), "{claims}");
    }
}

#[test]
fn the_issuer_is_equal_to_the_configured_one() {
    for claims in [
        r#""iss":"other""#,
        r#""sub":"no issuer""#,
        r#""iss":null"#,
        r#""iss":"Issuer""#,
        r#""iss":"issuer ""#,
        r#""iss":"""#,
    ] {
        let token = claiming(&format!(r#"{claims},"aud":"gate""#));
        assert_eq!(ask(&asking(), &token), Err(ISSUER), "{claims}");
    }
    assert!(ask(&asking(), &claiming(r#""iss":"issuer","aud":"gate""#)).is_ok());
}

#[test]
fn the_audience_is_or_contains_the_configured_one() {
    for claims in [
        r#""aud":"other""#,
        r#""sub":"no audience""#,
        r#""aud":null"#,
        r#""aud":"Gate""#,
        r#""aud":"gate ""#,
        r#""aud":["other","one"]"#,
        r#""aud":[]"#,
    ] {
        let token = claiming(&format!(r#"{claims},"iss":"issuer""#));
        assert_eq!(ask(&asking(), &token), Err(AUDIENCE), "{claims}");
    }
    let token = claiming(r#""iss":"issuer","aud":["other","gate"]"#);
    assert!(ask(&asking(), &token).is_ok());
}

#[test]
fn blank_names_are_not_asked_for() {
    let verifier = jwt().with_issuer(" \t").with_audience("");
    let token = claiming(r#""iss":"anyone","aud":"anything""#);
    assert!(ask(&verifier, &token).is_ok());
}

#[test]
fn further_claims_are_ignored() {
    for claims in [
        r#""sub":"ada""#,
        r#""iat":9000000000"#,
        r#""iat":"yesterday""#,
        r#""scope":7"#,
        r#""jti":7"#,
        r#""a":{"b":[1,2.5,null]}"#,
    ] {
        assert!(ask(&jwt(), &claiming(claims)).is_ok(), "{claims}");
    }
}

#[test]
fn a_token_of_50_kilobytes_is_read() {
    let token = claiming(&format!(r#""fill":"{}""#, "x".repeat(37_000)));
    assert!(token.len() > 49_000);
    assert!(ask(&jwt(), &token).is_ok());
}

#[test]
fn the_first_check_that_fails_is_the_answer() {
    let (past, future) = (NOW - 1, NOW + 1);
    let cases: [(&str, String, Rejection); 5] = [
        (r#"{"alg":"HS384"}"#, "[]".into(), FORM),
        (
            HS256,
            format!(r#"{{"exp":{past},"nbf":{future},"iss":7}}"#),
            CLAIMS,
        ),
        (
            HS256,
            format!(r#"{{"exp":{past},"nbf":{future},"iss":"x","aud":"x"}}"#),
            Rejection::Expired,
        ),
        (
            HS256,
            format!(r#"{{"exp":{NOW},"nbf":{future},"iss":"x","aud":"x"}}"#),
            Rejection::NotYetValid,
        ),
        (
            HS256,
            format!(r#"{{"exp":{NOW},"iss":"x","aud":"x"}}"#),
            ISSUER,
        ),
    ];
    for (header, payload, rejection) in cases {
        let token = mint(header, &payload);
        assert_eq!(ask(&asking(), &token), Err(rejection), "{payload}");
    }
    let forged = seal(
        hmac::HMAC_SHA256,
        OTHER_SECRET,
        &format!("{}.{}", encode(HS256), encode(r#"{"exp":1}"#)),
    );
    assert_eq!(ask(&asking(), &forged), Err(SIGNATURE));
}

fn asking() -> HmacJwt {
    jwt().with_issuer(" issuer\n").with_audience("\tgate ")
}
