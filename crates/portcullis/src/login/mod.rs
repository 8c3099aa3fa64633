//! The pages with which people log in and out.
//!
//! | path below `/.portcullis/` | what |
//! | --- | --- |
//! | `GET login/NAME?return=/path` | sends the browser to the provider |
//! | `GET login/NAME/callback` | where it comes back: it gets its cookie here |
//! | `POST login/NAME/backchannel` | where the provider says that somebody has logged out there |
//! | `GET login` | the same as `login/NAME`, where there is one login only |
//! | `GET logout`, `POST logout` | a button, and what it does |
//!
//! Rules:
//!
//! 1. A `state` counts in the browser in which it began, and once: what is kept of it is the digest of
//!    the login's name, the `state` and a secret of the browser.
//! 2. Whatever a page is given comes from this host: `return` is a path, and nothing else.
//! 3. Who logs out is revoked first, and then forgotten: a live socket hears it on every gate.
//! 4. A logout by a page must come from this host.
//! 5. People are told what they can do, and the log what was wrong.

mod answers;
mod backchannel;
mod begin;
mod callback;
mod cookies;
mod desk;
mod kept;
mod logout;
mod plan;
mod return_path;
mod revoker;
#[cfg(test)]
mod tests;

pub(crate) use self::desk::LoginDesk;
pub(crate) use self::kept::LedgerLogins;
pub(crate) use self::plan::{BadLogin, LoginPlan};
pub(crate) use self::revoker::{LoginRecord, StateRevoker};
