//! One end of a link over a bus that may lose, double and reorder, pure.
//!
//! 1. What is said goes in frames that are numbered from 1 and fit the bus; an envelope in as many as it
//!    needs.
//! 2. A frame that was heard before is passed over. One that does not follow the last ends the link: nothing is
//!    said again, since the guest's own machine knows what its host has not heard.
//! 3. Every frame says what was taken from the other end. At most [`WINDOW`] frames are under way and not taken;
//!    who says more ends the link.
//! 4. Who has nothing to say says so in beats, with its last number: what was lost before a silence is noticed
//!    by the next beat, and an end that is gone by their absence.
//! 5. What cannot be read ends the link.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use portcullis_boundary::clock::Moment;

use super::frame::{Frame, Kind, PIECE};
use crate::wire::{MAX_FRAME, Version};

/// The most frames of one direction that are under way, or wait to be taken.
pub(super) const WINDOW: u64 = 16;

/// How often an end says that it is there, and when the other is taken for gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) beat: Duration,
    pub(super) silence: Duration,
}

/// What an end says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Word {
    /// An envelope's text.
    Envelope(String),
    /// The road is settled.
    Settled(Version),
    /// The guest reads too slowly.
    Slow,
    /// Nothing more will be said.
    Bye,
}

/// Why a link ended that nobody took leave of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Broken {
    #[error("something that was said is lost")]
    Gap,
    #[error("the other end is silent")]
    Silent,
    #[error("the other end says what cannot be read")]
    Malformed,
    #[error("the other end says more than may be under way")]
    Crowded,
    #[error("the other end has given up")]
    Cut,
    #[error("the bus does not take what is said")]
    Untold,
    #[error("the other end did not take the last words in time")]
    Late,
}

/// One end.
#[derive(Debug)]
pub(super) struct Machine {
    pace: Pace,
    /// What was not said yet of the last word.
    unsaid: VecDeque<(Kind, Bytes)>,
    said: u64,
    /// What the other end has taken of it.
    acknowledged: u64,
    heard: u64,
    /// What was heard and not taken, at most a window.
    untaken: VecDeque<(Kind, Bytes)>,
    taken: u64,
    /// What the other end knows to be taken.
    told: u64,
    /// What has come of an envelope.
    begun: Vec<u8>,
    is_beat_due: bool,
    last_said: Moment,
    last_heard: Moment,
}

impl Machine {
    pub(super) const fn new(pace: Pace, now: Moment) -> Self {
        Self {
            pace,
            unsaid: VecDeque::new(),
            said: 0,
            acknowledged: 0,
            heard: 0,
            untaken: VecDeque::new(),
            taken: 0,
            told: 0,
            begun: Vec::new(),
            is_beat_due: true,
            last_said: now,
            last_heard: now,
        }
    }

    /// Whether a word may be said: the last one is on its way.
    pub(super) fn is_ready(&self) -> bool {
        self.unsaid.is_empty()
    }

    /// Says a word.
    pub(super) fn say(&mut self, word: Word) {
        match word {
            Word::Envelope(text) => {
                let mut rest = Bytes::from(text);
                while rest.len() > PIECE {
                    let piece = rest.split_to(PIECE);
                    self.unsaid.push_back((Kind::Part, piece));
                }
                self.unsaid.push_back((Kind::Last, rest));
            }
            Word::Settled(version) => {
                let version = Bytes::from_static(version.as_str().as_bytes());
                self.unsaid.push_back((Kind::Settled, version));
            }
            Word::Slow => self.unsaid.push_back((Kind::Slow, Bytes::new())),
            Word::Bye => self.unsaid.push_back((Kind::Bye, Bytes::new())),
        }
    }

