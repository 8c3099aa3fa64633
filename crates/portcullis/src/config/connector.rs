//! A host that dials a relay, beside the listeners.

use std::path::Path;
use std::time::Duration;

use portcullis_client::connect::Dialer;
use portcullis_remote::connector::{RelayUrl, Startup};
use portcullis_verifiers::secret_file::SecretFile;

use super::at::At;
use super::builder::Builder;
use super::file::{self, ConnectorStartup};
use super::problem::Problem;
use crate::connector::{
    ConnectorPlan, CredentialPlan, UpstreamPlan, account_rule, dialer_for, host_name,
};
use crate::secrets;

/// The connector of a file, which keeps what is this machine's alone in `folder`.
pub(super) fn build(
    builder: &mut Builder,
    written: Option<&At<file::Connector>>,
    folder: Option<&Path>,
) -> Option<ConnectorPlan> {
    let written = written?;
    let table = &written.value;
    let credential = credential(builder, written);
    let pem = table.tls_ca.as_ref().map(|written| builder.bytes(written));
    let token = table.upstream_token_file.as_ref();
    let token = token.map(|written| builder.secret(written));
    let timeout = builder.some_time(table.timeout.as_ref());
    let name = table.name.as_ref().map(|written| {
        let read = host_name(&written.value);
        builder.take(read, written, "write a name such as \"workshop\"")
    });
    check_relay(builder, table);
    if table.upstream.is_none() && table.forward.is_none() {
        let what = "nobody says to what guests are connected";
        let mend =
            "add `upstream = \"ws://HOST:PORT\"`, or `forward = PORT` for the agent's own binary";
        builder.report(Problem::new(what, mend).at(&written.span));
    }
    if folder.is_none() {
        let what = "there is no folder to keep this machine's name for relays in";
        builder.report(Problem::new(what, "name a folder with `--state-dir`").at(&written.span));
    }
    let (pem, token, name) = (all(pem)?, all(token)?, all(name)?);
    let timeout = timeout.unwrap_or(ConnectorPlan::TIMEOUT);
    let dialer = dialer(builder, table, pem.as_deref(), timeout)?;
    let upstream = upstream(builder, table, token.as_ref())?;
    let credential = credential?;
    let account = table.account.as_ref().map(|written| &*written.value);
    let plan = ConnectorPlan {
        relay: table.relay.value.as_str().into(),
        dangerous_plain_relay: table.dangerous_plain_relay,
        account: account_rule(account, &credential),
        credential,
        name,
        startup: table.startup.into(),
        timeout,
        dialer,
        upstream,
        forward: table.forward.as_ref().map(|written| written.value),
        folder: folder?.to_owned(),
        fingerprint: String::new(),
    };
    let fingerprint = fingerprint(&plan, table, token.as_ref(), pem.as_deref());
    Some(ConnectorPlan {
        fingerprint,
        ..plan
    })
}

/// A relay that is not dialled at the start may be any text.
fn check_relay(builder: &mut Builder, table: &file::Connector) {
    if table.startup == ConnectorStartup::Disabled && table.forward.is_none() {
        return;
    }
    let relay = &table.relay;
    let read = if table.dangerous_plain_relay {
        RelayUrl::dangerous_plain(&relay.value)
    } else {
        RelayUrl::parse(&relay.value)
    };
    let mend = "write \"https://HOST/BASE\", or \"http://127.0.0.1:PORT\" for this machine";
    builder.take(read, relay, mend);
}

fn credential(builder: &mut Builder, written: &At<file::Connector>) -> Option<CredentialPlan> {
    let table = &written.value;
    let file = table.token_file.as_ref();
    let file = file.map(|at| Some(CredentialPlan::TokenFile(builder.place(at))));
    let login = table.codex_auth.as_ref();
    let login = login.map(|at| Some(CredentialPlan::CodexAuth(builder.place(at))));
    let variable = table.token_env.as_ref();
    let variable = variable.map(|at| Some(CredentialPlan::Variable(at.value.clone().into())));
    let command = table.token_command.as_ref().map(|at| {
        let plan = CredentialPlan::command(&at.value).ok_or("this names no program");
        let mend =
            "write a program and its arguments, such as \"vault read -field=token secret/relay\"";
        builder.take(plan, at, mend)
    });
    let mut named = [file, login, variable, command].into_iter().flatten();
    let (first, second) = (named.next(), named.next());
    let (what, mend) = match (first, second) {
        (Some(plan), None) => return plan,
        (None, _) => ("nobody says what the relay is shown", ADD_ONE),
        (Some(_), Some(_)) => ("there are two credentials here", KEEP_ONE),
    };
    builder.report(Problem::new(what, mend).at(&written.span));
    None
}

const ADD_ONE: &str = "add one of `token_file`, `token_env`, `token_command` and `codex_auth`";

const KEEP_ONE: &str = "keep one of `token_file`, `token_env`, `token_command` and `codex_auth`";

fn dialer(
    builder: &mut Builder,
    table: &file::Connector,
    pem: Option<&[u8]>,
    timeout: Duration,
) -> Option<Dialer> {
    let upstream = table.upstream.as_ref().map(|written| &*written.value);
    let made = dialer_for(&table.relay.value, upstream, pem, timeout);
    let made = made.map_err(|error| format!("{error:#}"));
    let place = table.tls_ca.as_ref().unwrap_or(&table.relay);
    builder.take(made, place, "name the authority with `tls_ca = \"ca.pem\"`")
}

fn upstream(
    builder: &mut Builder,
    table: &file::Connector,
    token: Option<&SecretFile>,
) -> Option<Option<UpstreamPlan>> {
    let Some(written) = &table.upstream else {
        return Some(None);
    };
    let plan = UpstreamPlan::new(&written.value, token.map(SecretFile::expose));
    let mend = "write one of these, such as \"ws://127.0.0.1:4500\"";
    builder.take(plan, written, mend).map(Some)
}

fn fingerprint(
    plan: &ConnectorPlan,
    table: &file::Connector,
    token: Option<&SecretFile>,
    pem: Option<&[u8]>,
) -> String {
    let upstream = table.upstream.as_ref().map(|written| &written.value);
    let sources = [
        &table.token_file,
        &table.codex_auth,
        &table.token_env,
        &table.token_command,
    ];
    let sources = sources.map(|source| source.as_ref().map(|written| &written.value));
    let told = (
        (&plan.relay, plan.dangerous_plain_relay, sources),
        (&plan.account, &plan.name, plan.timeout, plan.forward),
        (upstream, token.map(SecretFile::expose), pem),
    );
    secrets::sha256_hex(&format!("{told:?}"))
}

/// What was written and is good, or was not written; none when it was and is not.
fn all<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

impl From<ConnectorStartup> for Startup {
    fn from(startup: ConnectorStartup) -> Self {
        match startup {
            ConnectorStartup::AllowRecoverable => Self::AllowRecoverable,
            ConnectorStartup::RequireReady => Self::RequireReady,
            ConnectorStartup::Disabled => Self::Disabled,
        }
    }
}
