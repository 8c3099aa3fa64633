//! What the verifiers share that ask somebody about each credential: one question for all who wait,
//! and answers that are remembered no longer than they may be.

mod expected;
mod opinions;

pub(crate) use self::expected::{Accepted, Expected};
pub(crate) use self::opinions::{Opinion, Opinions};
