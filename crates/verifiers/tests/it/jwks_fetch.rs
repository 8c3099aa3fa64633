//! Keys that are fetched: rotation, outage, what must not count, and who waits for whom.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Identity, Rejection, Verifier};
use portcullis_verifiers::jwks::{
    FetchError, Issuer, KeySetError, KeySetState, KeySource, KeyTimes,
};
use portcullis_verifiers::{AskError, Jwks};
use serde_json::json;

use crate::service::{Reply, Service, nobody, outbound};
use crate::signer::{Signer, set};
use crate::support::{NOW, header};

const ID: &str = "https://id.example";

/// Keys that are fresh for 10 minutes, then stale for an hour.
fn verifier(source: KeySource) -> Jwks {
    let issuer = Issuer::new(ID, ["gate"], source).unwrap();
    Jwks::new("id", [issuer]).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(NOW + seconds)
}

async fn ask(verifier: &Jwks, token: &str, seconds: i64) -> Result<Identity, Rejection> {
    Verifier::verify(verifier, &header(token), at(seconds)).await
}

fn is_unavailable<T>(verdict: &Result<T, Rejection>) -> bool {
    matches!(verdict, Err(Rejection::Unavailable { retry_after }) if !retry_after.is_zero())
}

/// A token that does not expire in any test.
fn token(signer: &Signer) -> String {
    signer.token(ID, json!({"exp": NOW + 1_000_000}))
}

fn service(signer: &Signer) -> (Service, Jwks) {
    patient_service(signer, Duration::from_secs(4))
}

/// A service with the signer's keys, and a verifier who waits so long for them.
fn patient_service(signer: &Signer, patience: Duration) -> (Service, Jwks) {
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let mut times = KeyTimes::default();
    times.fetch_timeout = patience;
    let source = KeySource::url(service.endpoint("/keys"), outbound()).with_times(times);
    (service, verifier(source))
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_tokens_while_they_are_fresh() {
    let signer = Signer::es256("k1");
    let (service, verifier) = service(&signer);
    assert_eq!(service.count(), 0);
    for seconds in [0, 1, 400] {
        let token = signer.token(ID, json!({"exp": NOW + 600, "jti": seconds.to_string()}));
        assert!(ask(&verifier, &token, seconds).await.is_ok());
    }
    assert_eq!(service.count(), 1);
    let accept = service.asked()[0].headers["accept"].clone();
    assert_eq!(accept, "application/json");
}

#[tokio::test]
async fn a_new_key_is_found_by_its_kid_and_one_that_was_taken_away_counts_no_more() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let (service, verifier) = service(&old);
    assert!(ask(&verifier, &token(&old), 0).await.is_ok());
    service.reply("/keys", Reply::ok(set([new.jwk()])));
    assert_eq!(
        ask(&verifier, &token(&new), 29).await.map(drop),
        Err(Rejection::KeyUnknown)
    );
    assert!(ask(&verifier, &token(&old), 29).await.is_ok());
    assert_eq!(service.count(), 1);
    assert!(ask(&verifier, &token(&new), 40).await.is_ok());
    assert_eq!(service.count(), 2);
    // Its signature was found good before, and is remembered: that does not help it.
    assert_eq!(
        ask(&verifier, &token(&old), 41).await.map(drop),
        Err(Rejection::KeyUnknown)
    );
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn a_key_that_was_replaced_under_its_name_does_not_verify_what_the_old_one_signed() {
    let (old, new) = (Signer::es256("k"), Signer::es256("k"));
    let (service, verifier) = service(&old);
    assert!(ask(&verifier, &token(&old), 0).await.is_ok());
    service.reply("/keys", Reply::ok(set([new.jwk()])));
    assert!(ask(&verifier, &token(&new), 610).await.is_ok());
    assert!(ask(&verifier, &token(&old), 611).await.is_err());
}

#[tokio::test]
async fn a_thousand_who_ask_for_keys_at_once_make_one_fetch() {
    let (signer, stranger) = (Signer::es256("k1"), Signer::es256("k2"));
    let (service, verifier) = service(&signer);
    let verifier = std::sync::Arc::new(verifier);
    for (count, signer, seconds, expected) in [
        (1, &signer, 0, Ok("ada")),
        (2, &stranger, 60, Err(Rejection::KeyUnknown)),
    ] {
        let token = token(signer);
        let mut asking = tokio::task::JoinSet::new();
        service.close();
        for _ in 0..1000 {
            let (verifier, token) = (std::sync::Arc::clone(&verifier), token.clone());
            asking.spawn(async move { ask(&verifier, &token, seconds).await });
        }
        service.wait_for(count).await;
        service.open();
        while let Some(verdict) = asking.join_next().await {
            let verdict = verdict
                .unwrap()
                .map(|identity| identity.subject().to_owned());
            assert_eq!(verdict, expected.clone().map(str::to_owned));
        }
        assert_eq!(service.count(), count);
    }
}

#[tokio::test]
async fn a_fetch_goes_on_for_the_others_when_its_first_asker_leaves() {
    let signer = Signer::es256("k1");
    let (service, verifier) = service(&signer);
    service.close();
    let token = token(&signer);
    {
        let first = pin!(ask(&verifier, &token, 0));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.poll(&mut context).is_pending());
    }
    service.wait_for(1).await;
    service.open();
    assert!(ask(&verifier, &token, 0).await.is_ok());
    assert_eq!(service.count(), 1);
}

