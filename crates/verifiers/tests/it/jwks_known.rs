//! Keys that outlive the verifier that fetched them.

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Rejection, Verifier};
use portcullis_verifiers::jwks::{Issuer, KeySet, KeySource, KeyTimes, Keys};
use portcullis_verifiers::{Firebase, Jwks};
use serde_json::json;

use crate::service::{Reply, Service, outbound};
use crate::signer::{Signer, set};
use crate::support::{NOW, header};

const ID: &str = "https://id.example";

fn verifier(issuer: &str, source: KeySource) -> Jwks {
    Jwks::new("id", [Issuer::new(issuer, ["gate"], source).unwrap()]).unwrap()
}

async fn enters(verifier: &Jwks, token: &str) -> Result<(), Rejection> {
    let now = Timestamp::from_secs(NOW);
    Verifier::verify(verifier, &header(token), now)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_verifier_that_replaces_another_goes_on_with_its_keys_while_the_issuer_is_away() {
    let signer = Signer::es256("k");
    let token = signer.token(ID, json!({}));
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let source = || KeySource::url(service.endpoint("/keys"), outbound());
    let old = verifier(ID, source());
    assert_eq!(enters(&old, &token).await, Ok(()));
    service.reply("/keys", Reply::status(500, ""));
    let known: Vec<Keys> = old.keys().collect();
    drop(old);
    let new = verifier(ID, source().unless_known(known.clone()));
    assert_eq!(enters(&new, &token).await, Ok(()));
    assert_eq!(service.count(), 1);

    let mut times = KeyTimes::default();
    times.max_stale *= 2;
    let fixed = KeySet::parse(set([Signer::es256("k").jwk()]).as_bytes()).unwrap();
    let from = |source: KeySource| verifier(ID, source.unless_known(known.clone()));
    for (why, other) in [
        ("nothing is known", verifier(ID, source())),
        ("other times", from(source().with_times(times))),
        (
            "another address",
            from(KeySource::url(service.endpoint("/other"), outbound())),
        ),
        (
            "another way",
            from(KeySource::either_form(
                service.endpoint("/keys"),
                outbound(),
            )),
        ),
        (
            "another way",
            from(KeySource::discovery(&service.endpoint("/keys"), outbound())),
        ),
        ("given keys", from(KeySource::fixed(fixed))),
    ] {
        assert!(enters(&other, &token).await.is_err(), "{why}");
    }
    let theirs = verifier(
        "https://other.example",
        source().unless_known(known.clone()),
    );
    let token = signer.token("https://other.example", json!({}));
    assert!(enters(&theirs, &token).await.is_err(), "another issuer");
}

#[tokio::test]
async fn clones_share_keys_and_what_one_of_them_fetches_all_have() {
    let signer = Signer::es256("k");
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let first = verifier(ID, KeySource::url(service.endpoint("/keys"), outbound()));
    let second = first.clone().keep_claims(true);
    let keys = first.keys().next().unwrap();
    let now = Timestamp::from_secs(NOW);
    assert!(!keys.health(now).state.serves());
    keys.prefetch(now).await;
    assert!(keys.health(now).state.serves());
    let token = signer.token(ID, json!({}));
    assert_eq!(enters(&first, &token).await, Ok(()));
    assert_eq!(enters(&second, &token).await, Ok(()));
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn the_keys_of_a_firebase_project_are_known_too() {
    let service = Service::start();
    let skew = std::time::Duration::ZERO;
    let source = || KeySource::either_form(service.endpoint("/keys"), outbound());
    let old = Firebase::new("fb", "chat", source(), skew).unwrap();
    let signer = Signer::new(portcullis_verifiers::jwks::Algorithm::Rs256, "k");
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let now = Timestamp::from_secs(NOW);
    old.prefetch(now).await;
    let new = Firebase::new("fb", "chat", source().unless_known(old.keys()), skew).unwrap();
    assert_eq!(new.health(now), old.health(now));
    assert!(new.health(now)[0].state.serves());
}
