//! Where a connector stands.

use portcullis_boundary::clock::Moment;

use crate::connector::enrolment::Enrolment;
use crate::connector::problem::StartError;

/// What the driver does now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// Nothing, until it is enabled.
    Disabled,
    /// It reads the credential.
    Reading {
        /// It has waited for one, and has had a look since.
        waited: bool,
    },
    /// It asks the store for the enrolment.
    Loading,
    /// It waits for a better credential.
    Waiting {
        /// When it looks again, change or no change.
        poll_at: Moment,
    },
    /// It asks the source for a better credential.
    Renewing,
    /// It asks the relay to enrol this host.
    Enrolling {
        /// The enrolment that the relay has forgotten; the store must forget it first.
        stale: Option<Enrolment>,
    },
    /// It asks the relay for a new token.
    Refreshing,
    /// It dials.
    Connecting,
    /// The road is open.
    Connected {
        /// A ping was answered.
        proven: bool,
    },
    /// It waits before it tries again.
    BackingOff {
        /// Until when.
        until: Moment,
        /// When it looks at the credential, which may have changed.
        look_at: Option<Moment>,
    },
    /// It was enabled and has no relay to dial.
    Errored,
    /// It has ended.
    Stopped(Option<StartError>),
}

impl State {
    /// A name for logs and metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Reading { waited: false } => "reading_credential",
            Self::Reading { waited: true } | Self::Waiting { .. } => "waiting_for_credential",
            Self::Loading => "loading_enrolment",
            Self::Renewing => "renewing_credential",
            Self::Enrolling { .. } => "enrolling",
            Self::Refreshing => "refreshing",
            Self::Connecting => "connecting",
            Self::Connected { .. } => "connected",
            Self::BackingOff { .. } => "backing_off",
            Self::Errored => "errored",
            Self::Stopped(_) => "stopped",
        }
    }
}
