//! What operators ask of hosts.

use super::exchange::Notice;
use super::{BookError, HostStatus, Listed, Page, Relay, Renamed};

impl Relay {
    /// Hosts by id, and how they stand here; only those of `account`, when given.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Cancel-safe.
    pub async fn list_hosts(
        &self,
        account: Option<&str>,
        page: Page,
    ) -> Result<Listed<HostStatus>, BookError> {
        let listed = self.0.book.list_hosts(account, page).await?;
        let status = |host: super::Host| HostStatus {
            road: self.0.roads.find(&host.id).map(|road| road.status()),
            last: self.0.roads.last(&host.id),
            host,
        };
        Ok(Listed {
            items: listed.items.into_iter().map(status).collect(),
            next: listed.next,
        })
    }

    /// Gives a host another name. Guests that are on their way keep theirs.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Not cancel-safe: it may have been renamed.
    pub async fn rename_host(&self, id: &str, name: &str) -> Result<Renamed, BookError> {
        self.0.book.rename_host(id, name).await
    }

    /// Takes a host back: its road is cut, its guests too, and its installation does not enrol again. The
    /// answer is whether there is such a host.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Not cancel-safe: it may be revoked while its road goes on.
    pub async fn revoke_host(&self, id: &str) -> Result<bool, BookError> {
        let now = self.0.clock.now();
        let is_there = self.0.book.revoke_host(id, now).await?;
        if is_there {
            self.0.tell(Notice::HostEnded { host: id.into() });
        }
        Ok(is_there)
    }

    /// Forgets a host: its road is cut, its guests too; it may enrol again. The answer is whether there was
    /// such a host.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Not cancel-safe: it may be forgotten while its road goes on.
    pub async fn remove_host(&self, id: &str) -> Result<bool, BookError> {
        let was_there = self.0.book.remove_host(id).await?;
        if was_there {
            self.0.tell(Notice::HostEnded { host: id.into() });
        }
        Ok(was_there)
    }
}
