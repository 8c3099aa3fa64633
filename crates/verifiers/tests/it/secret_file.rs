//! Secrets from files, with the app-server's own texts (1.3).

use std::fs;
use std::path::PathBuf;

use portcullis_verifiers::ConfigError;
use portcullis_verifiers::hmac_jwt::HmacSecret;
use portcullis_verifiers::secret_file::SecretFile;
use tempfile::TempDir;

use crate::support::SECRET;

#[test]
fn the_text_is_trimmed() {
    let (_dir, path) = file("\r\n  two words \n\n");
    let file = SecretFile::read(&path).unwrap();
    assert_eq!(file.expose(), "two words");
    assert_eq!(file.path(), path);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("absent");
    let expected = format!(
        "failed to read websocket auth secret {}: No such file or directory (os error 2)",
        path.display()
    );
    assert_eq!(error(&path).to_string(), expected);
}

#[test]
fn a_directory_is_no_file() {
    let dir = TempDir::new().unwrap();
    let text = error(&dir.path().to_owned()).to_string();
    assert!(text.starts_with("failed to read websocket auth secret "));
}

#[test]
fn a_blank_file_is_refused() {
    for blank in ["", " \n\t\r\n"] {
        let (_dir, path) = file(blank);
        let expected = format!("websocket auth secret {} must not be empty", path.display());
        assert_eq!(error(&path).to_string(), expected);
    }
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let (_dir, path) = file(b"\xff\xfe");
    let expected = format!(
        "failed to read websocket auth secret {}: stream did not contain valid UTF-8",
        path.display()
    );
    assert_eq!(error(&path).to_string(), expected);
}

#[test]
fn a_short_signing_secret_is_refused_after_trimming() {
    let (_dir, path) = file(format!("{}\n", "x".repeat(31)));
    let error = HmacSecret::from_file(&SecretFile::read(&path).unwrap()).unwrap_err();
    let expected = format!(
        "signed websocket bearer secret {} must be at least 32 bytes",
        path.display()
    );
    assert_eq!(error.to_string(), expected);

    let (_dir, path) = file(format!("{SECRET}\n"));
    let secret = HmacSecret::from_file(&SecretFile::read(path).unwrap()).unwrap();
    assert_eq!(secret.key_id(), HmacSecret::new(SECRET).unwrap().key_id());
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let (_dir, path) = file(SECRET);
    for (mode, warned) in [
        (0o600, false),
        (0o400, false),
        (0o700, false),
        (0o640, true),
        (0o604, true),
        (0o644, true),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let file = SecretFile::read(&path).unwrap();
        let shown = file
            .warning()
            .map(|warning| (warning.path(), warning.mode()));
        assert_eq!(shown, warned.then_some((&*path, mode)), "{mode:o}");
        if let Some(warning) = file.warning() {
            let mode = format!("(mode {mode:04o})");
            assert!(warning.to_string().ends_with(&mode), "{warning}");
        }
    }
}

#[test]
fn debug_shows_the_path_and_not_the_secret() {
    let (_dir, path) = file(SECRET);
    let shown = format!("{:?}", SecretFile::read(&path).unwrap());
    assert!(shown.contains("secret.txt") && !shown.contains(SECRET));
}

fn file(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("secret.txt");
    fs::write(&path, content).unwrap();
    (dir, path)
}

fn error(path: &PathBuf) -> ConfigError {
    SecretFile::read(path).unwrap_err()
}