    /// The next frame that goes out; none until something changes or [`deadline`](Self::deadline). It counts as
    /// said.
    pub(super) fn next(&mut self, now: Moment) -> Option<Frame> {
        let has_room = self.said.saturating_sub(self.acknowledged) < WINDOW;
        let numbered = has_room.then(|| self.unsaid.pop_front()).flatten();
        let (kind, piece) = match numbered {
            Some(numbered) => {
                self.said += 1;
                numbered
            }
            None if self.must_beat(now) => (Kind::Beat, Bytes::new()),
            None => return None,
        };
        self.is_beat_due = false;
        self.told = self.taken;
        self.last_said = now;
        Some(Frame {
            kind,
            number: self.said,
            taken: self.taken,
            piece,
        })
    }

    /// Takes what the other end said.
    pub(super) fn hear(&mut self, frame: Frame, now: Moment) -> Result<(), Broken> {
        self.last_heard = now;
        if frame.taken > self.said {
            return Err(Broken::Malformed);
        }
        self.acknowledged = self.acknowledged.max(frame.taken);
        match frame.kind {
            Kind::Cut => Err(Broken::Cut),
            // Of these only a beat comes once the link is open, and the others say no more than one.
            Kind::Beat | Kind::Here | Kind::Opened | Kind::Full => {
                if frame.number > self.heard {
                    return Err(Broken::Gap);
                }
                Ok(())
            }
            Kind::Part | Kind::Last | Kind::Settled | Kind::Slow | Kind::Bye => {
                if frame.number <= self.heard {
                    return Ok(());
                }
                if frame.number > self.heard.saturating_add(1) {
                    return Err(Broken::Gap);
                }
                if self.heard.saturating_sub(self.taken) >= WINDOW {
                    return Err(Broken::Crowded);
                }
                self.heard = frame.number;
                self.untaken.push_back((frame.kind, frame.piece));
                Ok(())
            }
        }
    }

    /// The next word that the other end has said whole.
    pub(super) fn take(&mut self) -> Result<Option<Word>, Broken> {
        while let Some((kind, piece)) = self.untaken.pop_front() {
            self.taken += 1;
            match kind {
                Kind::Part | Kind::Last => {
                    if self.begun.len() + piece.len() > MAX_ENVELOPE_TEXT {
                        return Err(Broken::Malformed);
                    }
                    self.begun.extend_from_slice(&piece);
                    if kind == Kind::Last {
                        let text = String::from_utf8(std::mem::take(&mut self.begun));
                        let text = text.map_err(|_| Broken::Malformed)?;
                        return Ok(Some(Word::Envelope(text)));
                    }
                }
                _ if !self.begun.is_empty() => return Err(Broken::Malformed),
                Kind::Settled => {
                    let version = std::str::from_utf8(&piece).ok();
                    let version = version.and_then(|version| version.parse().ok());
                    let version = version.ok_or(Broken::Malformed)?;
                    return Ok(Some(Word::Settled(version)));
                }
                Kind::Slow => return Ok(Some(Word::Slow)),
                Kind::Bye => return Ok(Some(Word::Bye)),
                // They have no number, and do not wait to be taken.
                Kind::Beat | Kind::Cut | Kind::Here | Kind::Opened | Kind::Full => {}
            }
        }
        Ok(None)
    }

    /// Something may have been lost: the other end is told at once how much was said.
    pub(super) const fn missed(&mut self) {
        self.is_beat_due = true;
    }

    /// Takes note of the time.
    pub(super) fn tick(&self, now: Moment) -> Result<(), Broken> {
        if self.silent_at() <= now {
            return Err(Broken::Silent);
        }
        Ok(())
    }

    /// When something is to be done, if nothing else happens.
    pub(super) fn deadline(&self) -> Moment {
        self.silent_at().min(self.last_said.after(self.pace.beat))
    }

    fn must_beat(&self, now: Moment) -> bool {
        self.is_beat_due
            || self.taken.saturating_sub(self.told) >= WINDOW / 2
            || self.last_said.after(self.pace.beat) <= now
    }

    fn silent_at(&self) -> Moment {
        self.last_heard.after(self.pace.silence)
    }
}

/// The most bytes of an envelope's text: what a road takes at once, and what another way to write it may add.
const MAX_ENVELOPE_TEXT: usize = MAX_FRAME + 64 * 1024;

#[cfg(test)]
mod tests;
