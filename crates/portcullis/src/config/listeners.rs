//! The places where a gate listens.

use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_boundary::policy::HostRule;
use portcullis_gateway::config::{ListenAddress, Listener};
use rustls::ServerConfig;

use super::at::At;
use super::builder::Builder;
use super::file::{self, ClientAuth};
use super::problem::Problem;
use super::tls;
use super::urls::ListenUrl;

/// Where a gate listens when nothing else is said.
pub(crate) const DEFAULT_URL: &str = "ws://127.0.0.1:7700";

/// A listener as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct ListenerPlan {
    /// What the gate is told.
    pub(crate) listener: Listener,
    /// Its URL, as it was written.
    pub(crate) url: ListenUrl,
}

impl ListenerPlan {
    /// Where it listens, as messages say it.
    pub(crate) fn address(&self) -> String {
        match &self.listener.address {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(path) => path.display().to_string(),
        }
    }

    /// Whether only this machine can reach it.
    pub(crate) const fn is_local(&self) -> bool {
        match &self.listener.address {
            ListenAddress::Tcp(address) => address.ip().is_loopback(),
            ListenAddress::Unix(_) => true,
        }
    }
}

/// The listeners of a file; the default one when there is none.
pub(super) fn build(builder: &mut Builder, listeners: &[At<file::Listener>]) -> Vec<ListenerPlan> {
    if listeners.is_empty() {
        return default_plan().into_iter().collect();
    }
    let listeners = listeners.iter().map(|listener| plan(builder, listener));
    listeners
        .collect::<Vec<_>>()
        .into_iter()
        .flatten()
        .collect()
}

/// The listener at `url`, as the file and the flags have it.
pub(crate) fn open(
    url: ListenUrl,
    address: ListenAddress,
    tls: Option<ServerConfig>,
    hosts: &[Box<str>],
    health_routes: bool,
) -> ListenerPlan {
    let is_local = matches!(&address, ListenAddress::Tcp(address) if address.ip().is_loopback());
    let listener = Listener {
        address,
        tls: tls.map(|tls| Arc::new(ArcSwap::from_pointee(tls))),
        hosts: Arc::new(host_rule(is_local, hosts)),
        health_routes,
    };
    ListenerPlan { listener, url }
}

fn default_plan() -> Option<ListenerPlan> {
    let url: ListenUrl = DEFAULT_URL.parse().ok()?;
    let address = url.resolve().ok()?;
    Some(open(url, address, None, &[], true))
}

/// A loopback listener serves loopback names; named hosts come beside them, not in their place, so
/// that health checks still work.
fn host_rule(is_local: bool, hosts: &[Box<str>]) -> HostRule {
    if hosts.is_empty() {
        return if is_local {
            HostRule::Loopback
        } else {
            HostRule::Any
        };
    }
    let own: &[&str] = if is_local {
        &["localhost", "127.0.0.1", "[::1]"]
    } else {
        &[]
    };
    let own = own.iter().map(|name| Box::from(*name));
    HostRule::Names(hosts.iter().cloned().chain(own).collect())
}

fn plan(builder: &mut Builder, listener: &At<file::Listener>) -> Option<ListenerPlan> {
    let At { value, span } = listener;
    let written = &value.url;
    let mend = "write \"ws://HOST:PORT\", \"wss://HOST:PORT\" or \"unix://PATH\"";
    let url: ListenUrl = builder.take(written.value.parse(), written, mend)?;
    let address = url
        .resolve()
        .map_err(|error| format!("cannot resolve `{}`: {error}", written.value));
    let address = builder.take(address, written, "check the name, or write an address");
    let tls = match (url.encrypted, &value.tls_cert, &value.tls_key) {
        (true, Some(cert), Some(key)) => Some(server(builder, value, cert, key)?),
        (true, _, _) => {
            let what = format!("`{}` needs a certificate and its key", written.value);
            let mend =
                "add `tls_cert = \"chain.pem\"` and `tls_key = \"key.pem\"` to this listener";
            builder.report(Problem::new(what, mend).at(&written.span));
            return None;
        }
        (false, None, None) if value.tls_client_ca.is_none() => None,
        (false, _, _) => {
            let what = format!("`{}` does not speak TLS", written.value);
            let mend = "write `wss://` in its url, or remove the `tls_…` keys";
            builder.report(
                Problem::new(what, mend)
                    .at(&written.span)
                    .beside(span, "this listener"),
            );
            return None;
        }
    };
    let hosts = host_names(builder, value.hosts.as_deref().unwrap_or_default());
    Some(open(url, address?, tls, &hosts, value.health_routes))
}

fn host_names(builder: &mut Builder, written: &[At<String>]) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for name in written {
        match host_name(&name.value) {
            Ok(host) => names.push(host),
            Err(what) => {
                let mend = "write the name alone, such as \"gate.example\"; any port is served";
                builder.report(Problem::new(what, mend).at(&name.span));
            }
        }
    }
    names
}

/// A host name, without a port.
pub(crate) fn host_name(text: &str) -> Result<Box<str>, String> {
    let authority: Option<http::uri::Authority> = text.parse().ok();
    match authority {
        Some(authority) if authority.host() == text => Ok(text.into()),
        Some(_) | None => Err(format!("`{text}` is not a host name")),
    }
}

fn server(
    builder: &mut Builder,
    listener: &file::Listener,
    cert: &At<String>,
    key: &At<String>,
) -> Option<ServerConfig> {
    let cert_pem = builder.bytes(cert);
    let key_pem = builder.bytes(key);
    let chain = tls::certificates(&cert_pem?).map_err(|error| format!("`{}`: {error}", cert.value));
    let chain = builder.take(chain, cert, "name a PEM file with the certificate chain");
    let key_read = tls::private_key(&key_pem?).map_err(|error| format!("`{}`: {error}", key.value));
    let key_read = builder.take(key_read, key, "name a PEM file with the private key");
    let clients = match (&listener.tls_client_ca, &listener.tls_client_auth) {
        (Some(ca), auth) => {
            let auth = auth
                .as_ref()
                .map_or(ClientAuth::Required, |auth| auth.value);
            let pem = builder.bytes(ca)?;
            let verifier =
                tls::clients(&pem, auth).map_err(|error| format!("`{}`: {error}", ca.value));
            builder.take(
                verifier,
                ca,
                "name a PEM file with the authorities of client certificates",
            )?
        }
        (None, Some(auth)) if auth.value != ClientAuth::Off => {
            let mend = "add `tls_client_ca = \"ca.pem\"` with the authorities that sign them";
            let what = "client certificates cannot be checked without their authorities";
            builder.report(Problem::new(what, mend).at(&auth.span));
            return None;
        }
        (None, _) => None,
    };
    let config = tls::server(chain?, key_read?, clients);
    builder.take(
        config,
        cert,
        "check that `tls_key` is the key of the first certificate in `tls_cert`",
    )
}
