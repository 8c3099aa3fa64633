//! What operators ask of hosts.

use super::exchange::Notice;
use super::{BookError, Device, Host, HostStatus, Inner, Listed, Page, Relay, Renamed};

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
        let items = listed.items.into_iter();
        Ok(Listed {
            items: items.map(|host| self.status(host)).collect(),
            next: listed.next,
        })
    }

    /// The host with this id, and how it stands here.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Cancel-safe.
    pub async fn find_host(&self, id: &str) -> Result<Option<HostStatus>, BookError> {
        let found = self.0.book.find_host(id).await?;
        Ok(found.map(|host| self.status(host)))
    }

    /// The devices of a host by id.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Cancel-safe.
    pub async fn list_devices(&self, host: &str, page: Page) -> Result<Listed<Device>, BookError> {
        self.0.book.list_devices(host, page).await
    }

    /// Takes a device back: its guests are cut, and whoever it is must be paired again. The answer
    /// is whether there was such a device.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Not cancel-safe: it may be taken back while its guests go on.
    pub async fn remove_device(&self, host: &str, device: &str) -> Result<bool, BookError> {
        self.0.remove_device(host, device).await
    }

    /// Gives a host another name. Guests that are on their way keep theirs.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Not cancel-safe: it may have been renamed.
    pub async fn rename_host(&self, id: &str, name: &str) -> Result<Renamed, BookError> {
        self.0.book.rename_host(id, name).await
    }

    /// Takes a host back: its road is cut, its guests too, and its installation does not enrol
    /// again. The answer is whether there is such a host.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Not cancel-safe: it may be revoked while its road goes on.
    pub async fn revoke_host(&self, id: &str) -> Result<bool, BookError> {
        let now = self.0.clock.now();
        let is_there = self.0.book.revoke_host(id, now).await?;
        if is_there {
            tracing::info!(target: "portcullis::remote", host = id, "a host was revoked");
            self.0.tell(Notice::HostEnded { host: id.into() });
        }
        Ok(is_there)
    }

    /// Forgets a host: its road is cut, its guests too; it may enrol again. The answer is whether
    /// there was such a host.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Not cancel-safe: it may be forgotten while its road goes on.
    pub async fn remove_host(&self, id: &str) -> Result<bool, BookError> {
        let was_there = self.0.book.remove_host(id).await?;
        if was_there {
            tracing::info!(target: "portcullis::remote", host = id, "a host was removed");
            self.0.tell(Notice::HostEnded { host: id.into() });
        }
        Ok(was_there)
    }

    fn status(&self, host: Host) -> HostStatus {
        HostStatus {
            road: self.0.roads.find(&host.id).map(|road| road.status()),
            last: self.0.roads.last(&host.id),
            host,
        }
    }
}

impl Inner {
    /// Takes a device back, and ends its guests everywhere.
    pub(super) async fn remove_device(&self, host: &str, device: &str) -> Result<bool, BookError> {
        let was_there = self.book.remove_device(host, device).await?;
        if was_there {
            tracing::info!(target: "portcullis::remote", host, device, "a device was taken back");
            self.tell(Notice::DeviceEnded {
                host: host.into(),
                device: device.into(),
            });
        }
        Ok(was_there)
    }
}
