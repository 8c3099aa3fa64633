//! What lasts beyond a gate's process, and what it shares with other gates.
//!
//! Settings are read before the ledger is open, and read again while it is: verifiers hold
//! [`LedgerKeys`], which finds the ledger when it is there and says that it cannot look until then.
//!
//! 1. **The ledger is the truth of revocations.** What comes over the bus only says that there is
//!    something to read there; so nobody who may publish can revoke, and nothing is lost when a
//!    message is.
//! 2. **Who is not informed refuses.** A gate that could not read for longer than `max_stale` lets no
//!    credential in until it has read again.
//! 3. **Of live sessions each gate answers for its own.** Over the bus gates ask each other for lists,
//!    and for a session that is not theirs.
mod audit;
mod follow;
mod keys;
mod live;
mod open;
mod peers;
mod revoke;

pub(crate) use self::audit::AuditQueue;
pub(crate) use self::keys::LedgerKeys;
pub(crate) use self::live::ShownSession;
pub(crate) use self::open::State;
