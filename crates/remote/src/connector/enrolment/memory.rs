//! Enrolments that end with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Enrolment, EnrolmentKey, EnrolmentStore, EnrolmentStoreError};

/// Keeps enrolments as long as it lives: for tests, and for hosts that are new each time. Clones
/// share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryEnrolments(Arc<Mutex<HashMap<EnrolmentKey, Enrolment>>>);

impl MemoryEnrolments {
    /// Without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<EnrolmentKey, Enrolment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EnrolmentStore for MemoryEnrolments {
    async fn load(&self, key: &EnrolmentKey) -> Result<Option<Enrolment>, EnrolmentStoreError> {
        Ok(self.kept().get(key).cloned())
    }

    async fn save(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> Result<(), EnrolmentStoreError> {
        self.kept().insert(key.clone(), enrolment.clone());
        Ok(())
    }

    async fn clear(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> Result<(), EnrolmentStoreError> {
        let mut kept = self.kept();
        if kept.get(key) == Some(enrolment) {
            kept.remove(key);
        }
        Ok(())
    }
}
