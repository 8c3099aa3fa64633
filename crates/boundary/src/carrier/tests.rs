use http::{HeaderValue, Request};
use proptest::prelude::*;

use super::*;

fn head(uri: &str, lines: &[(&str, &[u8])]) -> Parts {
    let mut request = Request::get(uri);
    for (name, value) in lines {
        request = request.header(*name, HeaderValue::from_bytes(value).expect("a value"));
    }
    request.body(()).expect("a request").into_parts().0
}

fn carrier(name: &str) -> Carrier {
    name.parse().expect("a carrier")
}

fn extracted(name: &str, head: &Parts) -> Result<Option<String>, Malformed> {
    Ok(carrier(name)
        .extract(head)?
        .map(|credential| credential.expose().to_owned()))
}

fn header(value: &[u8]) -> Result<Option<String>, Malformed> {
    extracted("header", &head("/", &[("authorization", value)]))
}

#[test]
fn the_bearer_forms_that_the_app_server_takes_are_taken() {
    for form in [
        "Bearer tok",
        "bearer tok",
        "BEARER tok",
        "Bearer  tok",
        "Bearer tok  ",
    ] {
        assert_eq!(header(form.as_bytes()), Ok(Some("tok".into())), "{form:?}");
    }
    assert_eq!(header(b"Bearer two words"), Ok(Some("two words".into())));
}

#[test]
fn what_is_no_bearer_credential_is_malformed() {
    for form in [
        &b""[..],
        b"tok",
        b"Bearer",
        b"Bearer ",
        b"Bearer\ttok",
        b"Basic dG9r",
        b"Bearer t\xc3\xb6k",
    ] {
        assert!(header(form).is_err(), "{form:?}");
    }
    let two = head(
        "/",
        &[
            ("authorization", b"Bearer a"),
            ("authorization", b"Bearer b"),
        ],
    );
    assert!(extracted("header", &two).is_err());
}

#[test]
fn a_cookie_is_found_by_its_name_and_only_once() {
    let cookie = |text: &[u8]| extracted("cookie:sid", &head("/", &[("cookie", text)]));
    assert_eq!(cookie(b"a=1; sid=tok; b=2"), Ok(Some("tok".into())));
    assert_eq!(cookie(b"asid=no; SID=no; sid2=no"), Ok(None));
    assert!(cookie(b"sid=a; sid=b").is_err());
    assert!(cookie(b"sid=").is_err());
    assert!(cookie(b"sid=\xff").is_err());
}

#[test]
fn stripping_a_cookie_leaves_the_others() {
    let mut head = head(
        "/",
        &[("cookie", b"a=1; sid=tok;b=2"), ("cookie", b"sid=x")],
    );
    carrier("cookie:sid").strip(&mut head);
    let left: Vec<_> = head.headers.get_all("cookie").iter().collect();
    assert_eq!(left, ["a=1; b=2"]);
}

#[test]
fn a_query_token_has_two_names_and_is_decoded_strictly() {
    let query = |uri: &str| extracted("query", &head(uri, &[]));
    assert_eq!(query("/?token=a%2Bb"), Ok(Some("a+b".into())));
    assert_eq!(query("/x?a=1&access_token=t"), Ok(Some("t".into())));
    assert_eq!(query("/x?%74oken=t"), Ok(Some("t".into())));
    assert_eq!(query("/x?a=token&tokens=1"), Ok(None));
    assert!(query("/?token=a&access_token=b").is_err());
    assert!(query("/?token=").is_err());
    assert!(query("/?token").is_err());
    assert!(query("/?token=%ff").is_err());
}

#[test]
fn stripping_the_query_keeps_the_bytes_of_the_rest() {
    let strip = |uri: &str| {
        let mut head = head(uri, &[]);
        Carrier::Query.strip(&mut head);
        head.uri.to_string()
    };
    assert_eq!(strip("/x?a=%41&token=t&b"), "/x?a=%41&b");
    assert_eq!(strip("/x?%74oken=t"), "/x");
    assert_eq!(strip("/x?"), "/x?");
    assert_eq!(strip("/x?a=%ff"), "/x?a=%ff");
}

fn subprotocol(offer: &str) -> Result<Option<String>, Malformed> {
    extracted(
        "subprotocol",
        &head("/", &[("sec-websocket-protocol", offer.as_bytes())]),
    )
}

#[test]
fn each_dialect_is_read() {
    for dialect in Dialect::ALL {
        let offer = format!("{}, chat", dialect.write("to.k-en").expect("writable"));
        assert_eq!(
            subprotocol(&offer),
            Ok(Some("to.k-en".into())),
            "{dialect:?}"
        );
    }
}

#[test]
fn a_subprotocol_with_a_broken_or_second_token_is_malformed() {
    for offer in [
        "chat, portcullis.bearer.",
        "chat, portcullis.bearer.dG9r=",
        "chat, portcullis.bearer.dG+r",
        "chat, base64url.bearer.phx._w",
        "chat, openai-insecure-api-key.",
        "chat, portcullis.bearer.dG9r, base64url.bearer.phx.dG9r",
        "portcullis.bearer.dG9r",
    ] {
        assert!(subprotocol(offer).is_err(), "{offer}");
    }
    assert_eq!(subprotocol("chat, v2"), Ok(None));
}

