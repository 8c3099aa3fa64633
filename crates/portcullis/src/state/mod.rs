//! What lasts beyond a gate's process, and what it shares with other gates.
//!
//! Settings are read before the ledger is open, and read again while it is: verifiers hold
//! [`LedgerKeys`], which finds the ledger when it is there and says that it cannot look until then.

mod keys;
mod open;

pub(crate) use self::keys::LedgerKeys;
pub(crate) use self::open::State;
