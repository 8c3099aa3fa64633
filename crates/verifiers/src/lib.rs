//! The verifiers of Portcullis: is this credential true, and whose is it?
//!
//! Each implements [`Verifier`](portcullis_boundary::Verifier), and so can stand on a route of any
//! service that uses the boundary:
//!
//! - [`CapabilityTokens`]: secrets known by their SHA-256, each of which is a capability by itself.
//! - [`HmacJwt`]: JWTs signed with a shared secret, the algorithm pinned.
//! - [`Jwks`]: JWTs signed with a private key, by the key sets of their issuers.
//! - [`Firebase`]: the same for the ID tokens of a Firebase project, with the state of accounts.
//! - [`ApiKeys`]: keys with an owner, kept by whoever implements [`api_key::KeyLookup`].
//! - [`Introspection`]: tokens about which their issuer is asked (RFC 7662).
//! - [`login::Logins`]: the cookies of people who logged in at an OpenID Connect provider.
//! - [`Callout`]: whatever a service of one's own vouches for; and [`CalloutAuthority`] for rule 7.
//!
//! The first two decide from memory alone: they open no sockets, wait for nothing and read no clock.
//! Who must ask others does so over an [`Outbound`]. A file is read only by
//! [`secret_file::SecretFile::read`]; who wants a changed file to count builds a new verifier and puts
//! it in the old one's place.
//!
//! # Several on one route
//!
//! A route asks the first verifier that recognises the credential's shape, and no other. A capability
//! token may have any shape, so [`CapabilityTokens`] recognises everything and must stand last. Alone
//! on its route [`HmacJwt`] recognises everything too, so that its answer is the precise one; before
//! others it must be told to leave them the rest with [`HmacJwt::only_jwt_shapes`]. So it is with
//! [`Jwks`]. [`ApiKeys`] recognises its own prefix and nothing else.
//!
//! # Example
//!
//! ```
//! use portcullis_boundary::carrier::CarrierKind;
//! use portcullis_boundary::clock::Timestamp;
//! use portcullis_boundary::{Credential, Rejection, Verifier};
//! use portcullis_verifiers::hmac_jwt::{Algorithm, HmacSecret, sign};
//! use portcullis_verifiers::{ConfigError, HmacJwt};
//!
//! # fn main() -> Result<(), ConfigError> {
//! let secret = HmacSecret::new("0123456789abcdef0123456789abcdef")?;
//! let claims = [
//!     ("sub".to_owned(), "ada".into()),
//!     ("exp".to_owned(), 1_800_000_000.into()),
//! ];
//! let token = sign::sign(&secret, Algorithm::Hs256, claims.into_iter().collect());
//! let verifier = HmacJwt::new("jwt", Algorithm::Hs256, [secret])?;
//!
//! let credential = Credential::new(token, CarrierKind::Header);
//! # block_on(async {
//! let in_time = Timestamp::from_secs(1_799_999_999);
//! let identity = verifier.verify(&credential, in_time).await;
//! assert_eq!(identity.unwrap().subject(), "ada");
//!
//! let too_late = Timestamp::from_secs(1_800_000_031);
//! let rejection = verifier.verify(&credential, too_late).await;
//! assert_eq!(rejection, Err(Rejection::Expired));
//! # });
//! # Ok(())
//! # }
//! # fn block_on(future: impl Future<Output = ()>) {
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     assert!(std::pin::pin!(future).poll(&mut context).is_ready());
//! # }
//! ```

pub mod api_key;
mod asked;
pub mod callout;
pub mod capability;
mod digest;
mod error;
pub mod firebase;
pub mod hmac_jwt;
pub mod introspection;
pub mod jwks;
mod jwt;
pub mod login;
mod outage;
pub mod outbound;
mod recent;
pub mod secret_file;

pub use self::api_key::ApiKeys;
pub use self::callout::{Callout, CalloutAuthority};
pub use self::capability::CapabilityTokens;
pub use self::error::{AskError, ConfigError, LookupUnavailable};
pub use self::firebase::Firebase;
pub use self::hmac_jwt::HmacJwt;
pub use self::introspection::Introspection;
pub use self::jwks::Jwks;
pub use self::outbound::{ClientAuth, Endpoint, Outbound};
