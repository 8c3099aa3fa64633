//! Tokens from a server that is asked for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_client::connect::{Dialer, Tls};
use portcullis_client::token::{RefreshEndpoint, RefreshForm, TokenErrorKind, Tokens};
use portcullis_client::{Address, ConfigError};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Played, millis, within};

/// Answers each request in its turn, and gives what was asked: the head in small letters, and the body.
async fn serve(played: &Played, answers: &[(u16, &str, &str)]) -> Vec<(String, String)> {
    let mut asked = Vec::new();
    for (status, headers, body) in answers {
        let mut stream = played.accept().await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.expect("a byte"));
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a number"));
        let mut sent = vec![0; length];
        stream.read_exact(&mut sent).await.expect("a body");
        asked.push((head, String::from_utf8(sent).expect("text")));
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.expect("written");
    }
    asked
}

fn endpoint(played: &Played, form: RefreshForm) -> RefreshEndpoint {
    let address = Address::parse(&format!("http://{}/token", played.address)).expect("an address");
    let dialer = Dialer::new(Tls::none().expect("none"));
    RefreshEndpoint::new(address, dialer, form, "refresh-0".into()).expect("loopback")
}

#[tokio::test]
async fn oauth_is_asked_as_the_standard_says_and_rotation_is_told() {
    let played = Played::new().await;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeper = Arc::clone(&kept);
    let form = RefreshForm::oauth_client("me", "s3cr:t".into()).with_scope("chat files");
    let source = endpoint(&played, form).on_rotation(move |next| {
        let next = next.expose_secret().to_owned();
        keeper.lock().expect("no panic").push(next);
    });
    assert!(!format!("{source:?}").contains("s3cr"), "{source:?}");
    let tokens = Tokens::new(source);
    let answers = [
        (
            200,
            "",
            r#"{"access_token":"a-1","expires_in":3600,"refresh_token":"refresh-1"}"#,
        ),
        (200, "", r#"{"access_token":"a-2","expires_in":"3600"}"#),
    ];
    let ask = async {
        let first = tokens.current().await.expect("a token");
        let again = tokens.current().await.expect("the same");
        assert_eq!(again.token().expose(), "a-1");
        assert!(first.token().expiry().is_some());
        let all = (0..100).map(|_| tokens.fresher(&first));
        for fresher in futures_util::future::join_all(all).await {
            assert_eq!(fresher.expect("a token").token().expose(), "a-2");
        }
    };
    let (asked, ()) = tokio::join!(serve(&played, &answers), ask);
    let (head, body) = &asked[0];
    assert!(head.starts_with("post /token http/1.1"), "{head}");
    assert!(
        head.contains("authorization: basic bwu6cznjciuzqxq="),
        "{head}"
    );
    let expected = "grant_type=refresh_token&refresh_token=refresh-0&scope=chat+files";
    assert_eq!(body, expected);
    assert!(
        asked[1].1.contains("refresh_token=refresh-1"),
        "{}",
        asked[1].1
    );
    assert_eq!(*kept.lock().expect("no panic"), ["refresh-1"]);
}

#[tokio::test]
async fn json_is_asked_with_the_fields_that_it_has() {
    let played = Played::new().await;
    let form = RefreshForm::json()
        .with_fields("refreshToken", "idToken")
        .with_member("app", "chat".into());
    let tokens = Tokens::new(endpoint(&played, form));
    let answers = [(200, "", r#"{"idToken":"a-1"}"#)];
    let (asked, token) = tokio::join!(serve(&played, &answers), tokens.current());
    assert_eq!(token.expect("a token").token().expose(), "a-1");
    assert_eq!(asked[0].1, r#"{"app":"chat","refreshToken":"refresh-0"}"#);
}

#[tokio::test]
async fn each_failure_says_what_can_be_done() {
    for (status, headers, body, kind, wait) in [
        (
            400,
            "",
            r#"{"error":"invalid_grant"}"#,
            TokenErrorKind::LoginNeeded,
            None,
        ),
        (401, "", "{}", TokenErrorKind::LoginNeeded, None),
        (200, "", "{}", TokenErrorKind::Unavailable, None),
        (200, "", "nonsense", TokenErrorKind::Unavailable, None),
        (503, "", "", TokenErrorKind::Unavailable, None),
        (
            429,
            "retry-after: 7\r\n",
            "",
            TokenErrorKind::Unavailable,
            Some(7),
        ),
    ] {
        let played = Played::new().await;
        let tokens = Tokens::new(endpoint(&played, RefreshForm::oauth_public("me")));
        let answers = [(status, headers, body)];
        let (asked, answer) = tokio::join!(serve(&played, &answers), tokens.current());
        assert!(asked[0].1.ends_with("&client_id=me"), "{}", asked[0].1);
        let error = answer.expect_err("a failure");
        assert_eq!(error.kind(), kind, "{status} {body}");
        let waits = match error.verdict() {
            portcullis_client::machine::NotFetched::Unavailable(wait) => wait,
            _ => None,
        };
        assert_eq!(waits, wait.map(Duration::from_secs), "{status}");
        assert!(!error.to_string().contains("refresh-0"));
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let played = Played::new().await;
    let source = endpoint(&played, RefreshForm::oauth()).timeout(millis(100));
    let tokens = Tokens::new(source);
    let (_silent, answer) = tokio::join!(played.accept(), tokens.current());
    let error = answer.expect_err("no answer");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
}

#[tokio::test]
async fn a_refresh_token_that_was_replaced_is_used_and_who_waits_wakes() {
    let played = Played::new().await;
    let source = Arc::new(endpoint(&played, RefreshForm::oauth()));
    let tokens = Tokens::new(Arc::clone(&source));
    let answers = [
        (400, "", r#"{"error":"invalid_grant"}"#),
        (200, "", r#"{"access_token":"a-1"}"#),
    ];
    let ask = async {
        tokens.current().await.expect_err("spent");
        source.replace("refresh-new".into()).await;
        within(tokens.changed()).await;
        tokens.current().await.expect("a token")
    };
    let (asked, token) = tokio::join!(serve(&played, &answers), ask);
    assert_eq!(token.token().expose(), "a-1");
    assert!(asked[1].1.ends_with("refresh_token=refresh-new"));
}

#[test]
fn a_refresh_token_does_not_travel_unencrypted() {
    let address = Address::parse("http://id.example/token").expect("an address");
    let dialer = Dialer::new(Tls::none().expect("none"));
    let made = RefreshEndpoint::new(address, dialer, RefreshForm::oauth(), "r".into());
    assert!(matches!(made, Err(ConfigError::Unencrypted { .. })));
}
