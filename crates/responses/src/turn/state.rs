//! The state of a turn.

use std::sync::Arc;

use portcullis_boundary::clock::Moment;
use serde_json::value::RawValue;

use super::sequence::Sequence;
use super::{Output, Terminal, Transport, TurnReport, Usage};
use crate::event::{
    Body, CreatedAt, ErrorEvent, Head, Kind, Made, NoUsage, ResponseShape, failed_event,
};
use crate::failure::{Failure, Telling};
use crate::json::{Edits, Fields, Text, raw, string};
use crate::prepare::{Models, Segment};

/// Who is told of the turn's events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Face {
    /// A socket.
    Socket,
    /// A stream of events.
    Events,
}

/// What becomes of an event.
#[derive(Debug)]
pub(crate) enum Told {
    /// It goes to the client.
    Event(Text),
    /// It goes to the client, and nothing after it.
    Last(Text),
    /// It goes nowhere: the turn is over.
    Nothing,
}

/// One turn.
#[derive(Debug)]
pub(crate) struct Turn {
    face: Face,
    lane: Option<Arc<str>>,
    models: Models,
    sequence: Sequence,
    /// The response that is told of when the upstream never began one.
    fallback: Started,
    started: Option<Started>,
    /// The most bytes of output that are kept for the next turn; zero where nobody asks for them.
    keeps: usize,
    output: Output,
    terminal_output: Option<Box<RawValue>>,
    usage: Option<Usage>,
    /// How long its request was; none when none was sent.
    request_bytes: Option<usize>,
    /// How long the pieces of its output are.
    output_bytes: usize,
    is_warm_up: bool,
    terminal: Option<Terminal>,
    began: Moment,
    told: Moment,
    first_event: Option<Moment>,
    first_token: Option<Moment>,
}

#[derive(Debug)]
struct Started {
    id: Box<str>,
    created_at: Begun,
}

#[derive(Debug)]
enum Begun {
    Said(Box<RawValue>),
    Seconds(i64),
}

impl Turn {
    /// A turn that was admitted `now`. Should its upstream never begin, the response that failed has the
    /// id of `fresh`, and began then.
    pub(crate) fn new(
        face: Face,
        lane: Option<Arc<str>>,
        models: Models,
        fresh: Fresh,
        now: Moment,
    ) -> Self {
        let Fresh { id, seconds } = fresh;
        Self {
            fallback: Started {
                id,
                created_at: Begun::Seconds(seconds),
            },
            face,
            lane,
            models,
            sequence: Sequence::default(),
            started: None,
            keeps: 0,
            output: Output::default(),
            terminal_output: None,
            usage: None,
            request_bytes: None,
            output_bytes: 0,
            is_warm_up: false,
            terminal: None,
            began: now,
            told: now,
            first_event: None,
            first_token: None,
        }
    }

    /// Keeps up to `most` bytes of output.
    pub(crate) const fn keep_output(&mut self, most: usize) {
        self.keeps = most;
    }

    pub(crate) const fn mark_warm_up(&mut self) {
        self.is_warm_up = true;
    }

    /// A request of `bytes` goes to the upstream.
    pub(crate) const fn sent(&mut self, bytes: usize) {
        self.request_bytes = Some(bytes);
    }

    /// What becomes of `text`, an event of the upstream.
    pub(crate) fn event(&mut self, text: &Text, now: Moment) -> Result<Told, Failure> {
        if self.terminal.is_some() {
            return Ok(Told::Nothing);
        }
        let Ok(head) = Head::read(text) else {
            return Err(Failure::NotAnEvent);
        };
        if self.lane.is_none() && head.lane.is_some() {
            return self.event(&without_lane(text), now);
        }
        self.note(&head, now);
        let is_flat = head.status.is_none() || head.name != "error";
        let told = if head.kind == Kind::Error && self.face == Face::Socket && is_flat {
            let fields = Fields::parse(text).unwrap_or_default();
            self.error(&ErrorEvent::of_event(&fields))
        } else {
            let edited = self.edited(&head, text);
            edited.map_or_else(|| text.clone(), Text::from)
        };
        self.told = now;
        Ok(match self.terminal {
            Some(_) => Told::Last(told),
            None => Told::Event(told),
        })
    }

    /// An answer of the upstream to a steering of this turn, which may come after its terminal.
    pub(crate) fn steered(&mut self, text: &Text, now: Moment) -> Text {
        self.told = now;
        let Ok(head) = Head::read(text) else {
            return text.clone();
        };
        let edited = self.edited(&head, text);
        edited.map_or_else(|| text.clone(), Text::from)
    }

