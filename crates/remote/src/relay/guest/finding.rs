//! Looking for a host's road.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::relay::Inner;
use crate::relay::exchange::{Board, Coming, Unreached};
use crate::relay::link::Link;

/// A road that is being looked for. Dropping it gives up.
pub(super) type Finding = Pin<Box<dyn Future<Output = Result<Link, Unreached>> + Send>>;

/// Looks for the road of `host`, here and at other gates, until there is one; who waits decides for how
/// long. As many guests may wait for it as may be on it.
pub(super) fn find(relay: Arc<Inner>, host: Box<str>, guest: Coming) -> Finding {
    Box::pin(async move {
        let Some(waiting) = relay.roads.wait(&host) else {
            return Err(Unreached::Full);
        };
        // A link within the gate ends with its road only, and a new road settles by itself.
        let own = Coming {
            is_back: false,
            ..guest.clone()
        };
        loop {
            let opened = waiting.opened.notified();
            tokio::pin!(opened);
            // From here on, a road that opens is noticed.
            opened.as_mut().enable();
            match relay.attach(&host, &own) {
                Err(Unreached::Away) => {}
                found => return found,
            }
            let elsewhere = relay.exchange.reach(relay.number, &host, &guest);
            match elsewhere.await {
                Err(Unreached::Away) => {}
                found => return found,
            }
            // A word from another gate may be lost: it looks again now and then.
            let _: Result<(), tokio::time::error::Elapsed> = timeout(AGAIN, opened).await;
        }
    })
}

/// How often other gates are asked.
const AGAIN: Duration = Duration::from_secs(2);
