//! Paths as people write them.

use std::path::{Path, PathBuf};

/// The path `text`, with `~/` at its beginning replaced by the home directory.
pub(crate) fn expand(text: &str) -> PathBuf {
    match text.strip_prefix("~/") {
        Some(rest) => home().map_or_else(|| PathBuf::from(text), |home| home.join(rest)),
        None => PathBuf::from(text),
    }
}

/// The path `text` of a file that stands in `folder`.
pub(crate) fn expand_in(folder: &Path, text: &str) -> PathBuf {
    folder.join(expand(text))
}

/// The home directory, where there is one.
pub(crate) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}
