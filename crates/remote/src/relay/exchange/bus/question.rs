//! Asking which hosts have a road at another gate.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::hub::Hub;
use super::words::{CALLS, Call, Id, answer_topic};
use super::{Heard, NotTold};
use crate::relay::Board;
use crate::relay::exchange::Asked;
use crate::relay::secret;

/// Those of `hosts` whose roads end at other gates than `asker`, as far as these say so in time.
pub(super) fn ask(
    hub: &Arc<Hub>,
    asker: u128,
    hosts: HashSet<Box<str>>,
) -> Asked<HashSet<Box<str>>> {
    let hub = Arc::clone(hub);
    Box::pin(async move {
        if hosts.is_empty() {
            return hosts;
        }
        let found = find(&hub, asker, hosts).await;
        // Of whom nobody could be asked, nobody says that he has a road.
        found.unwrap_or_default()
    })
}

async fn find(hub: &Hub, asker: u128, mut sought: HashSet<Box<str>>) -> Option<HashSet<Box<str>>> {
    let Ok(Ok(_place)) = timeout(hub.patience, hub.questions.acquire()).await else {
        tracing::warn!(target: "portcullis::remote", "there are too many questions about roads here");
        return None;
    };
    let question = secret::number().ok()?;
    let mut ear = hub.listen(&answer_topic(question)).await.ok()?;
    let hosts: Vec<_> = sought.iter().cloned().collect();
    for hosts in hosts.chunks(BATCH) {
        let call = Call::Roads {
            from: Id(asker),
            question: Id(question),
            hosts: hosts.to_vec(),
        };
        hub.publish(CALLS, &call).await.ok()?;
    }
    let until = Instant::now() + hub.patience;
    let mut found = HashSet::new();
    while !sought.is_empty() {
        let Ok(Some(heard)) = timeout_at(until, ear.next()).await else {
            break;
        };
        let Heard::Payload(payload) = heard else {
            continue;
        };
        let answer: Vec<Box<str>> = serde_json::from_slice(&payload).unwrap_or_default();
        found.extend(answer.iter().filter_map(|host| sought.take(host)));
    }
    Some(found)
}

/// Says which of `hosts` have a road that ends here, if any has.
pub(super) fn answer(
    hub: &Arc<Hub>,
    board: &Arc<dyn Board>,
    question: u128,
    mut hosts: Vec<Box<str>>,
) {
    hosts.retain(|host| board.has_road(host));
    if hosts.is_empty() {
        return;
    }
    let Ok(place) = Arc::clone(&hub.roads).try_acquire_owned() else {
        return;
    };
    let Ok(payload) = serde_json::to_vec(&hosts) else {
        return;
    };
    let asking = Arc::clone(hub);
    hub.spawn(async move {
        let _place = place;
        let topic = answer_topic(question);
        // Who does not hear it takes the hosts for away.
        let _: Result<(), NotTold> = asking.bus.publish(&topic, Bytes::from(payload)).await;
    });
}

/// What is asked at once; with ids of at most 300 bytes it fits the bus.
const BATCH: usize = 200;
