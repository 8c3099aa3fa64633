//! A socket that is accepted before it is decided about: its credential is its first message.

use std::pin::pin;
use std::sync::Arc;

use portcullis_boundary::carrier::first_message;
use portcullis_boundary::close::CloseCode;
use portcullis_boundary::policy::Delivery;
use portcullis_boundary::session::{Closing, Side};
use portcullis_boundary::{Arrival, Boundary, Credential, Refusal, RefusalKind, Refused, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::leaver::Leaver;
use super::refuse::{Farewell, switching, tell};
use super::upgrade::{Bridge, Terms, reach, refused};
use super::{Outcome, Then};
use crate::config::Route;
use crate::places::Place;
use crate::relay::frames::{close_frame, pong_frame, text_frame};
use crate::relay::header::read_header;
use crate::routes::Entry;
use crate::session::Driver;
use crate::stream::Stream;
use crate::trail::Trail;
use crate::worker::Worker;

/// The most bytes that are read before the first message is whole: its payload, and frames' headers.
const MAX_BYTES: usize = first_message::MAX_BYTES + 512;

/// A socket whose first message is awaited.
pub(crate) struct FirstMessage {
    worker: Arc<Worker>,
    route: Arc<Route>,
    boundary: Boundary,
    arrival: Arrival,
    place: Place,
    trail: Trail,
}

/// Accepts the socket, where there is room for one more stranger.
pub(super) fn accept(
    worker: &Arc<Worker>,
    entry: &Entry,
    boundary: Boundary,
    arrival: Arrival,
    trail: Trail,
) -> Outcome {
    let place = match worker.shared.lobby.take(arrival.peer()) {
        Ok(place) => place,
        Err(full) => {
            let why = format!("the places for sockets without a first message: {full}");
            let refusal = Refusal::new(RefusalKind::Overloaded).because(why);
            return tell(worker, entry, &arrival, refusal.into(), &trail);
        }
    };
    let response = switching(&arrival);
    trail.answered(response.status());
    let route = Arc::clone(&entry.route);
    let waiting = FirstMessage {
        worker: Arc::clone(worker),
        route,
        boundary,
        arrival,
        place,
        trail,
    };
    Outcome::Switch(response, Box::new(Then::FirstMessage(waiting)))
}

impl FirstMessage {
    /// Reads the first message and decides; gives the session when it is admitted, and says goodbye
    /// when it is not.
    pub(crate) async fn decide(self, mut client: Stream, mut buffer: Vec<u8>) -> Option<Driver> {
        let read = timeout(
            first_message::TIMEOUT,
            read_message(&mut client, &mut buffer),
        )
        .await;
        let refused = match read {
            Err(_) => Refused::from(Refusal::new(RefusalKind::AuthTimeout)),
            Ok(Err(Unread::Gone)) => return None,
            Ok(Err(Unread::Refused(refusal))) => Refused::from(refusal),
            Ok(Ok(credential)) => {
                let entered = pin!(self.enter(credential));
                match client.while_there(&mut buffer, entered).await? {
                    Ok(bridge) => return bridge.welcome(client, buffer).await,
                    Err(refused) => refused,
                }
            }
        };
        let kind = refused.refusal.kind();
        let code = self
            .route
            .policy
            .codes()
            .code(kind)
            .unwrap_or(CloseCode::POLICY);
        let status = refused.refusal.status();
        let name = self.route.policy.name();
        let reporter = &self.worker.shared.reporter;
        let delivery = Delivery::Close(code);
        reporter.refused(name, &self.arrival, &refused, delivery, status, &self.trail);
        let closing = Closing {
            code,
            reason: kind.as_str(),
        };
        Farewell::new(closing, self.place).say(client, buffer).await;
        None
    }

    async fn enter(&self, credential: Credential) -> Result<Bridge, Refused> {
        let pass = match self
            .boundary
            .admit_first_message(&self.arrival, credential)
            .await
        {
            Verdict::Admit(pass) => pass,
            Verdict::Refuse(refused) => return Err(refused),
            Verdict::AwaitFirstMessage => {
                let why = "a first message was asked for twice";
                return Err(Refusal::new(RefusalKind::Internal).because(why).into());
            }
        };
        let (worker, route, arrival) = (&self.worker, &self.route, &self.arrival);
        let (reporter, trail) = (&worker.shared.reporter, &self.trail);
        let leaver = Leaver::new(reporter, route, arrival, &pass, trail);
        let reached = reach(worker, route, arrival, &pass, Terms::AsAnswered, trail).await;
        leaver.stays();
        let upstream = reached.map_err(|unreached| refused(&pass, unreached.into()))?;
        reporter.admitted(route.policy.name(), arrival, &pass, trail);
        let (hosts, trail) = (self.boundary.hosts(), trail.clone());
        Ok(Bridge::new(
            worker, route, hosts, arrival, pass, upstream, trail,
        ))
    }
}

impl Bridge {
    /// Tells an admitted client so, before anything of its upstream.
    async fn welcome(self, mut client: Stream, buffer: Vec<u8>) -> Option<Driver> {
        let answer = first_message::answer(self.expiry(), Some(self.id()));
        client.write_all(&text_frame(&answer)).await.ok()?;
        client.flush().await.ok()?;
        Some(self.relay(client, buffer))
    }
}

/// Why there is no first message.
enum Unread {
    /// The client left.
    Gone,
    Refused(Refusal),
}

impl From<std::io::Error> for Unread {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// Reads frames until a text message is whole. Pings are answered; `buffer` keeps what comes after.
async fn read_message(client: &mut Stream, buffer: &mut Vec<u8>) -> Result<Credential, Unread> {
    let mut message = Vec::new();
    let mut begun = false;
    let mut taken = 0;
    loop {
        while let Some((frame, bytes)) = whole_frame(buffer)? {
            buffer.drain(..bytes);
            taken += bytes;
            match (frame.opcode, begun) {
                (1, false) | (0, true) => {
                    begun = true;
                    message.extend_from_slice(&frame.payload);
                    if frame.fin {
                        return credential(&message);
                    }
                }
                (8, _) => return Err(leave(client).await),
                (9, _) => client.write_all(&pong_frame(&frame.payload)).await?,
                (10, _) => {}
                _ => return Err(malformed("the first message is not text")),
            }
        }
        if taken + buffer.len() > MAX_BYTES {
            let refusal = Refusal::new(RefusalKind::MessageTooBig);
            return Err(Unread::Refused(
                refusal.because("the first message is too long"),
            ));
        }
        if client.read_buf(buffer).await? == 0 {
            return Err(Unread::Gone);
        }
    }
}

fn credential(message: &[u8]) -> Result<Credential, Unread> {
    let text =
        std::str::from_utf8(message).map_err(|_| malformed("the first message is not UTF-8"))?;
    first_message::read(text).map_err(|error| malformed(error.to_string()))
}

fn malformed(why: impl Into<std::borrow::Cow<'static, str>>) -> Unread {
    Unread::Refused(Refusal::new(RefusalKind::MalformedCredential).because(why))
}

/// Answers the client's goodbye.
async fn leave(client: &mut Stream) -> Unread {
    let closing = Closing {
        code: CloseCode::NORMAL,
        reason: "",
    };
    // It is leaving; whether it reads the answer is its own affair.
    let _: std::io::Result<()> = client.write_all(&close_frame(Side::Client, &closing)).await;
    Unread::Gone
}

struct Whole {
    fin: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// The frame that `buffer` begins with, unmasked; none when it is not whole yet.
fn whole_frame(buffer: &[u8]) -> Result<Option<(Whole, usize)>, Unread> {
    let Some(header) = read_header(buffer) else {
        return Ok(None);
    };
    if !header.frame.masked {
        return Err(malformed("the client's frames are not masked"));
    }
    let length = usize::try_from(header.frame.length).unwrap_or(usize::MAX);
    if length > MAX_BYTES {
        let refusal = Refusal::new(RefusalKind::MessageTooBig);
        return Err(Unread::Refused(
            refusal.because("the first message is too long"),
        ));
    }
    let bytes = header.bytes + length;
    let Some(masked) = buffer.get(header.bytes..bytes) else {
        return Ok(None);
    };
    let key = header.mask.iter().cycle();
    let payload = masked
        .iter()
        .zip(key)
        .map(|(byte, key)| byte ^ key)
        .collect();
    Ok(Some((
        Whole {
            fin: header.frame.fin,
            opcode: header.frame.opcode,
            payload,
        },
        bytes,
    )))
}
