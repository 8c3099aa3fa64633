//! A login that is configured.

use std::time::Duration;

use http::Uri;
use portcullis_verifiers::login::Provider;
use portcullis_verifiers::{ConfigError, Endpoint, Outbound};

use super::cookies::Cookies;

/// A provider, and how long its logins last here.
#[derive(Debug)]
pub(crate) struct LoginPlan {
    name: Box<str>,
    provider: Provider,
    /// Where people find this gate, without a slash at its end.
    base: Box<str>,
    cookies: Cookies,
    lifetime: Duration,
    idle: Option<Duration>,
}

/// Why a login cannot be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadLogin {
    /// Its name would not be a part of a path.
    #[error("a login's name has small letters, digits, `-` and `_` only")]
    Name,
    /// Where people find the gate is no such place.
    #[error("this is not the address of a gate")]
    Base,
    /// People could be overheard there.
    #[error(transparent)]
    PublicUrl(ConfigError),
    /// The client is blank.
    #[error("the client has no id")]
    Client,
    /// The provider.
    #[error(transparent)]
    Provider(ConfigError),
}

impl LoginPlan {
    /// The login `name` at the provider `issuer`, to which this gate is `client_id`. People find the
    /// gate at `base`, such as `https://gate.example`. It lasts 12 hours.
    ///
    /// # Errors
    ///
    /// What is wrong with any of these.
    pub(crate) fn new(
        name: &str,
        issuer: &str,
        client_id: &str,
        base: &str,
        outbound: Outbound,
    ) -> Result<Self, BadLogin> {
        let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_letter) {
            return Err(BadLogin::Name);
        }
        let base = base.strip_suffix('/').unwrap_or(base);
        let uri: Uri = base.parse().map_err(|_| BadLogin::Base)?;
        let is_bare = uri.path_and_query().is_none_or(|path| path == "/");
        if uri.scheme().is_none() || uri.authority().is_none() || !is_bare {
            return Err(BadLogin::Base);
        }
        Endpoint::parse(base).map_err(BadLogin::PublicUrl)?;
        if client_id.trim().is_empty() {
            return Err(BadLogin::Client);
        }
        let callback = format!("{base}/.portcullis/login/{name}/callback");
        let provider = Provider::new(issuer, client_id, &callback, outbound);
        Ok(Self {
            name: name.into(),
            provider: provider.map_err(BadLogin::Provider)?,
            base: base.to_ascii_lowercase().into(),
            cookies: Cookies::new(uri.scheme_str() == Some("https")),
            lifetime: LIFETIME,
            idle: None,
        })
    }

    /// Changes the provider.
    pub(crate) fn map_provider(
        self,
        change: impl FnOnce(Provider) -> Result<Provider, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let provider = change(self.provider)?;
        Ok(Self { provider, ..self })
    }

    /// Lets a login last for `lifetime`, if it is given, and not longer than `idle` without any use of
    /// its cookie.
    pub(crate) fn lasting(mut self, lifetime: Option<Duration>, idle: Option<Duration>) -> Self {
        self.lifetime = lifetime.unwrap_or(LIFETIME);
        self.idle = idle;
        self
    }

    /// Whether `other` is configured as this one is.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.name == other.name
            && self.base == other.base
            && self.lifetime == other.lifetime
            && self.idle == other.idle
            && self.provider.is_same_as(&other.provider)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Who knows the people.
    pub(crate) const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Where a browser is sent that has to log in.
    pub(crate) fn path(&self) -> String {
        format!("/.portcullis/login/{}", self.name)
    }

    /// The name of the cookie.
    pub(crate) const fn cookie(&self) -> &'static str {
        self.cookies.login()
    }

    /// The origin of this gate's pages.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) const fn cookies(&self) -> Cookies {
        self.cookies
    }

    pub(super) const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    pub(super) const fn idle(&self) -> Option<Duration> {
        self.idle
    }
}

const LIFETIME: Duration = Duration::from_secs(12 * 3600);
