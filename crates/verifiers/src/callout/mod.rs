//! A service of one's own is asked: whose a credential is, and whether somebody may enter.
//!
//! # The contract
//!
//! [`Callout`], a verifier, asks about credentials:
//!
//! - By `POST`: `{"credential":"…","carrier":"header"}`, where `carrier` is the kind of carrier that
//!   held it. By `GET`: `Authorization: Bearer <credential>`, such as for `userinfo` of OpenID Connect.
//! - **200** admits. The body is an object of claims as in a JWT: `sub` (required), `iss`, `aud`,
//!   `scope`, `exp`, `nbf`, `iat`, `jti`, and whatever else.
//! - **401** and **403** refuse. The body may say how: `{"code":"…"}` with `invalid_credential` (what a
//!   401 is otherwise), `account_disabled` (what a 403 is), `expired`, `key_unknown`, `not_yet_valid` or
//!   `revoked`.
//! - Each of them counts once, or for as long as `Cache-Control: max-age` says: 30 seconds at most when
//!   it admits, 5 when it refuses, and never beyond `exp`.
//!
//! [`CalloutAuthority`] asks about arrivals whose credential is good, by `POST`:
//!
//! ```json
//! {"method": "GET", "path": "/rooms/7", "protocol": "websocket", "host": "gate.example",
//!  "origin": "https://gate.example", "peer": "192.0.2.7", "verifier": "jwt", "subject": "ada",
//!  "issuer": "https://id.example", "credential_id": "t1", "scopes": ["read"]}
//! ```
//!
//! What is not there is null. Neither the credential nor the query, in which it may be, is told.
//!
//! - **200** and **204** admit.
//! - **401**, **403**, **404** and **409** refuse as `revoked`, `insufficient_scope`, `resource_unknown`
//!   and `not_owner`, unless the body says `{"code":"…"}` with another of these, `account_disabled` or
//!   `rate_limited`.
//! - Nothing is remembered.
//!
//! Whatever else is answered, or not answered within a second, is no answer: nobody enters, and is told
//! to come back.
//!
//! # Deployment caveat
//!
//! Both [are polled](portcullis_boundary::Verifier::is_polled): a gate asks them again about live
//! sessions, in the same words, so a question is no sign of somebody who enters.
//!
//! Each arrival waits for the service, and none enters while it is down. It must be as near and as
//! available as the gate. By `POST` it sees credentials: whoever can read its logs must not find them.

mod authority;
mod contract;
mod verifier;

pub use self::authority::CalloutAuthority;
pub use self::verifier::{Callout, Method};
