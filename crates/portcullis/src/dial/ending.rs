//! How a call ended, as an exit code and as a mend.

use portcullis_boundary::close::Recovery;
use portcullis_client::machine::End;
use portcullis_client::token::TokenErrorKind;
use portcullis_client::{Cause, Ended};

use crate::output::Exit;

/// The exit code.
pub(super) fn exit(ended: &Ended) -> Exit {
    match ended.end {
        End::Left | End::Finished => Exit::Clean,
        End::LoginNeeded => Exit::Login,
        End::Stopped | End::GaveUp | End::Once => match needs(ended) {
            Some(Recovery::Refresh) => Exit::Refresh,
            Some(Recovery::Login) => Exit::Login,
            Some(Recovery::Retry) => Exit::Retry,
            Some(Recovery::Stop) => Exit::Stop,
            None => Exit::Failed,
        },
    }
}

/// What whoever called can do.
pub(super) fn mend(ended: &Ended) -> Option<&'static str> {
    match exit(ended) {
        Exit::Refresh => Some("get a fresh token and dial again"),
        Exit::Login => Some("give a good token with --token-file, --token-env or --token-command"),
        Exit::Retry => Some("dial again later, or without --once"),
        Exit::Stop => Some("dialling again would not help"),
        Exit::Clean | Exit::Failed | Exit::Forced | Exit::Refused | Exit::Denied => None,
    }
}

/// What a refusal asks for; none where nobody refused.
fn needs(ended: &Ended) -> Option<Recovery> {
    match ended.cause.as_ref()? {
        Cause::Refused(refused) => Some(refused.recovery),
        Cause::NoToken(error) => match error.kind() {
            TokenErrorKind::LoginNeeded => Some(Recovery::Login),
            TokenErrorKind::Unchanged => Some(Recovery::Refresh),
            TokenErrorKind::Unavailable => None,
        },
        Cause::Unreachable(_) => None,
    }
}
