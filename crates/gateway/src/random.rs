//! Chance: names that nobody can guess, and jitter.

use std::time::Duration;

use portcullis_boundary::SessionId;

/// A new session's name.
pub(crate) fn session_id() -> SessionId {
    SessionId::from_bytes(bytes())
}

/// Some time from nothing to `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    let part = f64::from(u32::from_be_bytes(bytes())) / f64::from(u32::MAX);
    most.mul_f64(part)
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}
