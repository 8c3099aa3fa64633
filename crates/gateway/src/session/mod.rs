//! Admitted sockets: who they are, and the tasks that carry them.
//!
//! Structured concurrency: each session is one task on its thread's tracker, and ends with its
//! machine. [`Registry`] knows the live ones; a session takes its [`Seat`] when it opens and leaves
//! it when the task is dropped, on whichever path.

mod asker;
mod driver;
mod registry;

pub(crate) use self::asker::{Asker, Questions};
pub(crate) use self::driver::{Driver, Opening};
pub(crate) use self::registry::{Asked, Facts, Live, Order, Registry, Renewal, Seat};
