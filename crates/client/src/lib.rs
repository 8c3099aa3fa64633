//! A WebSocket that comes back.
//!
//! A socket is authenticated once and lives for hours; its credential does not. [`Client`] connects with
//! a token from a source that can give better ones, understands why it is refused, and does what the
//! refusal table says about it:
//!
//! | recovery | what the client does |
//! | --- | --- |
//! | `refresh` | gets a fresher token and comes back; then once more; then it is `login` |
//! | `login` | asks whoever was given to [`Tokens::with_login`](token::Tokens::with_login); without one it ends and says what to do |
//! | `retry` | comes back with full-jitter backoff, not before `Retry-After` |
//! | `stop` | ends |
//!
//! It reads the recovery from an HTTP answer (problem+json, `Retry-After`, or the status alone), from
//! a close frame (its reason, its code, or the range of a code that nobody knows), and takes what the
//! network does as `retry`. Failures are forgotten on proof only, and in no minute are there more
//! attempts than [`machine::Settings::attempts_per_minute`], whatever happens.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_client::connect::{Dialer, Proxies, Tls};
//! use portcullis_client::token::{TokenFile, Tokens};
//! use portcullis_client::{Address, ClientBuilder, Event, Message};
//!
//! let dialer = Dialer::new(Tls::system()?).with_proxies(Proxies::from_environment()?);
//! let tokens = Tokens::awaiting_change(TokenFile::new("/run/secrets/token"));
//! let mut client = ClientBuilder::new(Address::parse("wss://gate.example/chat")?, dialer)
//!     .tokens(tokens)
//!     .start()?;
//! client.send(Message::text("hello")).await?;
//! loop {
//!     match client.next().await? {
//!         Event::Opened(_) => println!("open"),
//!         Event::Message(message) => println!("{message:?}"),
//!         Event::Lost(lost) => println!("{}", lost.cause),
//!         Event::Unwritten(messages) => println!("{} not written", messages.len()),
//!     }
//! }
//! # }
//! ```
//!
//! # Structured concurrency
//!
//! A client is one task, which ends when the client is dropped. A [`Tokens`](token::Tokens) has a task for each
//! question that is under way; they end by their own time-outs.

mod address;
mod cause;
mod client;
mod config;
pub mod connect;
mod driver;
mod error;
pub mod machine;
mod message;
mod refused;
mod state;
pub mod token;

pub use self::address::Address;
pub use self::cause::{Cause, Ended};
pub use self::client::{Client, NotQueued, Sender};
pub use self::config::{ClientBuilder, Unwritten};
pub use self::error::ConfigError;
pub use self::message::{Message, Text};
pub use self::refused::{MAX_TEXT, Refused, Told};
pub use self::state::{Event, Lost, Opened, State, States};
