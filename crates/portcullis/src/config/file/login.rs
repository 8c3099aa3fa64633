//! `[login.NAME]`: how people log in.

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;

/// How people log in: at an OpenID Connect provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The provider, as it calls itself: `https`, or `http` on this machine.
    pub(crate) issuer: At<String>,
    /// As whom it knows this gate.
    pub(crate) client_id: At<String>,
    /// A file with the client's secret, read for each login; none for a public client.
    pub(crate) client_secret_file: Option<At<String>>,
    /// Where people find this gate, such as `https://gate.example`. The provider must know
    /// `/.portcullis/login/NAME/callback` there, and may know `/.portcullis/login/NAME/backchannel`
    /// and `/.portcullis/logout/done`.
    pub(crate) public_url: At<String>,
    /// The scopes that are asked for, beside `openid`.
    pub(crate) scopes: Option<At<Vec<String>>>,
    /// The claim of the ID token that says what people may do. By default it is what the provider
    /// grants of the scopes.
    pub(crate) scopes_claim: Option<At<String>>,
    /// How long a login lasts; 12h by default.
    pub(crate) lifetime: Option<At<String>>,
    /// How long its cookie may not be used; no limit by default. A session that is open lasts none the
    /// less.
    pub(crate) idle: Option<At<String>>,
    /// How long each answer of the provider may take; 10s by default.
    pub(crate) timeout: Option<At<String>>,
}
