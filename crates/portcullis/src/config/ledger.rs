//! Where a gate keeps what must last.

use std::path::{Path, PathBuf};

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
        })
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
        ..default
    };
    Some(LedgerPlan { retention, ..plan })
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