    /// The terminal of a turn that its upstream failed.
    pub(crate) fn fail(&mut self, failure: &Failure, now: Moment) -> Option<Text> {
        if self.terminal.is_some() {
            return None;
        }
        self.told = now;
        Some(match failure.told() {
            Telling::Error(error) => self.error(&error),
            Telling::Failed(message) => self.failed(message),
        })
    }

    /// The terminal of a turn that is refused.
    pub(crate) fn refuse(&mut self, error: &ErrorEvent, now: Moment) -> Option<Text> {
        if self.terminal.is_some() {
            return None;
        }
        self.told = now;
        Some(self.error(error))
    }

    /// Ends a turn whose client is gone.
    pub(crate) fn cancel(&mut self) {
        self.terminal.get_or_insert(Terminal::Cancelled);
    }

    /// The two events of a turn for which there is nothing to do: a response that is prepared.
    pub(crate) fn complete_here(&mut self, previous: Option<&str>, now: Moment) -> [Text; 2] {
        self.first_event = Some(now);
        self.terminal = Some(Terminal::Completed);
        let numbers = [self.sequence.of_ours(), self.sequence.of_ours()];
        let made = |kind, status, number, usage| {
            let mut response = self.fallback.shape(self.models.asked(), status);
            response.previous_response_id = previous;
            response.usage = usage;
            let made = Made {
                r#type: kind,
                sequence_number: Some(number),
                response: Some(response),
                stream_id: self.lane.as_deref(),
            };
            made.text()
        };
        let [first, last] = numbers;
        let usage = Some(NoUsage::new());
        [
            made("response.created", "in_progress", first, None),
            made("response.completed", "completed", last, usage),
        ]
    }

    /// An event that only says that the turn is under way; none where there is none to say it with.
    /// Before the response has begun, nothing about it can be said.
    pub(crate) fn keep_alive(&mut self, now: Moment) -> Option<Text> {
        self.told = now;
        let lane = self.lane.as_deref();
        let Some(started) = &self.started else {
            return (self.face == Face::Socket).then(|| {
                let made = Made {
                    r#type: "keepalive",
                    sequence_number: None,
                    response: None,
                    stream_id: lane,
                };
                made.text()
            });
        };
        let made = Made {
            r#type: "response.in_progress",
            sequence_number: Some(self.sequence.of_ours()),
            response: Some(started.shape(self.models.asked(), "in_progress")),
            stream_id: lane,
        };
        Some(made.text())
    }

    /// A number for an event of this turn that the upstream does not know of.
    pub(crate) const fn own_number(&mut self) -> u64 {
        self.sequence.of_ours()
    }

    pub(crate) const fn lane(&self) -> Option<&Arc<str>> {
        self.lane.as_ref()
    }

    pub(crate) const fn models(&self) -> &Models {
        &self.models
    }

    /// The response's id, once it has begun.
    pub(crate) fn response(&self) -> Option<&str> {
        let is_made_here = self.is_warm_up && self.terminal == Some(Terminal::Completed);
        let fallback = is_made_here.then_some(&self.fallback);
        Some(&self.started.as_ref().or(fallback)?.id)
    }

    pub(crate) const fn terminal(&self) -> Option<Terminal> {
        self.terminal
    }

    /// When the client was last told something about it.
    pub(crate) const fn told(&self) -> Moment {
        self.told
    }

    /// What the turn adds to the chain; none when it is too large.
    pub(crate) fn take_output(&mut self, is_stored: bool) -> Option<Segment> {
        let output = std::mem::take(&mut self.output);
        output.into_segment(self.terminal_output.as_deref(), is_stored, self.keeps)
    }

    pub(crate) fn report(&self, transport: Transport, now: Moment) -> TurnReport {
        let since = |moment: Moment| moment.since(self.began);
        TurnReport {
            asked: Arc::clone(self.models.asked()),
            mapped: Arc::clone(self.models.mapped()),
            lane: self.lane.clone(),
            response: self.response().map(Into::into),
            transport,
            is_warm_up: self.is_warm_up,
            terminal: self.terminal.unwrap_or(Terminal::Cancelled),
            usage: self.usage.or_else(|| self.estimate()),
            duration: since(now),
            first_event: self.first_event.map(since),
            first_token: self.first_token.map(since),
        }
    }