#[test]
fn a_fetch_does_not_need_the_runtime_of_those_who_wait_for_it() {
    let build = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (fetching, asking) = (build(), build());
    let signer = Signer::es256("k1");
    let (service, verifier) = {
        let _entered = fetching.enter();
        service(&signer)
    };
    let token = token(&signer);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let fetcher = scope.spawn(|| fetching.block_on(stopped));
        asking.block_on(async {
            service.close();
            let first = pin!(ask(&verifier, &token, 0));
            assert!(
                first
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
        });
        // The runtime of the first asker is gone, and the fetch is not.
        drop(asking);
        service.open();
        let other = build();
        assert!(other.block_on(ask(&verifier, &token, 0)).is_ok());
        assert_eq!(service.count(), 1);
        stop.send(()).unwrap();
        fetcher.join().unwrap().unwrap();
    });
    drop(fetching);
    let verdict = build().block_on(ask(&verifier, &token, 10_000));
    assert!(is_unavailable(&verdict));
}

#[tokio::test]
async fn keys_are_renewed_before_they_are_old_and_nobody_waits_for_it() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let (service, verifier) = service(&old);
    assert!(ask(&verifier, &token(&old), 0).await.is_ok());
    service.reply("/keys", Reply::ok(set([new.jwk()])));
    service.close();
    assert!(ask(&verifier, &token(&old), 599).await.is_ok());
    service.wait_for(2).await;
    assert!(ask(&verifier, &token(&old), 599).await.is_ok());
    service.open();
    while verifier.health(at(599))[0].fetched_at == Some(at(0)) {
        tokio::task::yield_now().await;
    }
    assert!(ask(&verifier, &token(&new), 599).await.is_ok());
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn the_owner_of_keys_says_how_long_they_are_fresh() {
    let signer = Signer::es256("k1");
    let (service, verifier) = service(&signer);
    let reply = Reply::ok(set([signer.jwk()])).header("cache-control", "public, max-age=120");
    service.reply("/keys", reply);
    assert!(ask(&verifier, &token(&signer), 0).await.is_ok());
    let state = |seconds| verifier.health(at(seconds))[0].state;
    assert_eq!(state(119), KeySetState::Fresh);
    assert_eq!(state(121), KeySetState::Stale);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let signer = Signer::es256("k1");
    let endpoint = crate::service::self_signed();
    let verifier = verifier(KeySource::url(endpoint, outbound()));
    assert!(is_unavailable(&ask(&verifier, &token(&signer), 0).await));
    let error = verifier
        .health(at(0))
        .remove(0)
        .last_error
        .unwrap()
        .to_string();
    assert!(error.contains("certificate"), "{error}");
}

