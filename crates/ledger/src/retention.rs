//! How long things are kept that do not count any more.

use std::time::Duration;

/// What to keep, and for how long after it stopped counting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..Default::default()`"
)]
pub struct Retention {
    /// Audit entries.
    pub audit: Duration,
    /// Keys that are expired or revoked.
    pub keys: Duration,
    /// Revocations that were withdrawn. Gates that were away for longer do not learn of the
    /// withdrawal unless they read all from zero.
    pub withdrawn: Duration,
    /// Gates whose lease has ended, and their sessions. A gate that comes back within this span
    /// finds its sessions.
    pub gates: Duration,
}

/// Audit and dead keys for 90 days, withdrawn revocations for 7 days, dead gates for an hour.
impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            audit: DAY * 90,
            keys: DAY * 90,
            withdrawn: DAY * 7,
            gates: Duration::from_secs(3600),
        }
    }
}

/// How many were deleted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "one count for each kind of record"
)]
pub struct Pruned {
    /// Tickets that nobody consumed in time.
    pub tickets: u64,
    /// Logins that expired.
    pub logins: u64,
    /// Logins that began and did not end.
    pub login_states: u64,
    /// Pairings that expired.
    pub pairings: u64,
    /// Revocations past their `until`, or withdrawn.
    pub revocations: u64,
    /// Sessions that expired, or whose gate died.
    pub sessions: u64,
    /// Gates that died.
    pub gates: u64,
    /// Meters that say what a new one says.
    pub rates: u64,
    /// Keys that are expired or revoked.
    pub keys: u64,
    /// Audit entries.
    pub audit: u64,
    /// Whether there is more to delete.
    pub is_partial: bool,
}