    /// About what a turn cost whose upstream did not come to say. One that only failed cost nothing; one
    /// whose client left may have cost all that it was sent.
    fn estimate(&self) -> Option<Usage> {
        let request = self.request_bytes?;
        let has_cost = match self.terminal {
            Some(Terminal::Error { .. } | Terminal::Failed) => self.output_bytes > 0,
            Some(Terminal::Completed | Terminal::Incomplete | Terminal::Cancelled) | None => true,
        };
        has_cost.then(|| Usage::estimate(request, self.output_bytes))
    }

    /// Keeps what the event says of the turn.
    fn note(&mut self, head: &Head<'_>, now: Moment) {
        self.first_event.get_or_insert(now);
        match head.kind {
            Kind::Created => self.start(head),
            Kind::Delta => {
                self.first_token.get_or_insert(now);
                self.output_bytes += head.delta.map_or(0, |delta| delta.get().len());
            }
            Kind::ItemDone => {
                if let Some(item) = head.item.filter(|_| self.keeps > 0) {
                    self.output.note(item, self.keeps);
                }
            }
            Kind::Completed => self.end(head, Terminal::Completed),
            Kind::Failed => self.end(head, Terminal::Failed),
            Kind::Incomplete => self.end(head, Terminal::Incomplete),
            Kind::Error => {
                let status = head.status.and_then(|status| status.get().parse().ok());
                let status = status.unwrap_or(500);
                self.terminal = Some(Terminal::Error { status });
            }
            Kind::OfResponse | Kind::Other | Kind::Steer => {}
        }
    }

    fn start(&mut self, head: &Head<'_>) {
        let body = head.response.map(Body::read).unwrap_or_default();
        if self.started.is_none()
            && let Some(id) = body.id
        {
            self.started = Some(Started {
                id: (&*id).into(),
                created_at: match body.created_at {
                    Some(said) => Begun::Said(said.to_owned()),
                    None => Begun::Seconds(0),
                },
            });
        }
    }

    fn end(&mut self, head: &Head<'_>, terminal: Terminal) {
        self.start(head);
        self.terminal = Some(terminal);
        let body = head.response.map(Body::read).unwrap_or_default();
        self.usage = body.usage;
        if self.keeps > 0 {
            self.terminal_output = body.output.map(ToOwned::to_owned);
        }
    }

    /// The event with the client's model, its number and its lane; none when it is as it should be.
    fn edited(&mut self, head: &Head<'_>, text: &str) -> Option<String> {
        let mut edits = Edits::of(text);
        self.models.restore(text, &mut edits);
        if head.kind.is_numbered() || head.sequence.is_some() {
            let said = head.sequence.and_then(|said| said.get().parse().ok());
            let number = self.sequence.of_upstream(said);
            match head.sequence {
                Some(_) if said == Some(number) => {}
                Some(said) => edits.replace(said.get(), number.to_string()),
                None => edits.add("sequence_number", &number.to_string()),
            }
        }
        if let Some(lane) = &self.lane {
            match head.lane {
                Some(said) if string(said).as_deref() == Some(lane) => {}
                Some(said) => edits.replace(said.get(), raw(&**lane).get().to_owned()),
                None => edits.add("stream_id", raw(&**lane).get()),
            }
        }
        edits.finish()
    }

    fn error(&mut self, error: &ErrorEvent) -> Text {
        self.terminal = Some(Terminal::Error {
            status: error.status(),
        });
        let number = self.sequence.of_ours();
        match self.face {
            Face::Socket => error.text(self.lane.as_deref(), Some(number)),
            Face::Events => error.flat(number),
        }
    }

    fn failed(&mut self, message: &str) -> Text {
        self.terminal = Some(Terminal::Failed);
        let started = self.started.as_ref().unwrap_or(&self.fallback);
        let response = started.shape(self.models.asked(), "failed");
        let number = self.sequence.of_ours();
        failed_event(response, message, number, self.lane.as_deref())
    }
}

/// What a response has that its upstream never began.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) id: Box<str>,
    /// Since the Unix epoch.
    pub(crate) seconds: i64,
}

impl Started {
    fn shape<'a>(&'a self, model: &'a str, status: &'static str) -> ResponseShape<'a> {
        let created_at = match &self.created_at {
            Begun::Said(said) => CreatedAt::Said(said),
            Begun::Seconds(seconds) => CreatedAt::Seconds(*seconds),
        };
        ResponseShape::new(&self.id, Some(model), created_at, status)
    }
}

/// The event without a lane: an upstream without lanes has none to say.
fn without_lane(text: &str) -> Text {
    let mut fields = Fields::parse(text).unwrap_or_default();
    fields.remove("stream_id");
    fields.write().into()
}
