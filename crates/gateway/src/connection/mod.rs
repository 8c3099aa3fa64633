//! One connection of a client, from its first byte to its last.
//!
//! Two readers stand behind each other. [`door`] reads a handshake's head itself and goes on with
//! the bare socket; whatever it does not take for a plain, clean handshake it hands over, with the
//! bytes that it read, to hyper in [`http`]. Both bring what they read to
//! [`arrive`](crate::entry::arrive): what is decided does not depend on who read it.

mod body;
mod door;
mod http;
mod rewind;
mod tls;

use std::sync::Arc;

use portcullis_boundary::Peer;

use crate::config::Listener;
use crate::entry::Then;
use crate::stream::Stream;
use crate::worker::Worker;

/// Serves a connection until it ends.
pub(crate) async fn serve(
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    stream: Stream,
    peer: Peer,
) {
    let limit = worker.shared.rules().timeouts.handshake;
    let Some((stream, peer)) = tls::accept(&listener, stream, peer, limit).await else {
        return;
    };
    door::serve(worker, listener, stream, peer).await;
}

/// Goes on with a socket whose protocols were switched. A session is a task of its own, which is
/// smaller than what came before it.
async fn go_on(worker: &Worker, then: Then, client: Stream, already: Vec<u8>) {
    match then {
        Then::Relay(bridge) => drop(worker.tasks.spawn(bridge.relay(client, already))),
        // Boxed: the usual way is the one above, and should not carry room for these.
        Then::Close(farewell) => Box::pin(farewell.say(client, already)).await,
        Then::FirstMessage(waiting) => {
            if let Some(session) = Box::pin(waiting.decide(client, already)).await {
                drop(worker.tasks.spawn(session));
            }
        }
    }
}
