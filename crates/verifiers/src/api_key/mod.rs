//! API keys: long-lived secrets of a program or a person, each with an owner, scopes and an id.
//!
//! A key is `pk_<id>_<secret>`. The id is public and finds what is stored; of the secret, 32 random
//! bytes, only the SHA-256 is. It is hard to guess by itself, so a fast digest is enough.
//!
//! The rules, in this order; the first that fails is the answer:
//!
//! 1. **Form**: the prefix, an id of lower-case letters and digits, 32 bytes in base64url.
//! 2. **Known**: there is a key of this id, and the digest of its secret is the stored one, compared
//!    in constant time. Until here nothing that is stored is told.
//! 3. **Not taken back**, and its **owner active**, where the owner's account is known.
//! 4. **In time**: `now` is before its expiry.
//!
//! What the key may do is what it was made for, as far as its owner may do it *now*: scopes are
//! clamped at each use.
//!
//! # Deployment caveat
//!
//! What was found is remembered for a few seconds, so that a key that is used all the time is not
//! looked up all the time. A key that was taken back counts for as long elsewhere; where it was taken
//! back, [`ApiKeys::forget`] ends that at once. Sessions that rest on it are ended by a revocation.

mod lookup;
mod token;
mod verifier;

pub use self::lookup::{KeyLookup, StoredKey};
pub use self::token::ApiKeyToken;
pub use self::verifier::ApiKeys;
