//! Those who watch where a client is.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::state::{State, States};

/// Tells states to those who watch, and to the log.
#[derive(Clone, Debug)]
pub(crate) struct Watchers {
    address: Arc<str>,
    latest: watch::Sender<State>,
    stream: broadcast::Sender<State>,
}

impl Watchers {
    pub(crate) fn new(address: Arc<str>) -> Self {
        Self {
            address,
            latest: watch::Sender::new(State::Connecting),
            stream: broadcast::Sender::new(MOST_UNSEEN),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.latest.borrow().clone()
    }

    pub(crate) fn states(&self) -> States {
        States::new(self.stream.subscribe())
    }

    pub(crate) fn tell(&self, state: State) {
        tracing::debug!(target: "portcullis::client", server = &*self.address, ?state, "client");
        self.latest.send_replace(state.clone());
        // Nobody need watch.
        let _: Result<usize, broadcast::error::SendError<State>> = self.stream.send(state);
    }
}

/// How many states are kept for who is slow.
const MOST_UNSEEN: usize = 64;
