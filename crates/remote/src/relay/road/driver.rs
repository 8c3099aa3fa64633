//! The task that has a road's socket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use portcullis_boundary::RefusalKind;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use super::ports::{End, Road};
use super::roads::Seat;
use crate::relay::Inner;
use crate::relay::service::Socket;
use crate::socket::config;
use crate::wire::{ClientEnvelope, ClientEvent, MAX_FRAME};

/// What a road's task is made of.
pub(in crate::relay) struct Start {
    pub(in crate::relay) relay: Arc<Inner>,
    pub(in crate::relay) road: Arc<Road>,
    pub(in crate::relay) seat: Seat,
    pub(in crate::relay) said: mpsc::Receiver<ClientEnvelope>,
    pub(in crate::relay) socket: Socket,
}

/// Drives a road until it ends.
pub(in crate::relay) async fn drive(start: Start) {
    let Start {
        relay,
        road,
        seat,
        mut said,
        socket,
    } = start;
    let config = config(MAX_FRAME);
    let socket = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await;
    let (mut sink, stream) = socket.split();
    let settings = &relay.settings;
    let (host, account) = (&*road.host, &*road.account);
    tracing::info!(target: "portcullis::remote", host, account, "a road is open");
    let end = tokio::select! {
        biased;
        end = road.ended() => end,
        () = drained(&relay, &road) => End::Draining,
        end = read(&road, stream, settings.silence) => end,
        end = write(&road, &mut sink, &mut said, settings.write) => end,
        end = settle(&road, settings.pong) => end,
        never = gather(&road, settings.gathering) => match never {},
        never = note(&relay, &road) => match never {},
    };
    road.end(end);
    drop(seat);
    let reason = end.as_str();
    tracing::info!(target: "portcullis::remote", host, account, reason, "a road has ended: {end}");
    relay.roads.note(&road.host, end, relay.clock.now());
    let farewell = async {
        if end == End::Draining {
            // Guests are gone: that was said last.
            while let Ok(envelope) = said.try_recv() {
                sink.feed(Frame::text(envelope.to_text())).await?;
            }
        }
        sink.send(Frame::Close(close(&relay, end))).await
    };
    // The host does not look at the code, and may have gone.
    let _: Result<_, tokio::time::error::Elapsed> = timeout(FAREWELL, farewell).await;
}

async fn read(
    road: &Road,
    mut stream: impl Stream<Item = Result<Frame, Error>> + Unpin,
    silence: Duration,
) -> End {
    loop {
        match timeout(silence, stream.next()).await {
            Err(_) => return End::Silent,
            Ok(None | Some(Ok(Frame::Close(_)))) => return End::Left,
            Ok(Some(Err(_))) => return End::Broke,
            Ok(Some(Ok(Frame::Text(text)))) => {
                if let Err(end) = road.hear(&text) {
                    return end;
                }
            }
            Ok(Some(Ok(Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_)))) => {}
        }
    }
}

async fn write(
    road: &Road,
    sink: &mut (impl Sink<Frame, Error = Error> + Unpin),
    said: &mut mpsc::Receiver<ClientEnvelope>,
    limit: Duration,
) -> End {
    let probe = ClientEnvelope::new(&road.probe(), ClientEvent::Ping);
    let mut batch = vec![probe];
    loop {
        let until = Instant::now() + limit;
        for envelope in batch.drain(..) {
            let frame = Frame::text(envelope.to_text());
            match timeout_at(until, sink.feed(frame)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return End::Broke,
                Err(_) => return End::Stalled,
            }
        }
        match timeout_at(until, sink.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Broke,
            Err(_) => return End::Stalled,
        }
        tokio::select! {
            // What makes room at the host comes first.
            biased;
            acks = road.acks() => batch = acks,
            _ = said.recv_many(&mut batch, BATCH) => {}
        }
    }
}

/// Waits until the relay drains, and then, for as long as a last word may take, until the guests have left.
/// A host that does not hear that they did keeps what it has for them until they have idled away.
async fn drained(relay: &Inner, road: &Road) {
    relay.draining.cancelled().await;
    let _: Result<(), tokio::time::error::Elapsed> = timeout(FAREWELL, road.left()).await;
}

/// Waits for as long as a host may take to answer the first ping.
async fn settle(road: &Road, limit: Duration) -> End {
    sleep(limit).await;
    if road.is_settled() {
        std::future::pending().await
    } else {
        End::Mute
    }
}

async fn gather(road: &Road, limit: Duration) -> std::convert::Infallible {
    sleep(limit).await;
    road.gathered();
    std::future::pending().await
}

/// Notes now and then that the host is there.
async fn note(relay: &Inner, road: &Road) -> std::convert::Infallible {
    loop {
        let noted = relay.book.note_host(&road.host, relay.clock.now()).await;
        if let Err(error) = noted {
            let host = &*road.host;
            tracing::warn!(target: "portcullis::remote", host, %error, "a host is not noted");
        }
        sleep(NOTE).await;
    }
}

fn close(relay: &Inner, end: End) -> Option<CloseFrame> {
    let told = |kind: RefusalKind| {
        let code = relay.settings.codes.code(kind)?.get();
        Some((code, kind.as_str()))
    };
    let (code, reason) = match end {
        End::Left | End::Broke => return None,
        End::Replaced => Some((REPLACED, "replaced")),
        End::Revoked => told(RefusalKind::Revoked),
        End::Unsure => told(RefusalKind::Overloaded),
        End::Draining => told(RefusalKind::Draining),
        End::Stalled | End::Misbehaved => told(RefusalKind::SlowConsumer),
        End::Silent | End::Mute => told(RefusalKind::Idle),
    }?;
    let code = code.into();
    let reason = reason.into();
    Some(CloseFrame { code, reason })
}

/// The code for a road in whose place a newer one is.
const REPLACED: u16 = 4409;

/// The most envelopes that are written at once.
const BATCH: usize = 16;

/// How long the last word may take, of guests and to the host.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often it is noted that a host is there.
const NOTE: Duration = Duration::from_secs(60);
