//! People who have to log in are sent to where they can; everybody else is refused as usual.

use portcullis_boundary::carrier::{Carrier, Carriers};

use super::support::{Setup, TOKEN, bearer, required_with, tokens};

const PAGE: &str = "accept: text/html,application/xhtml+xml;q=0.9\r\nsec-fetch-dest: document\r\n";

#[tokio::test]
async fn only_a_person_who_has_no_login_is_sent_there() {
    let cookie = Carrier::Cookie(portcullis_boundary::carrier::CookieName::new("c").expect("one"));
    let carriers = Carriers::new([Carrier::Header, cookie]);
    let mut setup = Setup::new(required_with(tokens(TOKEN), carriers));
    setup.login = Some("/.portcullis/login/people".into());
    let gate = setup.start();
    let there = |path: &str| Some(format!("/.portcullis/login/people?return={path}"));
    let good = format!("{PAGE}cookie: c={TOKEN}\r\n");
    for (line, headers, status, location) in [
        (
            "GET /a/b?c=d%20e&f",
            PAGE,
            303,
            there("/a/b%3Fc%3Dd%2520e%26f"),
        ),
        ("GET /", "accept: TEXT/HTML;q=0.5\r\n", 303, there("/")),
        (
            "GET /",
            &format!("{PAGE}cookie: c=old\r\nsec-fetch-site: none\r\n"),
            303,
            there("/"),
        ),
        (
            "GET /",
            &format!("{PAGE}authorization: Bearer no\r\n"),
            303,
            there("/"),
        ),
        (
            "GET /",
            &format!("{good}sec-fetch-site: cross-site\r\n"),
            303,
            there("/"),
        ),
        (
            "GET /",
            &format!("{good}sec-fetch-site: same-site\r\n"),
            303,
            there("/"),
        ),
        // A browser that does not say would come back from there the same, again and again.
        ("GET /", &good, 403, None),
        (
            "GET /",
            &format!("{good}origin: https://evil.example\r\n"),
            403,
            None,
        ),
        ("GET /", "accept: */*\r\n", 401, None),
        ("GET /", "", 401, None),
        ("GET /", "accept: application/json\r\n", 401, None),
        (
            "GET /",
            "accept: text/html\r\nsec-fetch-dest: iframe\r\n",
            401,
            None,
        ),
        (
            "GET /",
            "accept: text/html\r\nsec-fetch-dest: empty\r\n",
            401,
            None,
        ),
        ("POST /", &format!("{PAGE}content-length: 0\r\n"), 401, None),
        ("HEAD /", PAGE, 401, None),
    ] {
        let host = gate.address;
        let text = format!("{line} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
        let (answer, _) = gate.send(&text).await;
        assert_eq!(answer.status, status, "{line} {headers}");
        assert_eq!(
            answer.header("location").map(str::to_owned),
            location,
            "{line} {headers}"
        );
    }
    let admitted = format!("GET / HTTP/1.1\r\nhost: {}\r\n{PAGE}", gate.address);
    let (answer, _) = gate
        .send(&format!("{admitted}authorization: {}\r\n\r\n", bearer()))
        .await;
    assert_ne!(answer.status, 303);
    let (answer, _) = gate.handshake(&[("accept", "text/html")]).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_credential_in_the_address_is_not_carried_there() {
    let carriers = Carriers::new([Carrier::Query]);
    let mut setup = Setup::new(required_with(tokens(TOKEN), carriers));
    setup.login = Some("/in".into());
    let gate = setup.start();
    let text = format!(
        "GET /a?token=old HTTP/1.1\r\nhost: {}\r\n{PAGE}\r\n",
        gate.address
    );
    let (answer, _) = gate.send(&text).await;
    assert_eq!(answer.header("location"), Some("/in?return=/a"));
}
