//! The bus of the program, as relays of several gates ask for it.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use portcullis_ledger::bus::{Bus, BusError, Notice, Subscription, Topic};
use portcullis_remote::relay::Exchange;
use portcullis_remote::relay::exchange::bus::{
    BusExchange, BusSettings, BusSetup, ByteBus, Ear, Heard, NotTold,
};
use portcullis_remote::relay::exchange::{Asked, LocalExchange};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How this gate's guests reach hosts whose roads end at other gates: over `bus`, whose work runs on
/// `runtime`, until that ends; not at all where the gate is alone.
pub(crate) fn between_gates(bus: Option<&Arc<dyn Bus>>, runtime: &Handle) -> Arc<dyn Exchange> {
    let Some(bus) = bus else {
        return Arc::new(LocalExchange::new());
    };
    Arc::new(BusExchange::new(BusSetup {
        bus: Arc::new(RelayBus::new(Arc::clone(bus))),
        settings: BusSettings::default(),
        // Roads and guests have ended when the runtime does, and what is left has nobody to tell.
        tasks: TaskTracker::new(),
        runtime: runtime.clone(),
        end: CancellationToken::new(),
    }))
}

/// The bus of the program.
pub(crate) struct RelayBus(Arc<dyn Bus>);

impl RelayBus {
    pub(crate) const fn new(bus: Arc<dyn Bus>) -> Self {
        Self(bus)
    }
}

impl ByteBus for RelayBus {
    fn publish(&self, topic: &str, payload: Bytes) -> Asked<Result<(), NotTold>> {
        let Ok(topic) = topic.parse::<Topic>() else {
            return Box::pin(ready(Err(not_told(&BusError::BadTopic))));
        };
        let published = self.0.publish(&topic, payload);
        Box::pin(async { published.await.map_err(|error| not_told(&error)) })
    }

    fn subscribe(&self, topic: &str) -> Asked<Result<Box<dyn Ear>, NotTold>> {
        let Ok(topic) = topic.parse::<Topic>() else {
            return Box::pin(ready(Err(not_told(&BusError::BadTopic))));
        };
        let subscribed = self.0.subscribe(&topic);
        Box::pin(async {
            let subscription = subscribed.await.map_err(|error| not_told(&error))?;
            Ok(Box::new(BusEar(subscription)) as Box<dyn Ear>)
        })
    }
}

fn not_told(error: &BusError) -> NotTold {
    NotTold::new(error.to_string())
}

struct BusEar(Subscription);

impl Ear for BusEar {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Heard>> + Send + '_>> {
        Box::pin(async {
            Some(match self.0.next().await? {
                Notice::Message(message) => Heard::Payload(message.payload),
                Notice::Lagged | Notice::Reconnected => Heard::Missed,
            })
        })
    }
}

#[cfg(test)]
mod tests;
