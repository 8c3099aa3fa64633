//! Real servers for tests: Debian's `postgresql` and `nats-server`, which `scripts/test-deps`
//! installs. Each has a folder of its own, and ends when it is dropped.

mod nats;
mod postgres;
mod process;

pub use self::nats::NatsServer;
pub use self::postgres::PostgresServer;
