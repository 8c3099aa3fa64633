//! The keys of an issuer, apart from the verifiers that use them.

use portcullis_boundary::clock::Timestamp;

use super::health::KeySetHealth;
use super::store::KeyStore;

/// The keys of one issuer. Clones, and the verifiers that they were taken from, are of the same keys:
/// what one of them fetches, all have.
#[derive(Clone, Debug)]
pub struct Keys(pub(super) KeyStore);

impl Keys {
    /// Fetches them if there are none that may be used, or if it is time. That it fails shows in
    /// [`Keys::health`]. Cancel-safe: the fetch goes on.
    pub async fn prefetch(&self, now: Timestamp) {
        self.0.prefetch(now).await;
    }

    /// How they are.
    #[must_use]
    pub fn health(&self, now: Timestamp) -> KeySetHealth {
        self.0.health(now)
    }
}
