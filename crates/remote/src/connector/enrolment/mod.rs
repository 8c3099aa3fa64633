//! What the relay gave the host when it enrolled, and where that is kept.

mod file;
mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use portcullis_boundary::clock::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::file::FileEnrolments;
pub use self::memory::MemoryEnrolments;

/// Under which names the relay knows the host. The token with which the host dials is not part of
/// it: that is asked for anew by every process, and never kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Enrolment {
    /// The relay's name for this host.
    pub server_id: Box<str>,
    /// The relay's name for where guests find it.
    pub environment_id: Box<str>,
}

impl Enrolment {
    /// Of these two names.
    #[must_use]
    pub fn new(server_id: impl Into<Box<str>>, environment_id: impl Into<Box<str>>) -> Self {
        Self {
            server_id: server_id.into(),
            environment_id: environment_id.into(),
        }
    }
}

/// Whose enrolment it is: another relay, account or name means another enrolment.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct EnrolmentKey {
    /// The relay's base URL.
    pub relay: Box<str>,
    /// The account; empty where the relay asks for none.
    pub account: Box<str>,
    /// The host's name.
    pub name: Box<str>,
}

impl EnrolmentKey {
    /// The host `name` of `account` at `relay`.
    #[must_use]
    pub fn new(
        relay: impl Into<Box<str>>,
        account: impl Into<Box<str>>,
        name: impl Into<Box<str>>,
    ) -> Self {
        Self {
            relay: relay.into(),
            account: account.into(),
            name: name.into(),
        }
    }
}

/// Why an enrolment was not read or written.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the enrolment cannot be {verb}: {reason}")]
pub struct EnrolmentStoreError {
    verb: &'static str,
    reason: Box<str>,
}

impl EnrolmentStoreError {
    /// It cannot be read, because of `reason`.
    #[must_use]
    pub fn unread(reason: impl fmt::Display) -> Self {
        Self {
            verb: "read",
            reason: reason.to_string().into(),
        }
    }

    /// It cannot be written, because of `reason`.
    #[must_use]
    pub fn unwritten(reason: impl fmt::Display) -> Self {
        Self {
            verb: "written",
            reason: reason.to_string().into(),
        }
    }
}

/// Keeps enrolments from one process to the next.
///
/// # What a wrong store does
///
/// One that forgets has the host enrol again, and leaves a dead host in the relay's list at each
/// start. One that gives the enrolment of another key makes the relay refuse the host, which then
/// enrols anew.
pub trait EnrolmentStore: Send + Sync + 'static {
    /// The enrolment of `key`, if there is one. Must be cancel-safe.
    fn load(
        &self,
        key: &EnrolmentKey,
    ) -> impl Future<Output = Result<Option<Enrolment>, EnrolmentStoreError>> + Send;

    /// Keeps `enrolment` in place of what there was. When dropped half-way, either is kept.
    fn save(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> impl Future<Output = Result<(), EnrolmentStoreError>> + Send;

    /// Forgets `enrolment` if it is the one that is kept; another one stays.
    fn clear(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> impl Future<Output = Result<(), EnrolmentStoreError>> + Send;
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, EnrolmentStoreError>> + Send + 'a>>;

/// [`EnrolmentStore`], of any type.
pub(crate) trait DynEnrolmentStore: Send + Sync {
    fn load<'a>(&'a self, key: &'a EnrolmentKey) -> Boxed<'a, Option<Enrolment>>;
    fn save<'a>(&'a self, key: &'a EnrolmentKey, enrolment: &'a Enrolment) -> Boxed<'a, ()>;
    fn clear<'a>(&'a self, key: &'a EnrolmentKey, enrolment: &'a Enrolment) -> Boxed<'a, ()>;
}

impl<S: EnrolmentStore> DynEnrolmentStore for S {
    fn load<'a>(&'a self, key: &'a EnrolmentKey) -> Boxed<'a, Option<Enrolment>> {
        Box::pin(EnrolmentStore::load(self, key))
    }

    fn save<'a>(&'a self, key: &'a EnrolmentKey, enrolment: &'a Enrolment) -> Boxed<'a, ()> {
        Box::pin(EnrolmentStore::save(self, key, enrolment))
    }

    fn clear<'a>(&'a self, key: &'a EnrolmentKey, enrolment: &'a Enrolment) -> Boxed<'a, ()> {
        Box::pin(EnrolmentStore::clear(self, key, enrolment))
    }
}

/// What enrolment and refresh give: the names, and a token for the road.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) enrolment: Enrolment,
    pub(crate) token: RoadToken,
}

/// With what the host dials.
#[derive(Clone)]
pub(crate) struct RoadToken {
    token: SecretString,
    expires: Timestamp,
}

impl RoadToken {
    pub(crate) fn new(token: impl Into<String>, expires: Timestamp) -> Self {
        Self {
            token: SecretString::from(token.into()),
            expires,
        }
    }

    pub(crate) const fn expires(&self) -> Timestamp {
        self.expires
    }

    pub(crate) fn expose(&self) -> &str {
        self.token.expose_secret()
    }
}

impl fmt::Debug for RoadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoadToken")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
