//! The relay as `tower::Service`s.

mod account;
mod body;
mod change;
mod claims;
mod clients;
mod enrol;
mod guest_end;
mod host_end;
mod pair;
mod reply;
mod road;
mod stranger;

pub use portcullis_upgrade::{Socket, Upgrade};

pub use self::account::Account;
use self::account::is_id;
pub use self::body::RelayBody;
pub use self::change::Change;
pub(super) use self::claims::Claims;
pub use self::guest_end::{GuestEnd, Whose};
pub use self::host_end::HostEnd;
pub(super) use self::stranger::Strangers;

/// What server tokens begin with.
const SERVER_TOKEN: &str = "prt_";
