//! JWTs signed with a private key, whose public keys their issuer publishes (RFC 7515, 7517, 7519).
//!
//! The rules, in this order; the first that fails is the answer:
//!
//! 1. **Form**: at most 16 KiB, in three segments of base64url without padding, each in its one
//!    canonical spelling. Header and payload are JSON objects without duplicate keys; there is no
//!    `crit`; `kid`, if any, is a string.
//! 2. **Issuer**: `iss` is one of those that are configured. It says whose rules and keys count, and
//!    nothing is believed yet.
//! 3. **Algorithm**: `alg` is one of the issuer's, all of them asymmetric.
//! 4. **Type**, when the issuer asks for one: `typ` is equal to it.
//! 5. **Key**: the one that `kid` names, or without `kid` the only one that serves the algorithm. Its
//!    `kty`, `crv`, `alg`, `use` and `key_ops` must agree. A `kid` that nobody knows has the keys
//!    fetched, unless they just were; then it is [`KeyUnknown`](portcullis_boundary::Rejection).
//! 6. **Signature**.
//! 7. **Claims**: `exp` an integer; `nbf`, `iss`, `aud` of their types; the audience one of the
//!    issuer's; no `cnf`, which binds the token to a key of whose proof nobody asks here; the subject a
//!    text; those that the issuer's rules ask for.
//! 8. **Time**: `now <= exp + skew`, then `now >= nbf - skew`, in whole seconds. So `expired` is said
//!    only of what is good in all else.
//!
//! No key is ever taken from a token, nor fetched from where it says (`jwk`, `jku`, `x5u`, `x5c`).
//!
//! # Keys
//!
//! [`KeySource`] says where keys come from, [`KeyTimes`] how long they count. They are fetched when
//! they are first needed, and again before they are old, by an arrival that does not wait for it.
//! However many need them there is one fetch, which goes on when its first asker leaves. While the
//! issuer cannot be reached, or publishes what cannot be a key set, the last good keys serve for
//! [`KeyTimes::max_stale`]; then nobody can say ([`Unavailable`](portcullis_boundary::Rejection)).
//!
//! A signature that was found good is remembered by the digest of the whole token and the key, so
//! that the next arrival with it costs no more than a hash. All other rules are asked each time.
//!
//! # Deployment caveat
//!
//! Whoever controls the issuer's address, its name in DNS or a certificate authority that this
//! machine trusts controls who enters. A key that the issuer withdraws counts until the next fetch.

mod algorithm;
mod freshness;
mod health;
mod issuer;
mod key;
mod key_set;
mod keys;
mod source;
mod store;
mod verifier;

pub use self::algorithm::Algorithm;
pub use self::freshness::KeyTimes;
pub use self::health::{KeySetHealth, KeySetState};
pub use self::issuer::Issuer;
pub use self::key_set::{KeySet, KeySetError};
pub use self::keys::Keys;
pub use self::source::{FetchError, KeySource};
pub use self::verifier::Jwks;
