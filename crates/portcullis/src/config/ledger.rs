//! Where a gate keeps what must last, and how it tells others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_ledger::bus::{BusUrl, Topic};
use portcullis_ledger::{LedgerUrl, Retention};

use super::at::At;
use super::builder::Builder;
use super::file;
use super::problem::Problem;
use crate::secrets;

/// A ledger that is to be opened.
#[derive(Clone, Debug)]
pub(crate) struct LedgerPlan {
    /// Where it is.
    pub(crate) url: LedgerUrl,
    /// A folder that is made for it.
    pub(crate) folder: Option<PathBuf>,
    /// The digest of its URL, by which a reload notices another one.
    pub(crate) fingerprint: String,
    /// How long it keeps what does not count any more.
    pub(crate) retention: Retention,
    /// How long it may be silent before new arrivals are refused.
    pub(crate) max_stale: Duration,
}

impl LedgerPlan {
    /// The ledger in `folder`.
    ///
    /// # Errors
    ///
    /// Why the folder's name is in no URL.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, String> {
        let text = format!("sqlite:{}", folder.join("ledger.db").display());
        let url = LedgerUrl::parse(&text).map_err(|error| error.to_string())?;
        Ok(Self {
            url,
            folder: Some(folder.to_owned()),
            fingerprint: secrets::sha256_hex(&text),
            retention: Retention::default(),
            max_stale: MAX_STALE,
        })
    }
}

#[cfg(test)]
impl LedgerPlan {
    /// One that is forgotten with its test.
    pub(crate) fn in_memory() -> Self {
        Self {
            url: LedgerUrl::parse("sqlite::memory:").expect("a URL"),
            folder: None,
            fingerprint: String::new(),
            retention: Retention::default(),
            max_stale: MAX_STALE,
        }
    }
}

/// A bus that is to be opened.
#[derive(Clone, Debug)]
pub(crate) struct BusPlan {
    /// Where it is.
    pub(crate) url: BusUrl,
    /// The first words of its topics.
    pub(crate) prefix: String,
    /// The digest of its URL.
    pub(crate) fingerprint: String,
    /// Whether other gates listen too.
    pub(crate) is_shared: bool,
}

/// The bus within the process.
impl Default for BusPlan {
    fn default() -> Self {
        Self {
            url: BusUrl::parse(LOCAL).expect("`local:` is a bus's URL"),
            prefix: PREFIX.to_owned(),
            fingerprint: secrets::sha256_hex(LOCAL),
            is_shared: false,
        }
    }
}

/// The ledger of a file; one in `folder` where it is needed and nobody says where.
pub(super) fn build(
    builder: &mut Builder,
    written: Option<&At<file::Ledger>>,
    is_needed: bool,
    folder: Option<&Path>,
) -> Option<LedgerPlan> {
    if written.is_none() && !is_needed {
        return None;
    }
    let text = written.and_then(|at| {
        let (url, file) = (at.value.url.as_ref(), at.value.url_file.as_ref());
        one_url(builder, at, url, file)
    });
    let plan = match (text, folder) {
        (Some(text), _) => {
            let text = builder.sqlite_here(text);
            let url = LedgerUrl::parse(&text);
            // Without its place: the line would show a password.
            let url = url.map_err(|error| {
                let mend = "write \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST/DATABASE\"";
                builder.report(Problem::new(format!("`ledger.url`: {error}"), mend));
            });
            LedgerPlan {
                url: url.ok()?,
                folder: None,
                fingerprint: secrets::sha256_hex(&text),
                retention: Retention::default(),
                max_stale: MAX_STALE,
            }
        }
        (None, Some(folder)) => {
            let plan = LedgerPlan::in_folder(folder);
            let named = |what| builder.report(Problem::new(what, NAME_ONE));
            plan.map_err(named).ok()?
        }
        (None, None) => {
            let what = "there is no folder to keep a ledger in";
            builder.report(Problem::new(what, NAME_ONE));
            return None;
        }
    };
    match written {
        Some(at) => kept(builder, &at.value, plan),
        None => Some(plan),
    }
}

/// The plan with the file's times.
fn kept(builder: &mut Builder, file: &file::Ledger, plan: LedgerPlan) -> Option<LedgerPlan> {
    let default = Retention::default();
    let retention = Retention {
        audit: builder
            .some_time(file.keep_audit.as_ref())
            .unwrap_or(default.audit),
        keys: builder
            .some_time(file.keep_keys.as_ref())
            .unwrap_or(default.keys),
        withdrawn: builder
            .some_time(file.keep_withdrawn.as_ref())
            .unwrap_or(default.withdrawn),
        gates: default.gates,
    };
    let max_stale = builder.some_time(file.max_stale.as_ref());
    Some(LedgerPlan {
        retention,
        max_stale: max_stale.unwrap_or(MAX_STALE),
        ..plan
    })
}

/// The bus of a file.
pub(super) fn build_bus(
    builder: &mut Builder,
    written: Option<&At<file::Bus>>,
    ledger: Option<&At<file::Ledger>>,
) -> Option<BusPlan> {
    let Some(at) = written else {
        return Some(BusPlan::default());
    };
    let (url, file) = (at.value.url.as_ref(), at.value.url_file.as_ref());
    let text = one_url(builder, at, url, file).unwrap_or_else(|| LOCAL.to_owned());
    if text != LOCAL && ledger.is_none() {
        let what = "gates on one bus share a ledger, and none is named";
        let mend = "add `[ledger]` with the `url` of the PostgreSQL that they share";
        builder.report(Problem::new(what, mend).at(&at.span));
    }
    let prefix = at.value.prefix.as_ref();
    if let Some(prefix) = prefix {
        let read: Result<Topic, _> = prefix.value.parse();
        let mend = "write words of letters, digits, `-` and `_`, with dots between them";
        builder.take(read, prefix, mend)?;
    }
    let url = BusUrl::parse(&text).map_err(|error| {
        let mend = "write \"local:\" or \"nats://USER:PASSWORD@HOST:PORT\"";
        builder.report(Problem::new(format!("`bus.url`: {error}"), mend));
    });
    Some(BusPlan {
        url: url.ok()?,
        prefix: prefix.map_or_else(|| PREFIX.to_owned(), |at| at.value.clone()),
        fingerprint: secrets::sha256_hex(&text),
        is_shared: text != LOCAL,
    })
}

/// The URL that stands in the file, or in the file that it names.
fn one_url<T>(
    builder: &mut Builder,
    table: &At<T>,
    url: Option<&At<String>>,
    file: Option<&At<String>>,
) -> Option<String> {
    match (url, file) {
        (Some(url), Some(_)) => {
            let what = "there are two URLs here";
            let mend = "keep one of `url` and `url_file`";
            builder.report(Problem::new(what, mend).at(&table.span));
            Some(url.value.clone())
        }
        (Some(url), None) => Some(url.value.clone()),
        (None, Some(file)) => Some(builder.secret(file)?.expose().to_owned()),
        (None, None) => None,
    }
}

const NAME_ONE: &str =
    "add `[ledger]` with `url = \"sqlite:PATH\"`, or name a folder with `--state-dir`";

const LOCAL: &str = "local:";

const PREFIX: &str = "portcullis";

/// How long a ledger may be silent where nobody says so.
const MAX_STALE: Duration = Duration::from_secs(10);
