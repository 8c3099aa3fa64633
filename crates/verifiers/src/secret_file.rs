//! Secrets from files.
//!
//! A file holds one secret as text, with white space around it that does not count. It is read once;
//! its memory is wiped when it is dropped. A path is taken as it is: what `~/` means is for the
//! program to say.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::error::ConfigError;

/// A file that was read, and the secret in it.
pub struct SecretFile {
    path: PathBuf,
    text: SecretString,
    warning: Option<Warning>,
}

impl SecretFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretFileUnreadable`] when it cannot be read or is not UTF-8, and
    /// [`ConfigError::SecretFileEmpty`] when it holds nothing but white space.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let path = path.into();
        let (text, mode) = match read_to_string(&path) {
            Ok(read) => read,
            Err(error) => {
                return Err(ConfigError::SecretFileUnreadable {
                    path,
                    reason: error.to_string().into(),
                });
            }
        };
        if text.expose_secret().trim().is_empty() {
            return Err(ConfigError::SecretFileEmpty { path });
        }
        let warning = mode
            .filter(|mode| mode & READABLE_BY_OTHERS != 0)
            .map(|mode| Warning {
                path: path.clone(),
                mode,
            });
        Ok(Self {
            path,
            text,
            warning,
        })
    }

    /// The text without the white space around it. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret().trim()
    }

    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the operator should be warned of.
    #[must_use]
    pub const fn warning(&self) -> Option<&Warning> {
        self.warning.as_ref()
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFile")
            .field("path", &self.path)
            .field("warning", &self.warning)
            .finish_non_exhaustive()
    }
}

/// A secret that others than the file's owner can read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("secret file {} is readable by others than its owner (mode {mode:04o})", path.display())]
pub struct Warning {
    path: PathBuf,
    mode: u32,
}

impl Warning {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its permission bits, such as `0o644`.
    #[must_use]
    pub const fn mode(&self) -> u32 {
        self.mode
    }
}

/// The text and, where files have them, the permission bits of one and the same open file.
fn read_to_string(path: &Path) -> io::Result<(SecretString, Option<u32>)> {
    let mut file = File::open(path)?;
    let mode = mode(&file)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text.into(), mode))
}

#[cfg(unix)]
fn mode(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;

    Ok(Some(file.metadata()?.permissions().mode() & 0o7777))
}

#[cfg(not(unix))]
fn mode(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

/// Group and world.
const READABLE_BY_OTHERS: u32 = 0o044;
