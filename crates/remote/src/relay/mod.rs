//! The end that hosts dial, and through which guests reach them.
//!
//! [`Relay::host_end`] and [`Relay::guest_end`] are `tower::Service`s. Who may come in is decided by whoever
//! passes requests on, who puts what he knows into their extensions: [`Account`], and for a WebSocket
//! [`Upgrade`].
//!
//! # What hosts ask
//!
//! These are whole paths behind what stands before them, which [`HostEnd::below`] says. Answers are JSON.
//!
//! | request | who asks | answer |
//! | --- | --- | --- |
//! | `POST wham/remote/control/server/enroll` | [`Account`] | a new host, or the one that was, with a server token |
//! | `POST …/server/refresh` | [`Account`] | another server token |
//! | `GET …/server` | server token | the road's WebSocket |
//! | `POST …/server/pair`, `…/server/pair/status` | server token | a code; whether it was claimed |
//! | `POST …/pair/claim` | [`Account`] | the account becomes a device of the host |
//! | `GET …/environments/{env}/clients` | [`Account`] | the devices |
//! | `DELETE …/environments/{env}/clients/{client}` | [`Account`] | a device is taken back |
//!
//! What an answer to an account has changed is in its extensions ([`Change`]).
//!
//! # Rules
//!
//! 1. A host belongs to the account that enrolled it. Its name is unique there.
//! 2. Who enrols again from the same installation, with the same name, is the host that it was, unless that has
//!    a road. An installation whose host was revoked does not enrol again.
//! 3. A server token is random, kept as a digest, expires, and takes the place of the one before.
//! 4. A guest reaches hosts of its own account, and those to which it was paired.
//! 5. Only what ends with `{"detail":"Remote app server not found"}` makes a host enrol anew.
//! 6. Who asks is decided by the path, which is read in one way only: what an account is asked for, and what a host
//!    is, never meet. [`HostEnd::only_accounts`] stands where everybody was asked for an account.
//!
//! # Deployment caveat
//!
//! A host presents its server token as `Authorization: Bearer`, so that the gate must leave that header on the
//! routes of roads and pairing, and must not let anybody in there by it: the relay decides.

mod book;
pub mod exchange;
mod guest;
mod hosts;
mod link;
mod lookout;
mod road;
mod secret;
mod service;
mod settings;
mod setup;
mod status;
mod unread;

pub use self::book::{
    About, Answer, BookError, Code, Device, Host, HostBook, Listed, NotAdded, Page, Pairing,
    Platform, Renamed,
};
pub use self::exchange::{Board, Coming, Exchange, Notice, Unreached};
pub use self::link::{Down, Link, RoadAge};
pub use self::secret::SecretDigest;
pub use self::service::{Account, Change, GuestEnd, HostEnd, RelayBody, Socket, Upgrade, Whose};
pub use self::settings::Settings;
pub(crate) use self::setup::Inner;
pub use self::setup::{Relay, Setup};
pub use self::status::{GuestStatus, HostStatus, LastRoad, RoadCounts, RoadStatus};
pub use self::unread::{Counted, Unread};
