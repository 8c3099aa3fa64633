//! Rates over all gates.

use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::Rate;

use crate::Answer;

/// The meters of a ledger: the algorithm of [`Meter`](portcullis_boundary::limits::Meter), kept
/// where all gates share it.
pub trait Rates {
    /// Takes one of what `rate` allows to `meter`, a name such as `failures:192.0.2.1`. The inner
    /// error is how long to wait; nothing is taken then.
    ///
    /// Gates must agree on the time: one whose clock runs ahead by a minute makes the others wait
    /// for up to that minute.
    fn take(&self, meter: &str, rate: Rate, now: Timestamp) -> Answer<Result<(), Duration>>;

    /// Whether one could be taken; nothing is taken. The inner error is how long to wait.
    fn check(&self, meter: &str, rate: Rate, now: Timestamp) -> Answer<Result<(), Duration>>;
}