/// Each way in which a fetch can fail, and what is said of it.
fn failures(signer: &Signer) -> Vec<(Reply, FetchError)> {
    let status = |status| FetchError::Ask(AskError::Status { status });
    let mut oct = signer.jwk();
    oct["kty"] = "oct".into();
    let good = set([signer.jwk()]);
    vec![
        (Reply::status(500, good.clone()), status(500)),
        (Reply::status(404, good), status(404)),
        (Reply::status(204, ""), status(204)),
        (
            Reply::status(302, "").header("location", "/good"),
            status(302),
        ),
        (Reply::hang(), AskError::Timeout.into()),
        (Reply::ok("<html>"), KeySetError::Malformed.into()),
        (Reply::ok(r#"{"keys":[]}"#), KeySetError::Useless.into()),
        (Reply::ok(set([oct])), KeySetError::Symmetric.into()),
        (
            Reply::ok(" ".repeat(256 * 1024 + 1)),
            AskError::TooLarge.into(),
        ),
    ]
}

#[tokio::test]
async fn without_keys_nobody_can_say_however_the_fetch_fails() {
    let signer = Signer::es256("k1");
    for (reply, error) in failures(&signer) {
        let (service, verifier) = patient_service(&signer, reply.patience());
        service.reply("/good", Reply::ok(set([signer.jwk()])));
        service.reply("/keys", reply);
        let verdict = ask(&verifier, &token(&signer), 0).await;
        assert!(is_unavailable(&verdict), "{error}: {verdict:?}");
        let health = verifier.health(at(0)).remove(0);
        assert_eq!(health.state, KeySetState::Missing);
        assert_eq!(health.last_error, Some(error));
        // It is not asked again at once, and then it is.
        assert!(is_unavailable(&ask(&verifier, &token(&signer), 0).await));
        assert_eq!(service.count(), 1);
        service.reply("/keys", Reply::ok(set([signer.jwk()])));
        assert!(ask(&verifier, &token(&signer), 5).await.is_ok());
        assert_eq!(verifier.health(at(5))[0].last_error, None);
    }
}

#[tokio::test]
async fn where_nobody_listens_nobody_can_say() {
    let signer = Signer::es256("k1");
    let verifier = verifier(KeySource::url(nobody(), outbound()));
    assert!(is_unavailable(&ask(&verifier, &token(&signer), 0).await));
    let error = verifier.health(at(0)).remove(0).last_error.unwrap();
    assert!(
        matches!(error, FetchError::Ask(AskError::Transport { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn the_last_good_keys_serve_through_an_outage_and_no_longer_than_they_may() {
    let signer = Signer::es256("k1");
    for (reply, error) in failures(&signer) {
        let (service, verifier) = patient_service(&signer, reply.patience());
        let token = token(&signer);
        assert!(ask(&verifier, &token, 0).await.is_ok());
        service.reply("/keys", reply);
        for seconds in [610, 611, 4199] {
            assert!(
                ask(&verifier, &token, seconds).await.is_ok(),
                "{error} at {seconds}"
            );
        }
        let health = verifier.health(at(4199)).remove(0);
        assert_eq!((health.state, health.keys), (KeySetState::Stale, 1));
        assert_eq!(health.last_error, Some(error.clone()));
        let verdict = ask(&verifier, &token, 4210).await;
        assert!(is_unavailable(&verdict), "{error}: {verdict:?}");
        assert_eq!(verifier.health(at(4210))[0].state, KeySetState::Missing);
    }
}

#[tokio::test]
async fn in_an_outage_an_unknown_kid_is_not_said_to_be_unknown() {
    let (signer, stranger) = (Signer::es256("k1"), Signer::es256("k2"));
    let (service, verifier) = service(&signer);
    assert!(ask(&verifier, &token(&signer), 0).await.is_ok());
    service.reply("/keys", Reply::status(500, ""));
    for seconds in [31, 32] {
        assert!(is_unavailable(
            &ask(&verifier, &token(&stranger), seconds).await
        ));
        assert!(ask(&verifier, &token(&signer), seconds).await.is_ok());
    }
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn keys_can_be_fetched_before_anybody_comes() {
    let signer = Signer::es256("k1");
    let (service, verifier) = service(&signer);
    assert_eq!(verifier.health(at(0))[0].state, KeySetState::Missing);
    verifier.prefetch(at(0)).await;
    assert_eq!(verifier.health(at(0))[0].state, KeySetState::Fresh);
    verifier.prefetch(at(1)).await;
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn a_fetch_that_takes_long_is_counted_from_its_end() {
    let signer = Signer::es256("k1");
    let (service, verifier) = patient_service(&signer, Reply::hang().patience());
    service.reply("/keys", Reply::hang());
    assert!(is_unavailable(&ask(&verifier, &token(&signer), 0).await));
    // The first wait is a second less a quarter, from the end of a fetch of half of one.
    let soon = Timestamp::from_millis(NOW * 1000 + 1200);
    let verdict = Verifier::verify(&verifier, &header(&token(&signer)), soon).await;
    assert!(is_unavailable(&verdict));
    assert_eq!(service.count(), 1);
}

fn document(issuer: &str, keys_at: &str) -> Reply {
    Reply::ok(json!({"issuer": issuer, "jwks_uri": keys_at, "other": []}).to_string())
}

#[tokio::test]
async fn discovery_finds_the_keys_of_the_issuer_it_was_asked_for_and_of_no_other() {
    let signer = Signer::es256("k1");
    let (service, _) = service(&signer);
    let keys_at = format!("{}/keys", service.origin());
    for (reply, error) in [
        (document(ID, &keys_at), None),
        (
            document("https://id.example/", &keys_at),
            Some(FetchError::OtherIssuer),
        ),
        (
            document("https://evil.example", &keys_at),
            Some(FetchError::OtherIssuer),
        ),
        (document(ID, "keys"), Some(AskError::Malformed.into())),
        (
            document(ID, "file:///keys"),
            Some(AskError::Malformed.into()),
        ),
        (Reply::ok("{}"), Some(FetchError::OtherIssuer)),
        (
            Reply::ok(json!({"issuer": ID}).to_string()),
            Some(AskError::Malformed.into()),
        ),
        (Reply::ok("<html>"), Some(AskError::Malformed.into())),
        (
            Reply::status(500, ""),
            Some(AskError::Status { status: 500 }.into()),
        ),
        (
            Reply::ok(" ".repeat(64 * 1024 + 1)),
            Some(AskError::TooLarge.into()),
        ),
    ] {
        service.reply("/realm/.well-known/openid-configuration", reply);
        let source = KeySource::discovery(&service.endpoint("/realm/"), outbound());
        let verifier = verifier(source);
        let verdict = ask(&verifier, &token(&signer), 0).await;
        assert_eq!(verdict.is_ok(), error.is_none(), "{error:?}");
        assert_eq!(verifier.health(at(0))[0].last_error, error);
    }
}

#[tokio::test]
async fn one_issuer_in_an_outage_does_not_take_the_others_with_it() {
    let (signer, other) = (Signer::es256("k"), Signer::es256("k"));
    let (service, _) = service(&signer);
    service.reply("/down", Reply::status(503, ""));
    let issuer = |id: &str, path: &str| {
        let source = KeySource::url(service.endpoint(path), outbound());
        Issuer::new(id, ["gate"], source).unwrap()
    };
    let down = "https://down.example";
    let verifier = Jwks::new("id", [issuer(ID, "/keys"), issuer(down, "/down")]).unwrap();
    assert!(ask(&verifier, &token(&signer), 0).await.is_ok());
    assert!(is_unavailable(
        &ask(&verifier, &other.token(down, json!({})), 0).await
    ));
    verifier.prefetch(at(0)).await;
    let serve: Vec<_> = verifier
        .health(at(0))
        .iter()
        .map(|health| (health.issuer.to_string(), health.state.serves()))
        .collect();
    assert_eq!(serve, [(ID.to_owned(), true), (down.to_owned(), false)]);
}
