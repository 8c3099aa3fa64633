//! The pages, by what browsers and providers do with them.

mod house;

use std::net::Ipv4Addr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_boundary::Credential;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::revocation::Target;
use portcullis_boundary::{Peer, Rejection, Verifier};
use portcullis_verifiers::login::{LoginCookie, LoginLookup, Logins, StoredLogin};
use serde_json::json;

use self::house::{BASE, Browser, House, NOW, get_request, location, query, text};

#[tokio::test]
async fn who_comes_back_gets_a_cookie_that_the_verifier_takes_and_goes_on() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let callback = house.go(&mut browser, "/app?tab=1").await;
    assert!(browser.login().is_none());
    let welcome = house.get(&mut browser, &callback).await;
    assert_eq!(welcome.status(), StatusCode::OK);
    assert!(text(&welcome).contains("content=\"0; url=/app?tab=1\""));

    let cookie = browser.login().expect("a cookie");
    let trusted = [(house.provider.issuer.as_str(), "gate")];
    let verifier = Logins::new("people", trusted, house.logins.clone()).keep_claims(true);
    let credential = Credential::new(cookie.expose(), CarrierKind::Cookie);
    let identity = verifier
        .verify(&credential, NOW)
        .await
        .expect("an identity");
    assert_eq!(identity.subject(), "ada");
    assert_eq!(identity.scopes().to_string(), "chat openid");
    assert_eq!(identity.claim("groups"), Some(&json!(["staff"])));
    assert_eq!(identity.claim("nonce"), None);
    assert_eq!(identity.end(), Some(NOW.after(Duration::from_secs(3600))));
    let after = NOW.after(Duration::from_secs(3601));
    let late = verifier.remember_for(Duration::ZERO);
    let late = late.verify(&credential, after).await;
    assert!(matches!(late, Err(Rejection::Invalid(_))), "{late:?}");
}

#[tokio::test]
async fn a_state_counts_once_in_its_browser_at_its_callback_and_in_time() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let callback = house.go(&mut browser, "/").await;
    let mut stranger = Browser::default();
    house.go(&mut stranger, "/").await;
    let elsewhere = callback.replace("/people/", "/staff/");
    let without = callback
        .split("&code")
        .next()
        .expect("a path")
        .replace("state", "stat");
    for (browser, path) in [
        (&mut Browser::default(), &callback),
        (&mut stranger, &callback),
        (&mut browser.clone(), &elsewhere),
        (&mut browser.clone(), &without),
    ] {
        let answer = house.get(browser, path).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        assert!(browser.login().is_none());
    }
    // None of that has spent it.
    assert_eq!(
        house.get(&mut browser, &callback).await.status(),
        StatusCode::OK
    );
    let again = house.get(&mut browser, &callback).await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    let callback = house.go(&mut browser, "/").await;
    let late = NOW.after(Duration::from_secs(601));
    let late = house
        .send(&mut browser.clone(), get_request(&callback), late)
        .await;
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_happens_to_a_login_is_recorded() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let callback = house.go(&mut browser, "/").await;
    house.get(&mut Browser::default(), &callback).await;
    house.get(&mut browser, &callback).await;
    let refused = "/.portcullis/login/people/callback?error=access_denied&state=";
    let callback = house.go(&mut browser, "/").await;
    let state = query(&callback, "state");
    house.get(&mut browser, &format!("{refused}{state}")).await;
    // Whoever logs in anew has left the login before.
    let callback = house.go(&mut browser, "/").await;
    house.get(&mut browser, &callback).await;
    let records = house.revoked.records.lock();
    assert_eq!(
        *records.unwrap_or_else(PoisonError::into_inner),
        [
            "login_refused -: people: it did not begin in this browser",
            "logged_in ada: people",
            "login_refused -: people: the provider says \"access_denied\"",
            "logged_out ada: logged in anew",
            "logged_in ada: people",
        ]
    );
}

