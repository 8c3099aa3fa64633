//! Plain `POST`.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use portcullis_boundary::clock::Moment;
use portcullis_boundary::{Refusal, RefusalKind};
use tokio::time::Instant;

use super::body::TurnBody;
use super::bridge::{Parts, seed};
use super::{Caller, ResponsesBody, Tasks, reply};
use crate::event::{Create, ErrorEvent, Fault, Head};
use crate::failure::{Failure, Telling};
use crate::json::{Fields, Text};
use crate::machine::{Ask, Ids, PERMIT_WAIT};
use crate::prepare::{Way, is_warm_up};
use crate::turn::{Face, Fresh, Told, Transport, Turn};
use crate::upstream::{Answer, Call};

/// One request, one turn.
pub(super) async fn answer<B>(parts: &Parts, request: Request<B>) -> Response<ResponsesBody>
where
    B: Body<Data = Bytes> + Send,
    B::Error: fmt::Display,
{
    let (head, body) = request.into_parts();
    let Some(caller) = head.extensions.get::<Caller>().cloned() else {
        return reply::internal("Caller");
    };
    let Some(tasks) = head.extensions.get::<Tasks>() else {
        return reply::internal("Tasks");
    };
    if tasks.draining.is_cancelled() {
        return reply::error(&Fault::Draining.told());
    }
    let text = match read(body, &head.headers, parts.rules.terms.message_bytes()).await {
        Ok(text) => text,
        Err(unreadable) => return unreadable.reply(),
    };
    let Some(seed) = seed() else {
        return reply::internal("random numbers");
    };
    match begin(parts, &text, &head.headers, &caller, seed).await {
        Ok(begun) if begun.is_streamed => stream(parts, begun),
        Ok(begun) => collect(begun).await,
        Err(error) => reply::error(&error),
    }
}

/// A turn that its upstream has begun to answer.
struct Begun {
    turn: Reported,
    answer: Answer,
    is_streamed: bool,
}

/// A turn that is told of when it is dropped, however that comes about.
pub(super) struct Reported {
    pub(super) turn: Turn,
    caller: Caller,
    origin: Instant,
}

impl Reported {
    pub(super) fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }

    pub(super) const fn origin(&self) -> Instant {
        self.origin
    }
}

impl Drop for Reported {
    fn drop(&mut self) {
        self.turn.cancel();
        self.caller
            .used(&self.turn.report(Transport::Http, self.now()));
    }
}

async fn begin(
    parts: &Parts,
    text: &Text,
    headers: &HeaderMap,
    caller: &Caller,
    seed: u128,
) -> Result<Begun, ErrorEvent> {
    let preparation = &parts.rules.preparation;
    let create = Create::of_body(text).map_err(|fault| fault.told())?;
    let is_streamed = create
        .fields
        .get("stream")
        .is_some_and(|stream| stream.get() == "true");
    let is_warm_up = is_warm_up(&create.fields);
    let prepared = preparation
        .prepare(create, Way::Plain)
        .map_err(|fault| fault.told())?;
    let models = prepared.models().clone();
    let ask = Ask {
        asked: Arc::clone(models.asked()),
        mapped: Arc::clone(models.mapped()),
        lane: None,
        transport: Transport::Http,
        is_warm_up,
        is_steering: false,
    };
    let fresh = Fresh {
        id: Ids::new(seed).next(),
        seconds: parts.now().as_secs(),
    };
    let origin = Instant::now();
    let mut turn = Reported {
        turn: Turn::new(Face::Events, None, models, fresh, Moment::default()),
        caller: caller.clone(),
        origin,
    };
    if is_warm_up {
        turn.turn.mark_warm_up();
    }
    if !is_streamed {
        turn.turn.keep_output(parts.rules.terms.chain_bytes);
    }
    if !parts.rules.models.allows(&ask.asked, &ask.mapped) {
        let fault = Fault::ModelForbidden((*ask.asked).into());
        return Err(refused(&mut turn, fault.told()));
    }
    let allowed = tokio::time::timeout(PERMIT_WAIT, caller.ask(ask)).await;
    let allowed = allowed.unwrap_or_else(|_| Err(Refusal::new(RefusalKind::Overloaded)));
    if let Err(refusal) = allowed {
        return Err(refused(&mut turn, Fault::Refused(refusal).told()));
    }
    let call = Call {
        body: prepared.body(std::iter::empty()),
        headers: preparation.headers(headers),
    };
    turn.turn.sent(call.body.len());
    match parts.upstream.ask(call).await {
        Ok(answer) => Ok(Begun {
            turn,
            answer,
            is_streamed,
        }),
        Err(failure) => Err(refused(&mut turn, told(&failure))),
    }
}

