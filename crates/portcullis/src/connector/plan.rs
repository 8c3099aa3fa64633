//! What a connector is told, by flags or by a file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use portcullis_client::connect::{Dialer, Proxies, Tls};
use portcullis_remote::connector::{AccountRule, Startup, Upstream};

use super::credentials::CredentialPlan;

/// A connector that is to run, a door on loopback, or both.
#[derive(Clone, Debug)]
pub(crate) struct ConnectorPlan {
    /// The relay's base URL, as it was written: while the connector is disabled, nobody looks at it.
    pub(crate) relay: Box<str>,
    /// Whether it may be `http` beyond loopback.
    pub(crate) dangerous_plain_relay: bool,
    /// Where the credential is read.
    pub(crate) credential: CredentialPlan,
    /// To whom the host belongs.
    pub(crate) account: AccountRule,
    /// The host's name; the machine's by default.
    pub(crate) name: Option<Box<str>>,
    /// What happens at its start.
    pub(crate) startup: Startup,
    /// How long the relay may take over a request, and over a handshake.
    pub(crate) timeout: Duration,
    /// How the relay and the upstream are reached.
    pub(crate) dialer: Dialer,
    /// To what guests are connected; without it there is the door on loopback alone.
    pub(crate) upstream: Option<UpstreamPlan>,
    /// The port of the door on loopback, if there is one.
    pub(crate) forward: Option<u16>,
    /// Where this machine's name for relays and the door's secret path are kept.
    pub(crate) folder: PathBuf,
    /// The digest of all that was written, but for `startup`; by it a reload notices a change.
    pub(crate) fingerprint: String,
}

impl ConnectorPlan {
    /// How long the relay may take where nobody says so.
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
}

#[cfg(test)]
impl ConnectorPlan {
    /// One that dials nobody.
    pub(crate) fn of_tests() -> Self {
        Self {
            relay: "http://127.0.0.1:9".into(),
            dangerous_plain_relay: false,
            credential: CredentialPlan::TokenFile("/no/such/token".into()),
            account: AccountRule::Unnamed,
            name: Some("vm".into()),
            startup: Startup::Disabled,
            timeout: Self::TIMEOUT,
            dialer: Dialer::new(Tls::none().expect("TLS")),
            upstream: None,
            forward: None,
            folder: PathBuf::new(),
            fingerprint: String::new(),
        }
    }
}

/// To what guests are connected.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamPlan {
    /// The same as a connector takes it.
    pub(crate) upstream: Upstream,
    /// How it is told to people: without what may be secret.
    pub(crate) shown: String,
}

impl UpstreamPlan {
    /// What `text` names, which is shown `bearer`.
    ///
    /// # Errors
    ///
    /// The forms that are known, where it has none of them.
    pub(crate) fn new(text: &str, bearer: Option<&str>) -> Result<Self, String> {
        let mut upstream = Upstream::parse(text).map_err(|error| error.to_string())?;
        if let Some(bearer) = bearer {
            upstream = upstream.with_bearer(bearer);
        }
        let shown = if text.starts_with("stdio:") {
            "a process for each guest".to_owned()
        } else {
            // A query may hold a key.
            text.split('?').next().unwrap_or_default().to_owned()
        };
        Ok(Self { upstream, shown })
    }
}

/// To whom a host belongs: to the account that is named, or that the agent's login names, or that the
/// relay finds by the credential.
pub(crate) fn account_rule(named: Option<&str>, credential: &CredentialPlan) -> AccountRule {
    match (named, credential) {
        (Some(account), _) => AccountRule::Fixed(account.into()),
        (None, CredentialPlan::CodexAuth(_)) => AccountRule::FromCredential,
        (None, _) => AccountRule::Unnamed,
    }
}

/// A host's name, which people see.
///
/// # Errors
///
/// What a name is.
pub(crate) fn host_name(text: &str) -> Result<Box<str>, &'static str> {
    let name = text.trim();
    if name.is_empty() || name.len() > MOST_OF_A_NAME || name.chars().any(char::is_control) {
        return Err("a host's name is one line of at most 255 bytes");
    }
    Ok(name.into())
}

const MOST_OF_A_NAME: usize = 255;

/// How `relay` and `upstream` are reached, within `timeout`: through the proxies that the environment
/// names, and where one of them speaks TLS with the authorities of the system and those in `pem`.
///
/// # Errors
///
/// Which authorities, or which proxy, cannot be used.
pub(crate) fn dialer_for(
    relay: &str,
    upstream: Option<&str>,
    pem: Option<&[u8]>,
    timeout: Duration,
) -> anyhow::Result<Dialer> {
    let is_encrypted = |url: &str, scheme: &str| {
        let begins = url.trim_start().get(..scheme.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(scheme))
    };
    let is_needed = is_encrypted(relay, "https:")
        || upstream.is_some_and(|upstream| is_encrypted(upstream, "wss:"));
    let tls = match pem {
        Some(pem) => Tls::also_trusting(pem),
        None if is_needed => Tls::system(),
        None => Tls::none(),
    };
    let dialer = Dialer::new(tls.context("TLS cannot be spoken")?)
        .with_proxies(Proxies::from_environment()?)
        .with_connect_timeout(timeout);
    Ok(dialer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_upstream_holds_no_secret() {
        for (text, shown) in [
            ("ws://127.0.0.1:9/a?key=s3cr3t", "ws://127.0.0.1:9/a"),
            ("wss://agent.example/a", "wss://agent.example/a"),
            ("unix:/run/agent.sock", "unix:/run/agent.sock"),
            ("stdio:agent --key s3cr3t", "a process for each guest"),
        ] {
            let plan = UpstreamPlan::new(text, None).expect(text);
            assert_eq!(plan.shown, shown);
        }
        for text in ["http://s3cr3t", "wss://ada:s3cr3t@agent.example/a"] {
            let error = UpstreamPlan::new(text, None).expect_err("no upstream");
            assert!(error.contains("stdio:COMMAND"), "{error}");
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn only_the_agents_login_names_its_account_itself() {
        let login = CredentialPlan::CodexAuth("auth.json".into());
        let file = CredentialPlan::TokenFile("token".into());
        assert_eq!(account_rule(None, &login), AccountRule::FromCredential);
        assert_eq!(account_rule(None, &file), AccountRule::Unnamed);
        let fixed = AccountRule::Fixed("acme".into());
        assert_eq!(account_rule(Some("acme"), &login), fixed);
        assert_eq!(account_rule(Some("acme"), &file), fixed);
    }
}
