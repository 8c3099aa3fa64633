//! Telling a refusal.

use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{Response, StatusCode};
use portcullis_boundary::denial::{denial, status};
use portcullis_boundary::policy::Delivery;
use portcullis_boundary::session::{CLOSE_GRACE, Closing, Side};
use portcullis_boundary::{Arrival, Refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Outcome, Then, delivery, login};
use crate::places::Place;
use crate::relay::frames::close_frame;
use crate::relay::header::read_header;
use crate::routes::Entry;
use crate::stream::Stream;
use crate::trail::Trail;
use crate::upstream::accept_key;
use crate::worker::Worker;

/// Tells `refused`, and reports it.
pub(super) fn tell(
    worker: &Worker,
    entry: &Entry,
    arrival: &Arrival,
    refused: Refused,
    trail: &Trail,
) -> Outcome {
    let route = &entry.route;
    let mut delivery = delivery(entry, arrival, &refused);
    let mut place = None;
    if let Delivery::Close(_) = delivery {
        place = worker.shared.lobby.take(arrival.peer()).ok();
        if place.is_none() {
            delivery = Delivery::Denial;
        }
    }
    let way_in = login::way_in(route, arrival, &refused.refusal);
    let status = match &way_in {
        Some(way_in) => way_in.status(),
        None => status(&refused.refusal, &route.policy),
    };
    let reporter = &worker.shared.reporter;
    let name = route.policy.name();
    reporter.refused(name, arrival, &refused, delivery, status, trail);
    match (delivery, place) {
        (Delivery::Close(code), Some(place)) => {
            let closing = Closing {
                code,
                reason: refused.refusal.kind().as_str(),
            };
            let farewell = Farewell { closing, place };
            Outcome::Switch(switching(arrival), Box::new(Then::Close(farewell)))
        }
        (Delivery::Close(_) | Delivery::Denial, _) => {
            Outcome::Answer(way_in.unwrap_or_else(|| denial(refused.refusal, &route.policy)))
        }
    }
}

/// The 101 of a socket of which no upstream knows. It selects a subprotocol that was offered, or a
/// browser would drop the socket before it reads the code.
pub(super) fn switching(arrival: &Arrival) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let accept = accept_key(arrival.handshake_key().unwrap_or_default().as_bytes());
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert("sec-websocket-accept", accept);
    }
    if let Some(Ok(protocol)) = arrival.selectable_subprotocol().map(HeaderValue::from_str) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The close that an accepted socket is told.
pub(crate) struct Farewell {
    closing: Closing,
    /// Its place in the lobby, given back when the socket is dropped.
    place: Place,
}

impl Farewell {
    pub(super) const fn new(closing: Closing, place: Place) -> Self {
        Self { closing, place }
    }

    /// Writes the close frame and waits for the client's own, at most for [`CLOSE_GRACE`]. What the
    /// client sends meanwhile goes nowhere.
    pub(crate) async fn say(self, mut client: Stream, already: Vec<u8>) {
        let exchange = async {
            client
                .write_all(&close_frame(Side::Client, &self.closing))
                .await?;
            client.flush().await?;
            await_close(&mut client, already).await?;
            client.shutdown().await
        };
        // Whether the client heard it or left: there is nothing more to tell it.
        let _: Result<std::io::Result<()>, _> = timeout(CLOSE_GRACE, exchange).await;
        drop(self.place);
    }
}

/// Reads frames until a close frame begins, or the client leaves.
async fn await_close(client: &mut Stream, already: Vec<u8>) -> std::io::Result<()> {
    let mut buffer = already;
    let mut skip = 0u64;
    loop {
        let dropped = usize::try_from(skip)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        buffer.drain(..dropped);
        skip -= dropped as u64;
        if skip == 0 {
            while let Some(header) = read_header(&buffer) {
                if header.frame.opcode == 0x8 {
                    return Ok(());
                }
                let whole = header.frame.length.saturating_add(header.bytes as u64);
                let here = usize::try_from(whole)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                buffer.drain(..here);
                skip = whole - here as u64;
                if skip > 0 {
                    break;
                }
            }
        }
        if client.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}
