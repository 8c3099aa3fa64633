//! Enrolments in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Enrolment, EnrolmentKey, EnrolmentStore, EnrolmentStoreError};

/// Keeps enrolments in one JSON file, which only its owner may read (mode 0600). A change is written
/// beside it and moved into its place, so that a crash leaves the old file or the new one.
///
/// It is meant for one process. Of two that share it, the one that writes last wins.
#[derive(Clone, Debug)]
pub struct FileEnrolments {
    path: Arc<Path>,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: EnrolmentKey,
    enrolment: Enrolment,
}

impl FileEnrolments {
    /// In the file at `path`, which need not be there yet; its directory must.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into().into(),
            changing: Arc::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) -> Result<(), EnrolmentStoreError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = read(&self.path)?;
        change(&mut entries);
        write(&self.path, &entries).map_err(EnrolmentStoreError::unwritten)
    }

    /// A disk may be slow: not on the thread that carries the road.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, EnrolmentStoreError> + Send + 'static,
    ) -> Result<T, EnrolmentStoreError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this))
            .await
            .unwrap_or_else(|stopped| Err(EnrolmentStoreError::unwritten(stopped)))
    }
}

impl EnrolmentStore for FileEnrolments {
    async fn load(&self, key: &EnrolmentKey) -> Result<Option<Enrolment>, EnrolmentStoreError> {
        let key = key.clone();
        self.blocking(move |this| {
            let found = read(&this.path)?.into_iter().find(|entry| entry.key == key);
            Ok(found.map(|entry| entry.enrolment))
        })
        .await
    }

    async fn save(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> Result<(), EnrolmentStoreError> {
        let (key, enrolment) = (key.clone(), enrolment.clone());
        self.blocking(move |this| {
            this.change(|entries| {
                entries.retain(|entry| entry.key != key);
                entries.push(Entry { key, enrolment });
            })
        })
        .await
    }

    async fn clear(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> Result<(), EnrolmentStoreError> {
        let (key, enrolment) = (key.clone(), enrolment.clone());
        self.blocking(move |this| {
            this.change(|entries| {
                entries.retain(|entry| entry.key != key || entry.enrolment != enrolment);
            })
        })
        .await
    }
}

fn read(path: &Path) -> Result<Vec<Entry>, EnrolmentStoreError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(EnrolmentStoreError::unread(error)),
    };
    serde_json::from_slice(&text).map_err(EnrolmentStoreError::unread)
}

fn write(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // What a crash left there may have any mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(entries)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn an_enrolment_outlives_its_store_and_only_its_owner_may_read_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("enrolments.json");
        let first = FileEnrolments::at(&path);
        assert_eq!(first.load(&key("a")).await, Ok(None));
        first.save(&key("a"), &enrolment("1")).await.unwrap();
        first.save(&key("b"), &enrolment("2")).await.unwrap();
        first.save(&key("a"), &enrolment("3")).await.unwrap();
        let second = FileEnrolments::at(&path);
        assert_eq!(second.load(&key("a")).await, Ok(Some(enrolment("3"))));
        assert_eq!(second.load(&key("b")).await, Ok(Some(enrolment("2"))));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn only_the_enrolment_that_is_named_is_forgotten() {
        let place = tempfile::tempdir().unwrap();
        let store = FileEnrolments::at(place.path().join("enrolments.json"));
        store.save(&key("a"), &enrolment("new")).await.unwrap();
        store.clear(&key("a"), &enrolment("old")).await.unwrap();
        assert_eq!(store.load(&key("a")).await, Ok(Some(enrolment("new"))));
        store.clear(&key("a"), &enrolment("new")).await.unwrap();
        assert_eq!(store.load(&key("a")).await, Ok(None));
    }

    #[tokio::test]
    async fn a_file_that_is_no_list_of_enrolments_is_neither_read_nor_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("enrolments.json");
        fs::write(&path, "{}").unwrap();
        let store = FileEnrolments::at(&path);
        assert!(store.load(&key("a")).await.is_err());
        assert!(store.save(&key("a"), &enrolment("1")).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
    }

    #[tokio::test]
    async fn what_a_crash_left_beside_the_file_does_not_matter() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("enrolments.json");
        fs::write(place.path().join("enrolments.json.new"), "half").unwrap();
        let store = FileEnrolments::at(&path);
        store.save(&key("a"), &enrolment("1")).await.unwrap();
        assert_eq!(store.load(&key("a")).await, Ok(Some(enrolment("1"))));
    }

    fn key(account: &str) -> EnrolmentKey {
        EnrolmentKey::new("https://relay.example/", account, "host")
    }

    fn enrolment(id: &str) -> Enrolment {
        Enrolment::new(id, format!("env-{id}"))
    }
}
