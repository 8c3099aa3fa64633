//! Reading the settings again, on SIGHUP and when a file changes.
//!
//! New settings count as a whole or not at all: when something is wrong with them the old ones
//! stay, and the log says why.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_gateway::Gate;
use portcullis_verifiers::jwks::Keys;

use crate::admin::api::Api;
use crate::config::{ListenerPlan, Settings};
use crate::first_run::FirstRun;
use crate::rates::SharedLimits;
use crate::remote::RelayPlan;
use crate::settings::{Source, explain_error};
use crate::traces::TracesPlan;

/// How often the files are looked at, and how long they must rest: an editor writes more than once,
/// and a certificate has two files.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Reads settings again and gives them to the gate.
pub(crate) struct Reloader {
    source: Source,
    listeners: Vec<ListenerPlan>,
    admin: Option<SocketAddr>,
    keys: Vec<Keys>,
    api: Option<Api>,
    ledger: Option<String>,
    bus: String,
    traces: Option<TracesPlan>,
    relay: RelayPlan,
}

impl Reloader {
    /// Reads from `source`, for a gate that started with `settings`, and with an admin API or
    /// without.
    pub(crate) fn new(source: Source, settings: &Settings, api: Option<Api>) -> Self {
        Self {
            source,
            listeners: settings.listeners.clone(),
            admin: settings.admin.as_ref().map(|plan| plan.listen),
            api,
            ledger: fingerprint(settings),
            bus: settings.bus.fingerprint.clone(),
            traces: settings.traces.clone(),
            relay: settings.relay.clone().unwrap_or_default(),
            keys: settings.keys.clone(),
        }
    }

    /// The first run, if this is one.
    pub(crate) const fn first_run(&self) -> Option<&FirstRun> {
        self.source.first_run()
    }

    /// Reloads, and says in the log how it went. Without new settings, the old ones stay.
    pub(crate) fn reload(&mut self, gate: &Gate) -> Option<Settings> {
        let settings = match self.source.load(&self.listeners, &self.keys) {
            Ok(settings) => settings,
            Err(error) => {
                let why = explain_error(&error, false);
                let brief = format!("{error:#}");
                tracing::error!(target: "portcullis::reload", error = brief, "reload failed, the old settings stay\n{why}");
                return None;
            }
        };
        for what in needs_restart(&self.listeners, &settings.listeners) {
            tracing::warn!(target: "portcullis::reload", "{what}");
        }
        if fingerprint(&settings) != self.ledger || settings.bus.fingerprint != self.bus {
            tracing::warn!(target: "portcullis::reload", "the ledger or the bus has changed; restart to move there");
        }
        if self.ledger.is_none() && settings.shared.limits != SharedLimits::default() {
            tracing::warn!(target: "portcullis::reload", "rates over all gates do not count before a restart: they need a ledger, and none is open");
        }
        if settings.traces != self.traces {
            tracing::warn!(target: "portcullis::reload", "`traces` has changed, and the old one still counts; restart to change it");
        }
        if let Some(relay) = &settings.relay {
            if self.ledger.is_none() {
                tracing::warn!(target: "portcullis::reload", "nobody answers hosts and guests before a restart: the relay needs a ledger, and none is open");
            } else if *relay != self.relay {
                tracing::warn!(target: "portcullis::reload", "`[route.relay]` or the codes of its route have changed, and the old ones still count; restart to change them");
            }
        }
        if settings.admin.as_ref().map(|plan| plan.listen) != self.admin {
            tracing::warn!(target: "portcullis::reload", "the admin listener has changed; restart to move it");
        }
        self.take_admins(&settings);
        self.take_certificates(&settings.listeners);
        self.keys.clone_from(&settings.keys);
        let ended = gate.reload(settings.gate.clone());
        for warning in settings.gate.warnings.iter().chain(&settings.notes) {
            tracing::warn!(target: "portcullis", "{warning}");
        }
        let routes = settings.gate.routes.len();
        tracing::info!(target: "portcullis::reload", routes, sessions_ended = ended, "reloaded");
        Some(settings)
    }

    /// Who may use the admin API now.
    fn take_admins(&self, fresh: &Settings) {
        let policy = fresh.admin.as_ref().and_then(|plan| plan.api.as_ref());
        match (&self.api, policy) {
            (Some(api), Some(policy)) => api.set_policy(Arc::clone(policy)),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                tracing::warn!(target: "portcullis::reload", "the admin API begins or ends with a restart");
            }
        }
    }

    /// New certificates count for new connections.
    fn take_certificates(&self, fresh: &[ListenerPlan]) {
        for (index, plan) in self.listeners.iter().enumerate() {
            let fresh =
                counterpart(fresh, index, plan).and_then(|other| other.listener.tls.as_ref());
            if let (Some(tls), Some(fresh)) = (&plan.listener.tls, fresh) {
                tls.store(fresh.load_full());
            }
        }
    }
}

fn fingerprint(settings: &Settings) -> Option<String> {
    settings
        .ledger
        .as_ref()
        .map(|plan| plan.fingerprint.clone())
}

