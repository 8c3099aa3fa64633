//! Where tokens come from.
//!
//! | source | gives |
//! | --- | --- |
//! | [`FixedToken`] | one token, until the program replaces it |
//! | [`TokenFile`] | what the file holds at each attempt; a change wakes who waits |
//! | [`TokenVariable`] | what the environment holds |
//! | [`TokenCommand`] | what a program prints |
//! | [`RefreshEndpoint`] | what a server gives for a refresh token |
//! | [`TokenFn`] | what a closure says |
//!
//! Any other is an implementation of [`TokenSource`]. Clients that enter with the tokens of one source
//! share a [`Tokens`], which asks it once for all of them.

mod command;
mod error;
mod file;
mod fixed;
mod flight;
mod refresh;
mod source;
#[expect(clippy::module_inception, reason = "the type that the module is about")]
mod token;
mod tokens;

pub use self::command::TokenCommand;
pub use self::error::{TokenError, TokenErrorKind};
pub use self::file::{TokenFile, TokenVariable};
pub use self::fixed::{FixedToken, TokenFn};
pub use self::refresh::{RefreshEndpoint, RefreshForm};
pub use self::source::{DynTokenSource, Later, Login, NotLoggedIn, TokenSource};
pub use self::token::Token;
pub use self::tokens::{Issued, Tokens};
