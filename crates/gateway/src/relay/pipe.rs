//! One direction of a relay, from socket to socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use portcullis_boundary::clock::Moment;
use portcullis_boundary::session::{Action, Event, Session, Side};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scratch::HEADROOM;
use super::walk::Walk;
use crate::stream::Stream;

/// Carries frames from one side to the other.
#[derive(Debug)]
pub(crate) struct Pipe {
    walk: Walk,
    /// What waits to go on. A pipe that is idle, as most are, holds nothing.
    held: Option<Box<Held>>,
    /// Whether something was written that an encrypted sink may still hold back.
    unflushed: bool,
    /// Whether the last frame is in the tail.
    last_is_out: bool,
    ended: bool,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Held {
    /// What was read before the pipe was laid, together with the handshake.
    already: Vec<u8>,
    /// What was walked over, and the sink did not take yet.
    tail: Vec<u8>,
    tail_at: usize,
    /// Frames of our own, to be put in at the next boundary.
    inject: Option<Injection>,
    /// A message of our own, to be put in between two messages.
    message: Option<Vec<u8>>,
}

impl Held {
    /// What is to be put in now: frames before a message.
    fn take(&mut self) -> Option<Injection> {
        let inject = self.inject.take();
        inject.or_else(|| {
            let frames = self.message.take()?;
            Some(Injection {
                frames,
                is_last: false,
            })
        })
    }
}

#[derive(Debug)]
struct Injection {
    frames: Vec<u8>,
    is_last: bool,
}

/// What came of a poll.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flow {
    /// The session wants something done before anything else is read.
    Act(Action),
    /// The side that it reads from is gone. Said once.
    SourceGone,
    /// The side that it writes to is gone. Said once.
    SinkGone,
    /// The last injected frame went out. Said once.
    SaidLast,
    /// Nothing can be done until one of the sockets is ready.
    Waiting,
}

/// What a pipe needs to move bytes.
pub(crate) struct Ends<'a, 'cx> {
    pub(crate) cx: &'a mut Context<'cx>,
    pub(crate) source: &'a mut Stream,
    pub(crate) sink: &'a mut Stream,
    pub(crate) session: &'a mut Session,
    pub(crate) now: Moment,
    pub(crate) scratch: &'a mut [u8],
}

impl Pipe {
    /// A pipe that reads from `from`, of whose stream `already` was read before.
    pub(crate) fn new(from: Side, already: Vec<u8>) -> Self {
        let held = (!already.is_empty()).then(|| {
            Box::new(Held {
                already,
                ..Held::default()
            })
        });
        Self {
            walk: Walk::new(from),
            held,
            unflushed: false,
            last_is_out: false,
            ended: false,
            bytes: 0,
        }
    }

    /// Bytes that were passed on.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages that were passed on, or begun.
    pub(crate) const fn messages(&self) -> u64 {
        self.walk.messages()
    }

    /// Puts `frame`, which is a control frame, in at the next boundary.
    pub(crate) fn inject(&mut self, frame: &[u8]) {
        let inject = &mut self.held.get_or_insert_default().inject;
        let injection = inject.get_or_insert_with(|| Injection {
            frames: Vec::new(),
            is_last: false,
        });
        injection.frames.extend_from_slice(frame);
    }

    /// Puts `frame`, which is a whole message, in between two messages: none can stand inside another.
    pub(crate) fn inject_message(&mut self, frame: Vec<u8>) {
        self.held.get_or_insert_default().message = Some(frame);
    }

    /// Puts `frame` in at the next boundary, and drops whatever comes after it.
    pub(crate) fn inject_last(&mut self, frame: Vec<u8>) {
        let held = self.held.get_or_insert_default();
        held.message = None;
        held.inject = Some(Injection {
            frames: frame,
            is_last: true,
        });
    }

    /// Expects the answer to a ping of ours in this direction.
    pub(crate) const fn expect_pong(&mut self) {
        self.walk.expect_pong();
    }

    /// Reads what there is and passes it on, until a socket is not ready or something happened.
    pub(crate) fn poll(&mut self, ends: &mut Ends<'_, '_>) -> Flow {
        loop {
            match self.poll_tail(ends) {
                Poll::Pending => return Flow::Waiting,
                Poll::Ready(Err(_)) => return self.lose_sink(),
                Poll::Ready(Ok(())) if self.last_is_out => {
                    self.last_is_out = false;
                    return Flow::SaidLast;
                }
                Poll::Ready(Ok(())) => {}
            }
            if self.ended {
                return Flow::Waiting;
            }
            match self.poll_read(ends) {
                Poll::Pending => return Flow::Waiting,
                Poll::Ready(Ok(read)) if read > 0 => match self.pass(ends, read) {
                    Action::Nothing => {}
                    action => return Flow::Act(action),
                },
                Poll::Ready(Ok(_) | Err(_)) => {
                    self.ended = true;
                    return Flow::SourceGone;
                }
            }
        }
    }

    /// A sink that takes nothing any more: what comes is still read, for a close frame that the
    /// other side may have sent before it went.
    fn lose_sink(&mut self) -> Flow {
        self.held = None;
        self.last_is_out = false;
        self.unflushed = false;
        self.walk.stop_passing();
        Flow::SinkGone
    }