/// What was changed of the listeners and does not count before a restart.
fn needs_restart(running: &[ListenerPlan], fresh: &[ListenerPlan]) -> Vec<String> {
    let urls = |plans: &[ListenerPlan]| plans.iter().map(|plan| plan.url.to_string()).collect();
    let (open, written): (Vec<String>, Vec<String>) = (urls(running), urls(fresh));
    let mut found = Vec::new();
    if open != written {
        found.push(format!(
            "listeners have changed to {}, and the gate still listens at {}; restart to move them",
            written.join(", "),
            open.join(", ")
        ));
    }
    for (index, plan) in running.iter().enumerate() {
        let Some(other) = counterpart(fresh, index, plan) else {
            continue;
        };
        let (old, new) = (&plan.listener, &other.listener);
        let changed = [
            ("hosts", old.hosts != new.hosts),
            ("health_routes", old.health_routes != new.health_routes),
        ];
        for (key, _) in changed.into_iter().filter(|(_, differs)| *differs) {
            let url = &plan.url;
            found.push(format!(
                "`{key}` of listener {url} has changed, and the old one still counts; restart to change it"
            ));
        }
    }
    found
}

/// The listener among `fresh` that stands for the running one: of several with one URL, as port 0
/// allows, the one at its place.
fn counterpart<'a>(
    fresh: &'a [ListenerPlan],
    index: usize,
    running: &ListenerPlan,
) -> Option<&'a ListenerPlan> {
    let is_same = |plan: &&ListenerPlan| plan.url == running.url;
    let at_its_place = fresh.get(index).filter(is_same);
    at_its_place.or_else(|| fresh.iter().find(is_same))
}

/// Tells when one of some files has changed.
///
/// It looks at the files themselves, a few times a second: a few calls of `stat` cost nothing that
/// anybody notices, follow links as a mounted configuration has them, and see a change whatever
/// tool made it. A watch on their folders would wake for every line that is logged beside them.
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    seen: Fingerprints,
}

type Fingerprints = BTreeMap<PathBuf, Option<(Option<SystemTime>, u64, u64)>>;

impl Watch {
    /// Watches `files`.
    pub(crate) fn new(files: &[PathBuf]) -> Self {
        Self {
            seen: fingerprints(files),
            files: files.to_owned(),
        }
    }

    /// Waits until one of the files is another, and has rested. Cancel-safe: a change is noticed by
    /// the next call.
    pub(crate) async fn changed(&self) {
        let mut before = fingerprints(&self.files);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = fingerprints(&self.files);
            if now != self.seen && now == before {
                return;
            }
            before = now;
        }
    }

    /// Watches `files` from now on; those that it watched before have changed if they were changed
    /// since they were last seen.
    pub(crate) fn follow(&mut self, files: &[PathBuf]) {
        let seen = std::mem::take(&mut self.seen);
        *self = Self::new(files);
        for (file, print) in &mut self.seen {
            if let Some(before) = seen.get(file) {
                *print = *before;
            }
        }
    }

    /// Takes the files as they are now for seen.
    pub(crate) fn forgive(&mut self) {
        self.seen = fingerprints(&self.files);
    }
}

fn fingerprints(files: &[PathBuf]) -> Fingerprints {
    let each = files.iter().map(|file| {
        let metadata = std::fs::metadata(file).ok();
        let print =
            metadata.map(|metadata| (metadata.modified().ok(), metadata.len(), inode(&metadata)));
        (file.clone(), print)
    });
    each.collect()
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::open;

    fn listener(url: &str, hosts: &[&str], health_routes: bool) -> ListenerPlan {
        let url: crate::config::ListenUrl = url.parse().expect("a URL");
        let address = url.resolve().expect("an address");
        let hosts: Vec<Box<str>> = hosts.iter().map(|host| Box::from(*host)).collect();
        open(url, address, None, &hosts, health_routes)
    }

    #[test]
    fn what_a_reload_leaves_as_it_was_is_named() {
        let url = "ws://127.0.0.1:0";
        let running = [
            listener(url, &["a.example"], true),
            listener(url, &["b.example"], true),
        ];
        assert_eq!(needs_restart(&running, &running), Vec::<String>::new());
        let cases = [
            (
                listener(url, &["c.example"], true),
                "`hosts` of listener ws://127.0.0.1:0",
            ),
            (
                listener(url, &["b.example"], false),
                "`health_routes` of listener ws://127.0.0.1:0",
            ),
            (
                listener("ws://127.0.0.1:7701", &["b.example"], true),
                "listeners have changed to ws://127.0.0.1:0, ws://127.0.0.1:7701, and the gate still listens at ws://127.0.0.1:0, ws://127.0.0.1:0",
            ),
        ];
        for (second, told) in cases {
            let [first, _] = running.clone();
            let found = needs_restart(&running, &[first, second]);
            assert!(
                found.iter().any(|line| line.starts_with(told)),
                "{told}: {found:?}"
            );
            assert!(
                found.iter().all(|line| line.contains("restart")),
                "{found:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "one").expect("written");
        let mut watch = Watch::new(std::slice::from_ref(&file));
        let fresh = folder.path().join("fresh");
        std::fs::write(&fresh, "two").expect("written");
        std::fs::rename(&fresh, &file).expect("renamed");
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, watch.changed())
            .await
            .expect("seen");
        watch.forgive();
        let again = tokio::time::timeout(LOOK_EVERY * 4, watch.changed()).await;
        assert!(again.is_err(), "nothing has changed since");
    }
}
