//! One connection of a client, from its first byte to its last.
//!
//! Two readers stand behind each other. [`door`] reads a handshake's head itself and goes on with
//! the bare socket; whatever it does not take for a plain, clean handshake it hands over, with the
//! bytes that it read, to hyper in [`http`]. Both bring what they read to
//! [`arrive`](crate::entry::arrive): what is decided does not depend on who read it.

mod body;
mod door;
mod http;
mod rest;
mod rewind;
mod room;
mod tls;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::StatusCode;
use portcullis_boundary::Peer;

pub(crate) use self::room::connections;

use crate::config::Listener;
use crate::entry::Then;
use crate::places::{Full, Place};
use crate::session::Driver;
use crate::stream::Stream;
use crate::worker::Worker;

/// Serves a connection until it ends.
pub(crate) async fn serve(
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    stream: Stream,
    peer: Peer,
) {
    let place = match worker.shared.connections.take(&peer) {
        Ok(place) => Arc::new(place),
        Err(full) => return turn_away(&worker, &listener, stream, full).await,
    };
    let limit = worker.shared.rules().timeouts.handshake;
    let Some((stream, peer)) = tls::accept(&listener, stream, peer, limit).await else {
        return;
    };
    door::serve(worker, listener, stream, peer, place).await;
}

/// Turns away who finds no place. Who would have to shake hands first is not told why.
async fn turn_away(worker: &Worker, listener: &Listener, stream: Stream, full: Full) {
    metrics::counter!("portcullis_connections_turned_away_total").increment(1);
    if full == Full::All && worker.shared.connections.is_news() {
        let mend = "raise `limits.connections`, and how many files the process may open";
        tracing::warn!(target: "portcullis::connection", mend, "no room for more connections");
    }
    if listener.tls.is_none() {
        let limit = Duration::from_secs(1);
        Box::pin(door::turn_away(
            stream,
            StatusCode::SERVICE_UNAVAILABLE,
            limit,
        ))
        .await;
    }
}

/// Goes on with a socket whose protocols were switched. A session is a task of its own, which is
/// smaller than what came before it.
async fn go_on(worker: &Worker, then: Then, client: Stream, already: Vec<u8>, place: Arc<Place>) {
    let session = match then {
        Then::Relay(bridge) => bridge.relay(client, already),
        // Boxed: the usual way is the one above, and should not carry room for these.
        Then::Close(farewell) => return Box::pin(farewell.say(client, already)).await,
        Then::FirstMessage(waiting) => match Box::pin(waiting.decide(client, already)).await {
            Some(session) => session,
            None => return,
        },
    };
    drop(worker.tasks.spawn(Placed {
        session,
        _place: place,
    }));
}

/// A session, and the place of its connection.
struct Placed {
    // Given back first: who sees that the session is gone finds its place free.
    _place: Arc<Place>,
    session: Driver,
}

impl Future for Placed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.session).poll(cx)
    }
}