    fn poll_read(&mut self, ends: &mut Ends<'_, '_>) -> Poll<io::Result<usize>> {
        let room = ends.scratch.get_mut(HEADROOM..).unwrap_or_default();
        let mut buffer = ReadBuf::new(room);
        match &mut self.held {
            Some(held) if !held.already.is_empty() => {
                let now = held.already.len().min(buffer.remaining());
                let later = held.already.split_off(now);
                buffer.put_slice(&held.already);
                held.already = later;
            }
            Some(_) | None => match Pin::new(&mut *ends.source).poll_read(ends.cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result?,
            },
        }
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Walks over what was read and writes what is to be passed on.
    fn pass(&mut self, ends: &mut Ends<'_, '_>, read: usize) -> Action {
        let carried = self.walk.carry().len();
        let chunk = ends
            .scratch
            .get_mut(HEADROOM - carried..HEADROOM + read)
            .unwrap_or_default();
        if let Some((start, _)) = chunk.split_at_mut_checked(carried) {
            start.copy_from_slice(self.walk.carry());
        }
        let walked = self.walk.walk(chunk, ends.session, ends.now);
        if walked.pass > 0 {
            let _: Action = ends
                .session
                .handle(&Event::Moved(self.walk.from()), ends.now);
            self.bytes += walked.pass as u64;
            self.unflushed = true;
            let passed = chunk.get(..walked.pass).unwrap_or_default();
            let place = self.held.as_ref().and_then(|held| match held.inject {
                Some(_) => walked.boundary,
                None => held.message.as_ref().and(walked.message_end),
            });
            match place {
                Some(place) => self.insert(passed, place),
                None => {
                    let left = write_now(ends.cx, ends.sink, passed);
                    if !left.is_empty() {
                        let held = self.held.get_or_insert_default();
                        held.tail.extend_from_slice(left);
                    }
                }
            }
        }
        walked.action
    }

    /// Puts the waiting frame in at `boundary`. What comes after the last one is dropped.
    fn insert(&mut self, passed: &[u8], boundary: usize) {
        let (before, after) = passed.split_at_checked(boundary).unwrap_or((passed, &[]));
        let held = self.held.get_or_insert_default();
        held.tail.extend_from_slice(before);
        let Some(injection) = held.take() else {
            return;
        };
        held.tail.extend_from_slice(&injection.frames);
        if injection.is_last {
            self.say_last();
        } else {
            held.tail.extend_from_slice(after);
        }
    }

    const fn say_last(&mut self) {
        self.walk.stop_passing();
        self.last_is_out = true;
    }

    /// Writes the tail, and a waiting frame where the sink is at a boundary.
    fn poll_tail(&mut self, ends: &mut Ends<'_, '_>) -> Poll<io::Result<()>> {
        self.inject_here();
        let to = match self.walk.from() {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        };
        while let Some(held) = &mut self.held
            && let Some(left) = held.tail.get(held.tail_at..)
            && !left.is_empty()
        {
            match Pin::new(&mut *ends.sink).poll_write(ends.cx, left) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => {
                    held.tail_at += taken;
                    self.unflushed = true;
                    let _: Action = ends.session.handle(&Event::Flowing(to), ends.now);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let _: Action = ends.session.handle(&Event::Stalled(to), ends.now);
                    return Poll::Pending;
                }
            }
        }
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        // The memory goes back: an idle session holds no buffer.
        self.let_go();
        match Pin::new(&mut *ends.sink).poll_flush(ends.cx) {
            Poll::Ready(result) => {
                self.unflushed = false;
                let _: Action = ends.session.handle(&Event::Flowing(to), ends.now);
                Poll::Ready(result)
            }
            Poll::Pending => {
                let _: Action = ends.session.handle(&Event::Stalled(to), ends.now);
                Poll::Pending
            }
        }
    }

    /// Puts a waiting frame into the tail, where the sink is at a boundary.
    fn inject_here(&mut self) {
        let Some(held) = &mut self.held else {
            return;
        };
        let is_here = match &held.inject {
            Some(_) => self.walk.is_at_boundary(),
            None => self.walk.is_between_messages(),
        };
        if held.tail.is_empty()
            && is_here
            && let Some(injection) = held.take()
        {
            held.tail = injection.frames;
            if injection.is_last {
                self.say_last();
            }
        }
    }

    /// Gives the written tail's memory back.
    fn let_go(&mut self) {
        if let Some(held) = &mut self.held {
            held.tail = Vec::new();
            held.tail_at = 0;
            if held.already.is_empty() && held.inject.is_none() && held.message.is_none() {
                self.held = None;
            }
        }
    }
}

/// Writes `bytes`, and returns what the sink does not take now. A sink that is gone is noticed when
/// that is written.
fn write_now<'a>(cx: &mut Context<'_>, sink: &mut Stream, mut bytes: &'a [u8]) -> &'a [u8] {
    while !bytes.is_empty() {
        match Pin::new(&mut *sink).poll_write(cx, bytes) {
            Poll::Ready(Ok(taken)) if taken > 0 => {
                bytes = bytes.get(taken..).unwrap_or_default();
            }
            Poll::Ready(_) | Poll::Pending => return bytes,
        }
    }
    bytes
}
