//! Asking others: the requests that verifiers make.
//!
//! A gate has a thread and a runtime for each core, and an arrival's future lives on one of them until
//! its client goes. A request must not depend on that: it runs on the one runtime that [`Outbound`]
//! was given, and whoever asked only waits for its end. So a connection is kept for the next request,
//! and the first of many askers may leave without taking the answer from the others.
//!
//! Each request has a time-out, each answer a size; redirects are not followed, proxies of the
//! environment not used, and no more than [`MOST_REQUESTS`] are under way. Tasks end by their
//! time-out, or with their runtime; who waits for one that its runtime dropped hears that nobody can
//! say.

mod answer;
mod client;
mod client_auth;
mod endpoint;
mod flights;

pub(crate) use self::answer::Answer;
pub use self::client::{MOST_REQUESTS, Outbound};
pub use self::client_auth::ClientAuth;
pub(crate) use self::client_auth::read_secret;
pub use self::endpoint::Endpoint;
pub(crate) use self::flights::{Flights, Waiter};