#[tokio::test]
async fn callbacks_of_no_login_are_recorded_as_often_as_an_address_may_knock() {
    let house = House::new().await;
    let (here, there) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let stranger = async |from: Ipv4Addr| {
        let request = get_request("/.portcullis/login/people/callback?state=none&code=none");
        let (peer, mut browser) = (Peer::at(from.into()), Browser::default());
        let answer = house.send_from(&peer, &mut browser, request, NOW).await;
        answer.status()
    };
    for _ in 0..120 {
        assert_eq!(stranger(here).await, StatusCode::BAD_REQUEST);
    }
    let recorded = || {
        let records = house.revoked.records.lock();
        records.unwrap_or_else(PoisonError::into_inner).len()
    };
    assert_eq!(recorded(), 120);
    assert_eq!(stranger(here).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(recorded(), 120);
    assert_eq!(stranger(there).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_logs_out_is_recorded_with_the_address_of_the_browser() {
    let house = House::new().await;
    let mut browser = Browser::default();
    house.log_in(&mut browser).await;
    let request = Request::post("/.portcullis/logout").header("sec-fetch-site", "same-origin");
    let request = request.body(Bytes::new()).expect("a request");
    let peer = Peer::at(Ipv4Addr::new(192, 0, 2, 1).into());
    house.send_from(&peer, &mut browser, request, NOW).await;
    let records = house.revoked.records.lock();
    let records = records.unwrap_or_else(PoisonError::into_inner);
    let told = "logged_out ada: logged out from 192.0.2.1";
    assert_eq!(records.last().map(String::as_str), Some(told));
}

#[tokio::test]
async fn a_browser_may_begin_several_logins_at_once() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let one = house.go(&mut browser, "/one").await;
    let two = house.go(&mut browser, "/two").await;
    for (callback, back_to) in [(one, "/one"), (two, "/two")] {
        let welcome = house.get(&mut browser, &callback).await;
        assert!(text(&welcome).contains(&format!("url={back_to}\"")));
    }
}

#[tokio::test]
async fn a_login_leads_back_to_this_host_only() {
    let house = House::new().await;
    for elsewhere in [
        "https://evil.example/",
        "//evil.example",
        "%2F%5Cevil.example",
    ] {
        let mut browser = Browser::default();
        let callback = house.go(&mut browser, elsewhere).await;
        let welcome = house.get(&mut browser, &callback).await;
        assert!(text(&welcome).contains("url=/\""), "{elsewhere}");
    }
}

#[tokio::test]
async fn a_code_that_was_given_for_another_login_logs_nobody_in() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let callback = house.go(&mut browser, "/").await;
    let callback = callback.split("&code").next().expect("a path");
    for end in [
        "&code=another",
        "&error=access_denied",
        "",
        "&code=a&code=b",
    ] {
        let callback = match end {
            "&code=another" => callback.to_owned(),
            _ => {
                let fresh = house.go(&mut browser, "/").await;
                fresh.split("&code").next().expect("a path").to_owned()
            }
        };
        let answer = house.get(&mut browser, &format!("{callback}{end}")).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{end}");
        assert!(browser.login().is_none());
    }
}

#[tokio::test]
async fn who_logs_in_anew_leaves_nothing_of_the_login_before() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let first = house.log_in(&mut browser).await;
    let id = stored(&house, &first, NOW).await.expect("a login").id;
    let second = house.log_in(&mut browser).await;
    assert_eq!(stored(&house, &first, NOW).await, None);
    assert!(stored(&house, &second, NOW).await.is_some());
    assert_eq!(revoked(&house), [Target::Credential(id)]);
}

#[tokio::test]
async fn who_logs_out_is_revoked_forgotten_and_sent_to_the_provider() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let cookie = house.log_in(&mut browser).await;
    let id = stored(&house, &cookie, NOW).await.expect("a login").id;
    let gone = log_out(&house, &mut browser, "sec-fetch-site", "same-origin").await;
    assert_eq!(gone.status(), StatusCode::SEE_OTHER);
    let url = location(&gone);
    assert!(
        url.starts_with(&format!("{}/end?", house.provider.issuer)),
        "{url}"
    );
    let after = format!("{BASE}/.portcullis/logout/done");
    assert_eq!(query(url, "post_logout_redirect_uri"), after);
    assert_eq!(query(url, "id_token_hint").split('.').count(), 3);
    assert!(browser.login().is_none());
    assert_eq!(stored(&house, &cookie, NOW).await, None);
    assert_eq!(revoked(&house), [Target::Credential(id)]);
    // Who has no login is told the same.
    let again = log_out(&house, &mut browser, "origin", BASE).await;
    assert_eq!(location(&again), "/.portcullis/logout/done");
}

#[tokio::test]
async fn other_sites_log_nobody_out() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let cookie = house.log_in(&mut browser).await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
        ("origin", "http://gate.example"),
        ("origin", "null"),
        ("x-none", "of both"),
    ] {
        let refused = log_out(&house, &mut browser, name, value).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(stored(&house, &cookie, NOW).await.is_some());
    }
}