#[test]
fn stripping_subprotocols_keeps_the_real_ones_in_order() {
    let offer: &[(&str, &[u8])] = &[
        ("sec-websocket-protocol", b"b,portcullis.bearer.dG9r"),
        ("sec-websocket-protocol", b"a"),
    ];
    let mut head = head("/", offer);
    Carrier::Subprotocol.strip(&mut head);
    assert_eq!(
        head.headers.get("sec-websocket-protocol").expect("kept"),
        "b, a"
    );
}

#[test]
fn subprotocols_without_a_credential_keep_their_bytes_and_what_is_not_text_goes() {
    let mut clean = head("/", &[("sec-websocket-protocol", b"b,a")]);
    Carrier::Subprotocol.strip(&mut clean);
    assert_eq!(clean.headers["sec-websocket-protocol"], "b,a");
    let hidden = b"chat, portcullis.bearer.dG9r, \xff";
    let mut head = head("/", &[("sec-websocket-protocol", hidden)]);
    Carrier::Subprotocol.strip(&mut head);
    assert!(!head.headers.contains_key("sec-websocket-protocol"));
}

#[test]
fn carriers_are_asked_in_one_order_whatever_order_they_were_given_in() {
    let carriers = Carriers::new(["query", "cookie:sid", "header", "header"].map(carrier));
    let names: Vec<_> = carriers.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["header", "cookie:sid", "query"]);
    let both = head("/?token=q", &[("cookie", b"sid=c")]);
    let found = carriers
        .extract(&both)
        .expect("well-formed")
        .expect("found");
    assert_eq!(
        (found.expose(), found.carrier()),
        ("c", CarrierKind::Cookie)
    );
}

#[test]
fn a_first_message_is_exactly_of_its_form() {
    let read = |text: &str| first_message::read(text).map(|c| c.expose().to_owned());
    assert_eq!(
        read(r#"{"type":"auth","token":"t\u0041"}"#),
        Ok("tA".into())
    );
    for no in [
        "",
        "[]",
        r#"{"type":"auth"}"#,
        r#"{"type":"auth","token":""}"#,
        r#"{"type":"auth","token":1}"#,
        r#"{"type":"hello","token":"t"}"#,
        r#"{"type":"auth_ok","expires_at":1}"#,
    ] {
        assert!(read(no).is_err(), "{no}");
    }
    let at = Some(Timestamp::from_secs(7));
    assert_eq!(
        first_message::answer(at, None),
        r#"{"type":"auth_ok","expires_at":7}"#
    );
    assert_eq!(
        first_message::answer(None, None),
        r#"{"type":"auth_ok","expires_at":null}"#
    );
}

#[test]
fn the_answer_to_a_first_message_is_read_back() {
    let session = crate::SessionId::from_bytes([7; 16]);
    for (at, session) in [(Some(Timestamp::from_secs(7)), Some(session)), (None, None)] {
        let read = first_message::read_answer(&first_message::answer(at, session));
        let read = read.expect("an answer");
        assert_eq!((read.expires_at, read.session), (at, session));
    }
    for no in [
        "",
        "{}",
        r#"{"type":"auth","token":"t"}"#,
        r#"{"type":"hello"}"#,
    ] {
        assert_eq!(first_message::read_answer(no), None, "{no}");
    }
}

use crate::clock::Timestamp;

proptest! {
    #[test]
    fn what_a_carrier_attaches_it_extracts(
        secret in "[ -~]{1,60}|\\PC{1,20}",
        name in prop::sample::select(vec!["header", "subprotocol", "ticket", "cookie:sid", "query"]),
    ) {
        let mut head = head(
            "/p?a=1",
            &[("sec-websocket-protocol", b"chat"), ("cookie", b"other=1")],
        );
        let carrier = carrier(name);
        let credential = Credential::new(secret.clone(), carrier.kind());
        if carrier.attach(&credential, &mut head).is_ok() {
            prop_assert_eq!(extracted(name, &head), Ok(Some(secret)));
            carrier.strip(&mut head);
            prop_assert_eq!(extracted(name, &head), Ok(None));
            prop_assert_eq!(head.uri.to_string(), "/p?a=1");
        }
    }

    #[test]
    fn a_written_first_message_is_read_back(secret in "\\PC{1,40}") {
        let credential = Credential::new(secret.clone(), CarrierKind::FirstMessage);
        let read = first_message::read(&first_message::write(&credential));
        prop_assert_eq!(read.map(|c| c.expose().to_owned()), Ok(secret));
    }

    #[test]
    fn no_header_makes_a_carrier_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        let mut head = head("/", &[]);
        for name in ["authorization", "cookie", "sec-websocket-protocol"] {
            head.headers.insert(name, value.clone());
        }
        for name in ["header", "subprotocol", "cookie:sid"] {
            let _: Result<_, Malformed> = carrier(name).extract(&head);
            carrier(name).strip(&mut head);
            prop_assert_eq!(extracted(name, &head), Ok(None));
        }
    }
}
