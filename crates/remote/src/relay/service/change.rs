//! What accounts change, for whoever keeps records.

use http::Response;

use super::RelayBody;

/// What an account has changed of what may reach a machine, as an extension of the answer to it: whoever
/// passed the request on knows who asked.
///
/// An account that goes away before its answer may have changed it and leave no such word.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be recorded")]
pub enum Change {
    /// A host has enrolled, and belongs to the account.
    Enrolled {
        /// The host's id.
        host: Box<str>,
        /// Its name.
        name: Box<str>,
        /// It is new, and not one that was there.
        is_new: bool,
    },
    /// The account became a device of a host, or is one again.
    Paired {
        /// The host's id.
        host: Box<str>,
        /// The device's id.
        device: Box<str>,
    },
    /// A device of the account's host was taken back.
    Unpaired {
        /// The host's id.
        host: Box<str>,
        /// The device's id.
        device: Box<str>,
    },
}

impl Change {
    /// `response`, which says this too.
    pub(super) fn noted_in(self, mut response: Response<RelayBody>) -> Response<RelayBody> {
        response.extensions_mut().insert(self);
        response
    }
}
