//! How the keys of an issuer are, for those who look after the gate.

use portcullis_boundary::clock::Timestamp;

use super::source::FetchError;

/// How the keys of one issuer are.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeySetHealth {
    /// Whose keys.
    pub issuer: Box<str>,
    /// Whether they serve.
    pub state: KeySetState,
    /// How many of the last good set are of use.
    pub keys: usize,
    /// How many of it were left out.
    pub left_out: usize,
    /// When it came.
    pub fetched_at: Option<Timestamp>,
    /// Why the last fetch failed; none when it did not.
    pub last_error: Option<FetchError>,
}

/// Whether keys serve.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what each means to readiness must be decided"
)]
pub enum KeySetState {
    /// They are given, and never fetched.
    Fixed,
    /// They came in time.
    Fresh,
    /// They should have been renewed, and still serve.
    Stale,
    /// There are none that serve: none came yet, or for too long.
    Missing,
}

impl KeySetState {
    /// Whether tokens can be verified.
    #[must_use]
    pub const fn serves(self) -> bool {
        match self {
            Self::Fixed | Self::Fresh | Self::Stale => true,
            Self::Missing => false,
        }
    }

    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Missing => "missing",
        }
    }
}
