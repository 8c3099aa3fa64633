//! The keys of issuers: fetched before anybody needs them, and shown to operators.

use std::convert::Infallible;
use std::time::Duration;

use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_verifiers::jwks::{KeySetHealth, KeySetState, Keys};

use crate::notes::Notes;

/// How often they are looked at. They know themselves when it is time to be fetched.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks after `keys`. Cancel-safe: a fetch that is under way goes on.
pub(crate) async fn tend(keys: &[Keys], notes: &Notes) -> Infallible {
    let clock = SystemClock::new();
    loop {
        for keys in keys {
            keys.prefetch(clock.now()).await;
        }
        let health: Vec<KeySetHealth> = keys.iter().map(|keys| keys.health(clock.now())).collect();
        health.iter().for_each(measure);
        notes.set("issuers", health.iter().filter_map(line).collect());
        if keys.is_empty() {
            return std::future::pending().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Names what is measured here.
pub(crate) fn describe() {
    metrics::describe_gauge!(
        "portcullis_issuer_keys",
        "Keys of an issuer with which tokens can be verified."
    );
    metrics::describe_gauge!(
        "portcullis_issuer_reachable",
        "Whether the last fetch of an issuer's keys succeeded."
    );
}

fn measure(health: &KeySetHealth) {
    let issuer = health.issuer.to_string();
    let keys = if health.state.serves() {
        u32::try_from(health.keys).unwrap_or(u32::MAX)
    } else {
        0
    };
    metrics::gauge!("portcullis_issuer_keys", "issuer" => issuer.clone()).set(keys);
    let reachable = u8::from(health.last_error.is_none());
    metrics::gauge!("portcullis_issuer_reachable", "issuer" => issuer).set(reachable);
}

/// What operators should know of an issuer's keys. Why they cannot be fetched is in the log: strangers
/// may be able to read this.
fn line(health: &KeySetHealth) -> Option<String> {
    let issuer = &health.issuer;
    match (health.state, &health.last_error) {
        (KeySetState::Missing, Some(_)) => Some(format!(
            "the keys of {issuer} cannot be fetched, and its tokens are refused"
        )),
        (KeySetState::Missing, None) => Some(format!(
            "the keys of {issuer} are not here yet, and its tokens wait for them"
        )),
        (KeySetState::Fresh | KeySetState::Stale, Some(_)) => Some(format!(
            "the keys of {issuer} cannot be renewed, and the last good ones serve"
        )),
        (KeySetState::Fixed | KeySetState::Fresh | KeySetState::Stale, _) => None,
    }
}
