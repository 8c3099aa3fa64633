//! Capability tokens: who has one may enter.
//!
//! A token is any text. Only its SHA-256 is kept, so that neither a dump of memory nor a
//! configuration that holds a digest gives it away. A token must be hard to guess by itself, as
//! those of `portcullis token new` are: a digest is fast, and protects no password.
//!
//! The digest of what was presented is compared with *every* known digest, each in constant time and
//! without stopping at the one that matches, so that time tells nothing of either.
//!
//! # Deployment caveat
//!
//! A token does not expire. It ends when it is taken out of the configuration, which also ends the
//! sessions that rest on it.

mod token;
mod tokens_file;
mod verifier;

pub use self::token::NamedToken;
pub use self::verifier::CapabilityTokens;
