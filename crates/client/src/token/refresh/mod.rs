//! Tokens from a server, for a refresh token.

mod endpoint;
mod form;

pub use self::endpoint::RefreshEndpoint;
pub use self::form::RefreshForm;
