//! What a driver tells the machine.

use super::side::Side;
use crate::clock::Moment;
use crate::refusal::RefusalKind;

/// What a driver tells the machine.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be handled")]
pub enum Event {
    /// An order from outside: the gate drains, the policy changed, somebody kicks.
    Order(RefusalKind),
    /// A fresh credential of the same subject was shown, which expires at this moment, or never.
    Renewed(Option<Moment>),
    /// Whoever can only be asked vouched for the session again, and is to be asked next at this
    /// moment.
    Vouched(Moment),
    /// Nobody could answer whether the session may live on. They are to be asked again at this moment.
    Unanswered(Moment),
    /// While the question about this session waits for its turn, those who can only be asked answered
    /// another one at this moment: they are not silent.
    Heard(Moment),
    /// A whole close frame came from this side, with this code, and was passed on.
    CloseFrame(Side, Option<u16>),
    /// The close that the machine asked for was written to the client.
    CloseSent,
    /// This side has gone: end of stream, or an error.
    Gone(Side),
    /// Bytes were passed on that came from this side.
    Moved(Side),
    /// What must be written to this side does not go out any more.
    Stalled(Side),
    /// What must be written to this side goes out again.
    Flowing(Side),
    /// The client answered one of the machine's pings.
    Pong,
}
