//! Reading the settings again, on SIGHUP and when a file changes.
//!
//! New settings count as a whole or not at all: when something is wrong with them the old ones
//! stay, and the log says why.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use portcullis_gateway::Gate;

use crate::config::{Door, Settings};
use crate::first_run::FirstRun;
use crate::settings::{Source, explain_error};

/// How often the files are looked at, and how long they must rest: an editor writes more than once,
/// and a certificate has two files.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Reads settings again and gives them to the gate.
pub(crate) struct Reloader {
    source: Source,
    doors: Vec<Door>,
}

impl Reloader {
    /// Reads from `source`, for a gate with these listeners.
    pub(crate) const fn new(source: Source, doors: Vec<Door>) -> Self {
        Self { source, doors }
    }

    /// The first run, if this is one.
    pub(crate) const fn first_run(&self) -> Option<&FirstRun> {
        self.source.first_run()
    }

    /// Reloads, and says in the log how it went. Without new settings, the old ones stay.
    pub(crate) fn reload(&self, gate: &Gate) -> Option<Settings> {
        let settings = match self.source.load() {
            Ok(settings) => settings,
            Err(error) => {
                let why = explain_error(&error, false);
                let brief = format!("{error:#}");
                tracing::error!(target: "portcullis::reload", error = brief, "reload failed, the old settings stay\n{why}");
                return None;
            }
        };
        self.take_certificates(&settings.doors);
        let ended = gate.reload(settings.gate.clone());
        for warning in settings.gate.warnings.iter().chain(&settings.notes) {
            tracing::warn!(target: "portcullis", "{warning}");
        }
        let routes = settings.gate.routes.len();
        tracing::info!(target: "portcullis::reload", routes, sessions_ended = ended, "reloaded");
        Some(settings)
    }

    /// New certificates count for new connections. The addresses themselves stay until a restart.
    fn take_certificates(&self, fresh: &[Door]) {
        let urls = |doors: &[Door]| {
            doors
                .iter()
                .map(|door| door.url.clone())
                .collect::<Vec<_>>()
        };
        if urls(&self.doors) != urls(fresh) {
            tracing::warn!(target: "portcullis::reload", "listeners have changed, which a reload does not; restart to move them");
        }
        for door in &self.doors {
            let same = fresh.iter().find(|other| other.url == door.url);
            let fresh = same.and_then(|other| other.listener.tls.as_ref());
            if let (Some(tls), Some(fresh)) = (&door.listener.tls, fresh) {
                tls.store(fresh.load_full());
            }
        }
    }
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
