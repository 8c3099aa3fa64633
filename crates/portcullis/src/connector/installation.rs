//! Who this machine is to a relay, and the secret path of its door on loopback. Both stay the same from
//! one start to the next, in files that only their owner may read.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use portcullis_verifiers::secret_file::SecretFile;

use crate::secrets;

/// The name of this machine, as its users know it.
///
/// # Errors
///
/// That it has none which is text.
pub(super) fn machine_name() -> anyhow::Result<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().unwrap_or_default().trim();
    if name.is_empty() {
        bail!("this machine has no name; give the host one with `--name`");
    }
    Ok(name.to_owned())
}

/// The name of this installation: a random UUID, kept in `folder`.
///
/// # Errors
///
/// Why it cannot be read or made.
pub(super) fn id(folder: &Path) -> anyhow::Result<String> {
    let id = kept(folder, "installation_id", || {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(io::Error::other)?;
        Ok(uuid(u128::from_be_bytes(bits)))
    })?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.len() > 64 || !id.chars().all(is_plain) {
        let file = folder.join("installation_id");
        bail!(
            "{} holds no name of an installation; remove it",
            file.display()
        );
    }
    Ok(id)
}

/// The secret path, kept in `folder`.
///
/// # Errors
///
/// Why it cannot be read or made.
pub(super) fn secret_path(folder: &Path) -> anyhow::Result<String> {
    kept(folder, SECRET_PATH, secrets::random)
}

/// The file in `folder` that holds the secret path.
pub(super) fn secret_path_file(folder: &Path) -> PathBuf {
    folder.join(SECRET_PATH)
}

const SECRET_PATH: &str = "forward_path";

/// What stands in the file `name` of `folder`; what `make` gives where there is none yet.
fn kept(
    folder: &Path,
    name: &str,
    make: impl FnOnce() -> io::Result<String>,
) -> anyhow::Result<String> {
    let path = folder.join(name);
    let what = || {
        format!(
            "cannot keep state in {}; name another folder with --state-dir",
            folder.display()
        )
    };
    secrets::create_folder(folder).with_context(what)?;
    if !path.exists() {
        match secrets::create(&path, &make().with_context(what)?) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).with_context(what);
            }
            // Made, or made by another process at this moment.
            Ok(()) | Err(_) => {}
        }
    }
    Ok(SecretFile::read(path)?.expose().to_owned())
}

/// Random bits as a UUID of version 4 (RFC 9562, 5.4).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_installation_keeps_its_name_and_its_path_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let (first, path) = (
            id(&state).expect("made"),
            secret_path(&state).expect("made"),
        );
        assert_eq!(id(&state).expect("found"), first);
        assert_eq!(secret_path(&state).expect("found"), path);
        for name in ["installation_id", "forward_path"] {
            let file = std::fs::metadata(state.join(name)).expect("a file");
            assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_file_that_somebody_wrote_into_is_not_sent_as_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("installation_id"), "a b").expect("written");
        let error = id(folder.path()).expect_err("no name");
        assert!(error.to_string().ends_with("remove it"), "{error}");
    }

    #[test]
    fn random_bits_become_a_uuid_of_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