/// The response whose body is the turn's events.
fn stream(parts: &Parts, begun: Begun) -> Response<ResponsesBody> {
    let Begun { turn, answer, .. } = begun;
    let keepalive = parts.rules.terms.keepalive;
    let body = TurnBody::new(turn, answer.events, keepalive);
    let mut response = Response::new(ResponsesBody::turn(body));
    let headers = response.headers_mut();
    pass_headers(&answer.headers, headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The response that the turn comes to.
async fn collect(begun: Begun) -> Response<ResponsesBody> {
    let Begun {
        mut turn,
        mut answer,
        ..
    } = begun;
    loop {
        let now = turn.now();
        let told = match answer.events.next().await {
            Some(Ok(text)) => turn.turn.event(&text, now),
            Some(Err(failure)) => Err(failure),
            None => Err(Failure::Ended),
        };
        match told {
            Ok(Told::Event(_)) => {}
            Ok(Told::Last(last)) => {
                let mut response = whole(&mut turn.turn, &last);
                pass_headers(&answer.headers, response.headers_mut());
                return response;
            }
            Ok(Told::Nothing) => return reply::error(&self::told(&Failure::Ended)),
            Err(failure) => {
                let _: Option<Text> = turn.turn.fail(&failure, now);
                return reply::error(&self::told(&failure));
            }
        }
    }
}

/// The response in a terminal event.
fn whole(turn: &mut Turn, last: &Text) -> Response<ResponsesBody> {
    let fields = Fields::parse(last).unwrap_or_default();
    let Ok(Head {
        response: Some(response),
        ..
    }) = Head::read(last)
    else {
        return reply::error(&ErrorEvent::of_event(&fields));
    };
    // Some upstreams say what they put out as it comes, and not again.
    let is_empty = |raw: &serde_json::value::RawValue| {
        matches!(
            raw.get().replace(char::is_whitespace, "").as_str(),
            "[]" | "null"
        )
    };
    let body = match Fields::parse(response.get()) {
        Ok(mut body) if body.get("output").is_none_or(is_empty) => {
            let output = turn.take_output(true).unwrap_or_default();
            let list = format!("[{}]", output.as_str().unwrap_or_default());
            if let Ok(list) = serde_json::value::RawValue::from_string(list) {
                body.set("output", std::borrow::Cow::Owned(list));
            }
            body.write()
        }
        Ok(_) | Err(_) => response.get().to_owned(),
    };
    reply::json(StatusCode::OK, body)
}

fn refused(turn: &mut Reported, error: ErrorEvent) -> ErrorEvent {
    let now = turn.now();
    let _: Option<Text> = turn.turn.refuse(&error, now);
    error
}

/// The failure of a turn of which nothing was told yet.
fn told(failure: &Failure) -> ErrorEvent {
    tracing::info!(target: "portcullis::responses", %failure, "an upstream failed a turn");
    match failure.told() {
        Telling::Error(error) => error,
        Telling::Failed(message) => ErrorEvent::server(502, message),
    }
}

/// Why a body is no request.
enum Unreadable {
    Broken,
    Compressed,
    NotUtf8,
    TooLarge(usize),
}

impl Unreadable {
    fn reply(&self) -> Response<ResponsesBody> {
        let (status, code, message) = match self {
            Self::Broken => (
                StatusCode::BAD_REQUEST,
                "invalid_body",
                "The body broke off.".to_owned(),
            ),
            Self::Compressed => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "The body must not be compressed.".to_owned(),
            ),
            Self::NotUtf8 => return reply::error(&Fault::NotUtf8.told()),
            Self::TooLarge(most) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "message_too_large",
                format!("The body is larger than {most} bytes."),
            ),
        };
        reply::invalid(status, code, &message)
    }
}

async fn read<B>(body: B, headers: &HeaderMap, most: usize) -> Result<Text, Unreadable>
where
    B: Body<Data = Bytes> + Send,
    B::Error: fmt::Display,
{
    let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| encoding != b"identity") {
        return Err(Unreadable::Compressed);
    }
    let body = body.map_err(|error| error.to_string());
    let mut body = std::pin::pin!(Limited::new(body, most));
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Unreadable::TooLarge(most)
            } else {
                Unreadable::Broken
            }
        })?;
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Text::from_utf8(whole.freeze()).ok_or(Unreadable::NotUtf8)
}

/// The upstream's headers that mean something to clients of this protocol.
fn pass_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        let text = name.as_str();
        let is_passed = matches!(
            text,
            "x-request-id" | "x-models-etag" | "x-reasoning-included"
        ) || text.starts_with("openai-")
            || text.starts_with("x-codex-")
            || text.starts_with("x-ratelimit-");
        if is_passed {
            to.append(name.clone(), value.clone());
        }
    }
}
