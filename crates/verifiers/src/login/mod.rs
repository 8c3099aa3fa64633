//! Login of people with OpenID Connect: the authorization code flow with PKCE, and the cookie that
//! stands for it afterwards.
//!
//! A [`Provider`] is who knows the people. It is asked by whoever serves the pages of the login:
//!
//! 1. [`Provider::begin`] says where to send the browser, and what must be remembered until it is
//!    back: a `state`, a `nonce` and a PKCE verifier, 256 random bits each.
//! 2. [`Provider::finish`] takes the code that the browser brings back, and says who it is.
//! 3. [`Provider::read_logout`] takes what the provider sends when somebody has logged out there
//!    (OpenID Connect Back-Channel Logout 1.0).
//!
//! [`Logins`] is the verifier of the cookies that were given out for that. Whoever keeps them
//! implements [`LoginLookup`].
//!
//! # What is asked of an ID token
//!
//! Beside the rules of [`jwks`](crate::jwks), with the provider as issuer and the client's id as
//! audience, in this order:
//!
//! 1. **Nonce**: the one with which this login began.
//! 2. **Authorized party**: `azp`, when it is there, is the client's id; with several audiences it
//!    must be there.
//! 3. **Access token**: `at_hash`, when it is there, is the access token's that came with it.
//! 4. **Time**: `iat` is there and not in the future.
//!
//! # Deployment caveats
//!
//! - `state` protects nobody unless it is bound to the browser: whoever serves the pages must find the
//!   login that began by the `state` *and* by something that only this browser has.
//! - Each provider must have a redirect URI of its own: by it a code of one provider can never be
//!   taken to another (RFC 9700, 4.4).
//! - A logout token is taken once by each process. A process that has not seen it, or that was
//!   started anew, takes it again while it is in time; it can do no more than log out.

mod cookie;
mod error;
mod exchange;
mod id_token;
mod logout_token;
mod lookup;
mod metadata;
mod provider;
mod verifier;

pub use self::cookie::LoginCookie;
pub use self::error::LoginError;
pub use self::id_token::LoggedIn;
pub use self::logout_token::{LoggedOut, LogoutNotice};
pub use self::lookup::{LoginLookup, StoredLogin};
pub use self::provider::{Begun, CallbackAnswer, Provider};
pub use self::verifier::Logins;
