//! Versions of the protocol.

use std::str::FromStr;

use crate::wire::WireError;

/// What a host says in `x-codex-protocol-version`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "each must be spoken")]
pub enum Version {
    /// Without chunks; a host's numbers begin with 0.
    V2,
    /// With chunks; a host's numbers begin with 1.
    V3,
}

impl Version {
    /// The header's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "2",
            Self::V3 => "3",
        }
    }

    /// The number of a host's first envelope for a key.
    #[must_use]
    pub const fn first_number(self) -> u64 {
        match self {
            Self::V2 => 0,
            Self::V3 => 1,
        }
    }

    /// Whether long messages go in chunks.
    #[must_use]
    pub const fn has_chunks(self) -> bool {
        match self {
            Self::V2 => false,
            Self::V3 => true,
        }
    }
}

impl FromStr for Version {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        match text {
            "2" => Ok(Self::V2),
            "3" => Ok(Self::V3),
            _ => Err(WireError::Version),
        }
    }
}
