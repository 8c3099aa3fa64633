//! What the tests of Portcullis share. Never published.
//!
//! - [`ManualClock`]: wall time that moves when it is told to.
//! - [`TokenVerifier`]: a table from token to answer, one for each rejection that there is.
//! - [`TestAuthority`]: rules 6 and 7, by subject.
//! - [`arrivals`]: handshakes and plain requests, made line by line.
//! - [`Simulation`]: a session in simulated time, whose every step is checked.
//! - [`PostgresServer`], [`NatsServer`]: real ones, which end with the test.
//! - [`at_once()`]: what a future that waits for nobody comes to.
//!
//! There is no back door to a `Pass` here: tests get one as everybody does, by being admitted.

pub mod arrivals;
mod at_once;
mod authority;
mod clock;
mod servers;
mod simulation;
mod verifier;

pub use self::at_once::{at_once, poll_once};
pub use self::authority::TestAuthority;
pub use self::clock::ManualClock;
pub use self::servers::{NatsServer, PostgresServer};
pub use self::simulation::{Simulation, Step};
pub use self::verifier::TokenVerifier;
