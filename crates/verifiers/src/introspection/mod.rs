//! Opaque tokens, and others, about which their issuer is asked (RFC 7662).
//!
//! The rules, in this order; the first that fails is the answer:
//!
//! 1. **Form**: not empty, at most 16 KiB.
//! 2. **Asked**: the token is posted to the issuer's endpoint, as who is told by
//!    [`ClientAuth`](crate::ClientAuth). Whatever is not a 200 with a JSON object that says `active` is
//!    no answer: nobody can say, and nobody enters.
//! 3. **Active**: `active` is true.
//! 4. **Bearer**: the token is not bound to a key (`cnf`, or a `token_type` of `DPoP`), whose proof
//!    nobody would have asked for here.
//! 5. **Issuer** and **audience**, when they are configured: `iss` is equal, `aud` is equal or contains
//!    it. An answer without them fails.
//! 6. **Subject**: the claim is a text that is not empty.
//! 7. **Time**: `now <= exp`, then `now >= nbf`, as far as the answer has them.
//!
//! A good answer is remembered for 30 seconds and a bad one for 5, and none beyond its `exp`. Tokens
//! are remembered by their SHA-256.
//!
//! # Deployment caveat
//!
//! A token that was revoked counts as long as its good answer is remembered, and for a live session
//! until somebody asks again: the verifier [is polled](portcullis_boundary::Verifier::is_polled). An
//! answer without `exp` gives sessions that do not end by themselves: give the route a longest life.

mod verifier;

pub use self::verifier::Introspection;
