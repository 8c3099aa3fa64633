//! An upstream that follows a script.
//!
//! The same request gives the same answer, whoever asks and whenever. Everything above it is the real
//! thing: preparation, chain, lanes, failures. So it serves tests, and a first run without any model.
//!
//! A [`Script`] is a list of scenes; the first that fits a request is played. In TOML:
//!
//! ```toml
//! [[scene]]
//! user = "weather"                    # the last thing that the user said contains it; case is ignored
//! last = "user"                       # the last item is the user's; or "tool_output"
//! steps = [
//!     { reasoning = "They want to know the weather." },
//!     { call = { name = "get_weather", arguments = { city = "Paris" } } },
//! ]
//!
//! [[scene]]
//! model = "slow-*"                    # with this name, or one that begins so
//! turn = 2                            # the second thing that the user says
//! times = 1                           # only the first time that it fits
//! pace_ms = 20                        # between two pieces of text
//! usage = { input = 100, output = 20, cached = 64 }
//! steps = [{ text = "You said: {prompt}" }, { wait_ms = 500 }, { text = "That was turn {turn}." }]
//!
//! [[scene]]
//! user = "fail"
//! answer = { status = { code = 429, headers = { retry-after = "1" }, body = { error = { message = "Slow down." } } } }
//! ```
//!
//! Steps: `text`, `reasoning`, `call`, `wait_ms`, `event` (any JSON, passed as it is), and what ends a turn
//! badly: `failed`, `incomplete`, `error` (flat), `"reset"`, `"silence"`, `"end"` (without a terminal). A turn
//! that none of these ends is completed. `answer` takes the place of steps: `status`, `json` (in place of a
//! stream), `"unreachable"`, `"head_timeout"`.
//!
//! In texts stand `{prompt}`, what the user said last; `{output}`, what a tool put out last; `{tool}`, the first
//! tool that the prompt names; `{model}`, `{turn}` and `{words}`, how many the prompt has.

mod matching;
mod play;
mod scene;
mod writer;

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use self::matching::Seen;
use self::play::Play;
pub use self::scene::Script;
use self::scene::{Reply, Scene};
use self::writer::Writer;
use crate::failure::Failure;
use crate::upstream::{Answer, Call, Events, Upstream, whole_events};

/// An upstream that follows a [`Script`].
#[derive(Debug)]
pub struct Mock {
    scenes: Vec<(Scene, AtomicU64)>,
    answered: AtomicU64,
}

impl Mock {
    /// Plays `script`.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self {
            scenes: script
                .into_scenes()
                .into_iter()
                .map(|scene| (scene, AtomicU64::new(0)))
                .collect(),
            answered: AtomicU64::new(0),
        }
    }

    /// The first scene that fits.
    fn find(&self, seen: &Seen) -> Option<&Scene> {
        let (scene, _) = self.scenes.iter().find(|(scene, played)| {
            let may_play = || {
                let times = scene.times.unwrap_or(u64::MAX);
                let count = |played: u64| (played < times).then_some(played + 1);
                played
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
                    .is_ok()
            };
            scene.fits(seen) && may_play()
        })?;
        Some(scene)
    }
}

impl Upstream for Mock {
    async fn ask(&self, call: Call) -> Result<Answer, Failure> {
        let seen = Seen::of(&call.body);
        let Some(scene) = self.find(&seen) else {
            return Err(status(
                404,
                None,
                "{\"error\":{\"message\":\"No scene fits.\"}}",
            ));
        };
        let number = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        match &scene.answer {
            None => {
                let beats = Writer::new(&seen, number, scene).write(&scene.steps);
                Ok(Answer::new(Events::new(Play::new(beats))))
            }
            Some(Reply::HeadTimeout) => Err(Failure::HeadTimeout),
            Some(Reply::Unreachable) => Err(Failure::Unreachable {
                reason: "the scene says so".into(),
            }),
            Some(Reply::Json(body)) => {
                let events = whole_events(&body.to_string().into()).ok_or(Failure::NotEvents)?;
                let events = events.into_iter().map(Ok);
                Ok(Answer::new(Events::new(futures_util::stream::iter(events))))
            }
            Some(Reply::Status {
                code,
                headers,
                body,
            }) => {
                let body = match body.as_str() {
                    Some(text) => Cow::Borrowed(text),
                    None if body.is_null() => Cow::Borrowed(""),
                    None => Cow::Owned(body.to_string()),
                };
                Err(status(*code, Some(headers), &body))
            }
        }
    }
}

fn status(code: u16, headers: Option<&scene::Headers>, body: &str) -> Failure {
    let headers: HeaderMap = headers
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            let name: HeaderName = name.parse().ok()?;
            let value: HeaderValue = value.parse().ok()?;
            Some((name, value))
        })
        .collect();
    Failure::Status {
        status: StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers: Box::new(headers),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

#[cfg(test)]
mod tests;
