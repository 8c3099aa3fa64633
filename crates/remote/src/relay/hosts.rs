//! What operators ask of hosts.

use super::exchange::{Board, Notice};
use super::{BookError, Device, Host, HostStatus, Inner, Listed, Page, Relay, Renamed};

impl Relay {
    /// Hosts by id, and how they stand; only those of `account`, when given. When a road does not end here,
    /// other gates are asked once for all hosts of the page, and have as long as the exchange gives them.
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
        Ok(Listed {
            items: self.statuses(listed.items).await,
            next: listed.next,
        })
    }

    /// The host with this id, and how it stands. Other gates are asked as for a [page](Self::list_hosts).
    ///
    /// # Errors
    ///
    /// [`BookError`]. Cancel-safe.
    pub async fn find_host(&self, id: &str) -> Result<Option<HostStatus>, BookError> {
        let found = self.0.book.find_host(id).await?;
        let found = self.statuses(found.into_iter().collect()).await;
        Ok(found.into_iter().next())
    }

    /// Whether there is a host with this id, revoked or not.
    ///
    /// # Errors
    ///
    /// [`BookError`]. Cancel-safe.
    pub async fn knows_host(&self, id: &str) -> Result<bool, BookError> {
        Ok(self.0.book.find_host(id).await?.is_some())
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

    async fn statuses(&self, hosts: Vec<Host>) -> Vec<HostStatus> {
        let relay = &*self.0;
        let is_sought = |host: &&Host| host.revoked_at.is_none() && !relay.has_road(&host.id);
        let sought = hosts.iter().filter(is_sought);
        let sought = sought.map(|host| host.id.clone()).collect();
        let elsewhere = relay.exchange.roads_elsewhere(relay.number, sought).await;
        let hosts = hosts.into_iter();
        hosts
            .map(|host| HostStatus {
                road: relay.roads.find(&host.id).map(|road| road.status()),
                is_elsewhere: elsewhere.contains(&host.id),
                last: relay.roads.last(&host.id),
                host,
            })
            .collect()
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
