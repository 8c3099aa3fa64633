//! JWTs signed with a shared secret (RFC 7519 in RFC 7515's compact serialisation).
//!
//! The rules, in this order; the first that fails is the answer:
//!
//! 1. **Form**: three segments of base64url without padding, each in its one canonical spelling. The
//!    header is a JSON object without duplicate keys; `alg` is exactly the configured algorithm;
//!    `kid`, if any, is a string.
//! 2. **No `crit`**: "If any of the listed extension Header Parameters are not understood and
//!    supported by the recipient, then the JWS is invalid" (RFC 7515, 4.1.11). None is understood
//!    here.
//! 3. **Signature**, compared in constant time, with the secret that `kid` names or else with each.
//!    Until here nothing that the token claims is looked at.
//! 4. **Claims**: a JSON object without duplicate keys; `exp` an integer; `nbf` an integer, `iss` a
//!    string, `aud` a string or an array of strings, each of these three possibly null or absent.
//!    Their types count even when nobody asks for their values.
//! 5. **Expiry**: `now <= exp + skew`, in whole seconds.
//! 6. **Not before**: `now >= nbf - skew`.
//! 7. **Issuer**, when one is configured: `iss` is equal to it.
//! 8. **Audience**, when one is configured: `aud` is equal to it, or contains it.
//!
//! What else a header says (`typ`, `jku`, `jwk`, `x5u`, `zip`, and `b64`, which means nothing without
//! `crit`) is not looked at: no key is ever taken from a token.
//!
//! # Deployment caveat
//!
//! Whoever verifies with a shared secret can also sign with it. Give each gateway its own, or use
//! asymmetric keys where that is not bearable.

mod algorithm;
mod inspect;
mod secret;
pub mod sign;
mod verifier;

pub use self::algorithm::Algorithm;
pub use self::inspect::{Unverified, dangerous_inspect};
pub use self::secret::HmacSecret;
pub use self::verifier::HmacJwt;