#[tokio::test]
async fn who_logs_out_at_the_provider_is_logged_out_here() {
    let house = House::new().await;
    for whose in [json!({"sid": "s1"}), json!({"sub": "ada"})] {
        let mut browser = Browser::default();
        let cookie = house.log_in(&mut browser).await;
        let id = stored(&house, &cookie, NOW).await.expect("a login").id;
        let other = house
            .provider
            .logout_token("other", &json!({"sid": "another"}));
        house.log_out_there(&other).await;
        assert!(stored(&house, &cookie, NOW).await.is_some());
        let token = house.provider.logout_token(&whose.to_string(), &whose);
        assert_eq!(house.log_out_there(&token).await, StatusCode::OK);
        assert_eq!(stored(&house, &cookie, NOW).await, None);
        assert_eq!(revoked(&house).last(), Some(&Target::Credential(id)));
        assert_eq!(house.log_out_there(&token).await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(
        house.log_out_there("no token").await,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_logout_that_could_not_be_kept_can_be_tried_again() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let cookie = house.log_in(&mut browser).await;
    let token = house.provider.logout_token("one", &json!({"sub": "ada"}));
    house.revoked.is_away.store(true, Ordering::Relaxed);
    assert_eq!(house.log_out_there(&token).await, StatusCode::BAD_REQUEST);
    let refused = log_out(&house, &mut browser, "origin", BASE).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(stored(&house, &cookie, NOW).await.is_some());
    house.revoked.is_away.store(false, Ordering::Relaxed);
    assert_eq!(house.log_out_there(&token).await, StatusCode::OK);
    assert_eq!(stored(&house, &cookie, NOW).await, None);
}

#[tokio::test]
async fn an_idle_login_ends_and_a_used_one_lives_until_its_lifetime_is_over() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let house = House::lasting(minutes(60), Some(minutes(20))).await;
    let mut browser = Browser::default();
    let cookie = house.log_in(&mut browser).await;
    let ends = NOW.after(minutes(60));
    for (at, until) in [(4, 20), (10, 30), (29, 49), (48, 60), (59, 60)] {
        let login = stored(&house, &cookie, NOW.after(minutes(at))).await;
        let login = login.expect("a login");
        assert_eq!(login.expires_at, NOW.after(minutes(until)), "{at}");
        assert_eq!(login.ends_at, ends);
    }
    assert_eq!(stored(&house, &cookie, ends).await, None);
    let idle = house.log_in(&mut browser).await;
    assert_eq!(stored(&house, &idle, NOW.after(minutes(20))).await, None);
}

#[tokio::test]
async fn an_address_does_not_begin_logins_without_end() {
    let house = House::new().await;
    let peer = Peer::at("2001:db8::1".parse().expect("an address"));
    let neighbour = Peer::at("2001:db8::2".parse().expect("an address"));
    let begin = get_request("/.portcullis/login/people");
    for _ in 0..120 {
        let sent = house.desk.answer(&begin, &peer, NOW).await.expect("a page");
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    }
    for peer in [peer, neighbour] {
        let sent = house.desk.answer(&begin, &peer, NOW).await.expect("a page");
        assert_eq!(sent.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(sent.headers().contains_key("retry-after"));
    }
}

#[tokio::test]
async fn while_the_ledger_is_away_nothing_is_done() {
    let house = House::new().await;
    let mut browser = Browser::default();
    let callback = house.go(&mut browser, "/").await;
    house.ledger.close().await;
    for path in ["/.portcullis/login/people", &callback] {
        let answer = house.get(&mut browser, path).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let lookup = house.logins.find([0; 32], NOW).await;
    assert!(lookup.is_err());
}

#[tokio::test]
async fn each_page_has_its_method_and_other_paths_are_none() {
    let house = House::new().await;
    let answer = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Bytes::new()).expect("a request");
        let answer = house.desk.answer(&request, &Peer::local(), NOW).await;
        answer.map(|answer| answer.status().as_u16())
    };
    for (method, path, status) in [
        ("GET", "/.portcullis/login", Some(200)),
        ("GET", "/.portcullis/logout", Some(200)),
        ("GET", "/.portcullis/logout/done", Some(200)),
        ("POST", "/.portcullis/login/people", Some(405)),
        ("POST", "/.portcullis/login/people/callback", Some(405)),
        ("GET", "/.portcullis/login/people/backchannel", Some(405)),
        ("POST", "/.portcullis/login", Some(405)),
        ("PUT", "/.portcullis/logout", Some(405)),
        ("POST", "/.portcullis/login/people/backchannel", Some(400)),
        ("GET", "/.portcullis/login/nobody", None),
        ("GET", "/.portcullis/login/people/other", None),
        ("GET", "/.portcullis/login/", None),
        ("GET", "/.portcullis/other", None),
        ("GET", "/login", None),
    ] {
        assert_eq!(answer(method, path).await, status, "{method} {path}");
    }
}

async fn stored(house: &House, cookie: &LoginCookie, now: Timestamp) -> Option<StoredLogin> {
    let found = house.logins.find(cookie.sha256(), now).await;
    found.expect("the ledger answers")
}

fn revoked(house: &House) -> Vec<Target> {
    let all = house.revoked.all.lock();
    let all = all.unwrap_or_else(PoisonError::into_inner);
    all.iter()
        .map(|one| one.revocation.target().clone())
        .collect()
}

async fn log_out(
    house: &House,
    browser: &mut Browser,
    name: &'static str,
    value: &'static str,
) -> Response<Bytes> {
    let request = Request::post("/.portcullis/logout").header(name, value);
    let request = request.body(Bytes::new()).expect("a request");
    house.send(browser, request, NOW).await
}
