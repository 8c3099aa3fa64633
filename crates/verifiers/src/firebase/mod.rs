//! Firebase ID tokens: JWTs of Google for one project, and the state of the accounts behind them.
//!
//! The rules are those of [`jwks`](crate::jwks), with one issuer
//! (`https://securetoken.google.com/<project>`), one audience (the project) and RS256; then:
//!
//! 1. **Subject**: 1 to 128 characters.
//! 2. **`auth_time`** and **`iat`**: integers, not in the future but for the clock skew.
//! 3. **Account**, where an [`AccountState`] is asked: there is one, it is not disabled, and it was not
//!    signed out of everything after `auth_time`.
//!
//! With an `AccountState` that changes, live sessions are asked about again
//! ([`Verifier::is_polled`](portcullis_boundary::Verifier::is_polled)). Without one a token counts
//! until it expires, an hour at most, whatever became of its account.
//!
//! # Deployment caveat
//!
//! The Firebase emulator signs nothing (`alg` is `none`); its tokens are refused. In tests let the key
//! source be one's own.

mod accounts;
mod toolkit;
mod verifier;

pub use self::accounts::{Account, AccountState, NoAccountState};
pub use self::toolkit::IdentityToolkit;
pub use self::verifier::Firebase;
