//! What the parts of a configuration are built with: the folder that paths are relative to, and a
//! list to which each adds what is wrong with it, so that one run tells all.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_boundary::limits::Rate;
use portcullis_verifiers::jwks::Keys;
use portcullis_verifiers::secret_file::SecretFile;
use portcullis_verifiers::{ConfigError, Outbound};

use super::at::At;
use super::outside::Outside;
use super::paths::expand_in;
use super::problem::Problem;
use super::values::{self, BadValue};
use crate::desk::LedgerTickets;
use crate::login::LedgerLogins;
use crate::state::LedgerKeys;

/// Collects what is wrong, which files were read, and what the operator should be warned of.
#[derive(Debug)]
pub(crate) struct Builder {
    folder: PathBuf,
    outside: Outside,
    /// The keys that a running gate has already.
    pub(crate) known: Vec<Keys>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) files: BTreeSet<PathBuf>,
    pub(crate) warnings: Vec<String>,
}

impl Builder {
    /// Paths are relative to `folder`; `known` are the keys that a running gate has already.
    pub(crate) fn new(folder: &Path, outside: &Outside, known: &[Keys]) -> Self {
        Self {
            folder: folder.to_owned(),
            outside: outside.clone(),
            known: known.to_owned(),
            problems: Vec::new(),
            files: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    /// The keys of the ledger, which may not be open yet.
    pub(crate) fn keys(&self) -> LedgerKeys {
        self.outside.keys().clone()
    }

    /// The tickets of the ledger, which may not be open yet.
    pub(crate) fn tickets(&self) -> LedgerTickets {
        self.outside.tickets().clone()
    }

    /// The logins of the ledger, which may not be open yet.
    pub(crate) fn logins(&self) -> LedgerLogins {
        self.outside.logins().clone()
    }

    /// Those outside of the gate.
    pub(super) const fn outside(&self) -> &Outside {
        &self.outside
    }

    /// Adds a problem.
    pub(crate) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The value of `result`; what is wrong with it is reported at `place`.
    pub(crate) fn take<V, T>(
        &mut self,
        result: Result<V, impl Display>,
        place: &At<T>,
        mend: &str,
    ) -> Option<V> {
        result
            .map_err(|error| self.report(Problem::new(error.to_string(), mend).at(&place.span)))
            .ok()
    }

    /// The path that `written` means; the file there is watched.
    pub(crate) fn path(&mut self, written: &At<String>) -> PathBuf {
        let path = expand_in(&self.folder, &written.value);
        self.files.insert(path.clone());
        path
    }

    /// The path that `written` means. The file there is not watched, and need not be there.
    pub(super) fn place(&self, written: &At<String>) -> PathBuf {
        expand_in(&self.folder, &written.value)
    }

    /// The URL of a SQLite with its path in the file's folder; any other as it is.
    pub(crate) fn sqlite_here(&self, url: String) -> String {
        match url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() && !path.starts_with(':') => {
                let path = path.strip_prefix("//").unwrap_or(path);
                format!("sqlite:{}", expand_in(&self.folder, path).display())
            }
            Some(_) | None => url,
        }
    }

    /// The secret in a file.
    pub(crate) fn secret(&mut self, written: &At<String>) -> Option<SecretFile> {
        let path = self.path(written);
        match SecretFile::read(path) {
            Ok(file) => {
                self.warn_of(&file);
                Some(file)
            }
            Err(error) => {
                self.refuse_secret(&error, written);
                None
            }
        }
    }

    /// The path of a secret that is read whenever it is needed, and so not watched. It must be there
    /// now.
    pub(crate) fn secret_for_later(&mut self, written: &At<String>) -> Option<PathBuf> {
        let path = expand_in(&self.folder, &written.value);
        match SecretFile::read(path.clone()) {
            Ok(file) => {
                self.warn_of(&file);
                Some(path)
            }
            Err(error) => {
                self.refuse_secret(&error, written);
                None
            }
        }
    }

    /// Asks others, for what stands at `place`.
    pub(crate) fn outbound<T>(&mut self, place: &At<T>) -> Option<Outbound> {
        let outbound = self.outside.outbound();
        let mend = "this has to do with the machine: are its certificate authorities installed?";
        self.take(outbound, place, mend)
    }

    /// The bytes of a file that is no secret.
    pub(crate) fn bytes(&mut self, written: &At<String>) -> Option<Vec<u8>> {
        let path = self.path(written);
        let read = std::fs::read(path);
        let read = read.map_err(|error| format!("cannot read `{}`: {error}", written.value));
        self.take(read, written, UNREADABLE)
    }

    /// Reports what a verifier says of the contents of a file.
    pub(crate) fn refuse_secret(&mut self, error: &ConfigError, written: &At<String>) {
        let (what, mend) = secret_problem(error, &written.value);
        self.report(Problem::new(what, mend).at(&written.span));
    }

    /// A duration.
    pub(crate) fn duration(&mut self, written: Option<&At<String>>) -> Option<Duration> {
        let written = written?;
        self.value(values::duration(&written.value), written)
    }

    /// A duration of more than nothing.
    pub(crate) fn some_time(&mut self, written: Option<&At<String>>) -> Option<Duration> {
        let time = self.duration(written)?;
        if time.is_zero() {
            let mend = "write a time of at least \"1ms\", or leave the key out";
            let place = written?;
            self.report(Problem::new("this time is zero", mend).at(&place.span));
            return None;
        }
        Some(time)
    }

    /// A number of at least one.
    pub(crate) fn count(&mut self, written: Option<&At<i64>>) -> Option<NonZeroU32> {
        let written = written?;
        self.value(values::count(written.value), written)
    }

    /// A rate.
    pub(crate) fn rate(
        &mut self,
        written: Option<&At<String>>,
        burst: Option<NonZeroU32>,
    ) -> Option<Rate> {
        let written = written?;
        self.value(values::rate(&written.value, burst), written)
    }

    /// The value that was read, or a report at its place.
    pub(crate) fn value<V, T>(&mut self, read: Result<V, BadValue>, place: &At<T>) -> Option<V> {
        read.map_err(|bad| self.report(Problem::new(bad.what, bad.mend).at(&place.span)))
            .ok()
    }

    fn warn_of(&mut self, file: &SecretFile) {
        self.warnings
            .extend(file.warning().map(|warning| warning.to_string()));
    }
}

/// What is wrong with a secret's file, in the words of a config file.
fn secret_problem(error: &ConfigError, written: &str) -> (String, &'static str) {
    match error {
        ConfigError::SecretFileUnreadable { reason, .. } => {
            (format!("cannot read `{written}`: {reason}"), UNREADABLE)
        }
        ConfigError::SecretFileEmpty { .. } => (
            format!("the file `{written}` is empty"),
            "put the secret into it; `portcullis token new --out FILE` makes one",
        ),
        ConfigError::SecretFileTooShort { .. } | ConfigError::SecretTooShort => (
            format!("the secret in `{written}` has less than 32 bytes"),
            "use at least 32 random bytes; `portcullis token new --out FILE` makes such a secret",
        ),
        ConfigError::LineMalformed { .. } => (
            format!("`{written}`: {error}"),
            "write one `name:token` in each line; blank lines and lines that begin with `#` are skipped",
        ),
        ConfigError::DuplicateName { .. } | ConfigError::DuplicateToken { .. } => (
            format!("`{written}`: {error}"),
            "give each token one name of its own",
        ),
        other => (
            format!("`{written}`: {other}"),
            "see `portcullis token --help` for how tokens are made",
        ),
    }
}

/// The mend for a file that cannot be read.
pub(crate) const UNREADABLE: &str = "a relative path begins at the config file's folder; check that the file is there and may be read";
