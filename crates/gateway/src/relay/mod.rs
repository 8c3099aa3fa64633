//! Bytes in, bytes out.
//!
//! The relay reads the headers of frames (2 to 14 bytes, RFC 6455, 5.2) to know where frames begin
//! and end, and nothing else: it neither unmasks nor copies payload, so that compression, fragments
//! and messages of any size pass as they are. Knowing the boundaries, it can inject a ping or a
//! close between two frames, count messages and enforce their size.
//!
//! Two kinds of frame are looked into, and both are control frames of at most 125 bytes: a close,
//! for its code, and a pong of the length of our own ping, which is not the upstream's business.
//!
//! A session that is idle holds no buffer. All sessions of a thread read into one scratch buffer;
//! what the other end does not take at once is kept until it does, and nothing more is read from
//! this end meanwhile.
//!
//! - [`header`]: a frame's header
//! - [`walk`]: from frame to frame over a chunk of bytes, without any I/O
//! - [`pipe`]: one direction, from socket to socket
//! - [`frames`]: what a gate writes itself

pub(crate) mod frames;
#[cfg(fuzzing)]
pub mod fuzzing;
pub(crate) mod header;
pub(crate) mod pipe;
mod scratch;
mod walk;

pub(crate) use self::scratch::{SCRATCH, with_scratch};
