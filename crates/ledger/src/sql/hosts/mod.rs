//! Hosts, in SQL.

mod devices;
mod rows;

use portcullis_boundary::clock::Timestamp;

use self::rows::{COLUMNS_OF_HOST, read_host};
use crate::hosts::{Device, Host, HostChange, HostToken, Hosts, Pairing, PairingCode};
use crate::page::{Listed, Page};
use crate::secret::SecretHash;
use crate::sql::SqlLedger;
use crate::sql::select::Select;
use crate::sql::value::{Value, values};
use crate::tickets::TooMany;
use crate::{Answer, LedgerError, text};

impl Hosts for SqlLedger {
    fn add_host(&self, host: Host, most: u32) -> Answer<HostChange> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                host.check()?;
                db.lock(&[&format!("hosts of {}", host.account)]).await?;
                let sql = "SELECT COUNT(*), COALESCE(SUM(CASE WHEN name = $2 THEN 1 ELSE 0 END), 0) \
                           FROM hosts WHERE account = $1";
                let row = db.row(sql, values![host.account.clone(), host.name.clone()]);
                if let Some(row) = row.await? {
                    let mut columns = row.read();
                    let (count, named) = (columns.integer()?, columns.integer()?);
                    if named > 0 {
                        return Ok(HostChange::NameTaken);
                    }
                    if count >= i64::from(most) {
                        return Ok(HostChange::TooMany);
                    }
                }
                let sql = "INSERT INTO hosts (id, environment, account, name, installation, os, \
                           arch, version, token, token_expires_at, enrolled_at, seen_at, \
                           revoked_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
                db.change(sql, rows::values_of_host(host)).await?;
                Ok(HostChange::Done)
            })
        })
    }

    fn find_host(&self, id: &str) -> Answer<Option<Host>> {
        self.find_host_when("id =", id.into())
    }

    fn find_host_of_environment(&self, environment: &str) -> Answer<Option<Host>> {
        self.find_host_when("environment =", environment.into())
    }

    fn find_host_named(&self, account: &str, name: &str) -> Answer<Option<Host>> {
        let (account, name) = (account.to_owned(), name.to_owned());
        self.desk.read(move |db| {
            Box::pin(async move {
                text::optional("an account", Some(&account))?;
                text::optional("a name", Some(&name))?;
                let (sql, values) = Select::new(COLUMNS_OF_HOST)
                    .when("account =", account)
                    .when("name =", name)
                    .one();
                let row = db.row(sql, values).await?;
                row.as_ref().map(read_host).transpose()
            })
        })
    }

    fn find_host_by_token(&self, token: SecretHash) -> Answer<Option<Host>> {
        self.find_host_when("token =", token.into())
    }

    fn hosts_of(&self, account: &str) -> Answer<Vec<Host>> {
        let account = account.to_owned();
        self.desk.read(move |db| {
            Box::pin(async move {
                text::optional("an account", Some(&account))?;
                let all = Page::first(Page::MAX)?;
                let (sql, values) = Select::new(COLUMNS_OF_HOST)
                    .when("account =", account)
                    .page("name", &all);
                let rows = db.rows(sql, values).await?;
                let rows = rows.iter().take(usize::from(Page::MAX));
                rows.map(read_host).collect()
            })
        })
    }

    fn list_hosts(&self, account: Option<&str>, page: Page) -> Answer<Listed<Host>> {
        let account = account.map(str::to_owned);
        self.desk.read(move |db| {
            Box::pin(async move {
                text::optional("a filter", account.as_deref())?;
                let (sql, values) = Select::new(COLUMNS_OF_HOST)
                    .when_some("account =", account)
                    .when_some("id >", page.after_text()?)
                    .page("id", &page);
                let rows = db.rows(sql, values).await?;
                let hosts = rows.iter().map(read_host).collect::<Result<_, _>>()?;
                Ok(Listed::new(hosts, &page, |host: &Host| host.id.to_string()))
            })
        })
    }

    fn issue_host_token(&self, id: &str, token: HostToken) -> Answer<bool> {
        let id = id.to_owned();
        self.desk.write(move |db| {
            Box::pin(async move {
                text::optional("a host's id", Some(&id))?;
                let (os, arch, version) = match token.platform {
                    Some((os, arch, version)) => (Some(os), Some(arch), Some(version)),
                    None => (None, None, None),
                };
                for said in [&os, &arch, &version] {
                    text::optional("what a host says of itself", said.as_deref())?;
                }
                let sql = "UPDATE hosts SET token = $2, token_expires_at = $3, \
                           os = COALESCE($4, os), arch = COALESCE($5, arch), \
                           version = COALESCE($6, version) \
                           WHERE id = $1 AND revoked_at IS NULL";
                let values = values![id, token.hash, token.expires_at, os, arch, version];
                Ok(db.change(sql, values).await? > 0)
            })
        })
    }

    fn note_host(&self, id: &str, at: Timestamp) -> Answer<()> {
        let id = id.to_owned();
        self.desk.write(move |db| {
            Box::pin(async move {
                let sql = "UPDATE hosts SET seen_at = $2 \
                           WHERE id = $1 AND (seen_at IS NULL OR seen_at < $2)";
                db.change(sql, values![id, at]).await.map(drop)
            })
        })
    }

    fn rename_host(&self, id: &str, name: &str) -> Answer<HostChange> {
        let (id, name) = (id.to_owned(), name.to_owned());
        self.desk.write(move |db| {
            Box::pin(async move {
                text::name("a host's name", &name)?;
                let sql = "UPDATE hosts SET name = $2 WHERE id = $1";
                match db.change(sql, values![id, name]).await {
                    Ok(0) => Ok(HostChange::Unknown),
                    Ok(_) => Ok(HostChange::Done),
                    Err(LedgerError::Conflict) => Ok(HostChange::NameTaken),
                    Err(error) => Err(error),
                }
            })
        })
    }

    fn revoke_host(&self, id: &str, now: Timestamp) -> Answer<bool> {
        let id = id.to_owned();
        self.desk.transact(move |db| {
            Box::pin(async move {
                let sql = "UPDATE hosts SET token = NULL, token_expires_at = NULL, \
                           revoked_at = COALESCE(revoked_at, $2) WHERE id = $1";
                let changed = db.change(sql, values![id.clone(), now]).await?;
                let sql = "DELETE FROM pairings WHERE host = $1";
                db.change(sql, values![id]).await?;
                Ok(changed > 0)
            })
        })
    }

    fn remove_host(&self, id: &str) -> Answer<bool> {
        let id = id.to_owned();
        self.desk.transact(move |db| {
            Box::pin(async move {
                for sql in [
                    "DELETE FROM pairings WHERE host = $1",
                    "DELETE FROM devices WHERE host = $1",
                ] {
                    db.change(sql, values![id.clone()]).await?;
                }
                let sql = "DELETE FROM hosts WHERE id = $1";
                Ok(db.change(sql, values![id]).await? > 0)
            })
        })
    }

    fn start_pairing(
        &self,
        pairing: Pairing,
        most: u32,
        now: Timestamp,
    ) -> Answer<Result<(), TooMany>> {
        self.start(pairing, most, now)
    }

    fn is_claimed(&self, host: &str, code: PairingCode, now: Timestamp) -> Answer<Option<bool>> {
        self.claimed(host.to_owned(), code, now)
    }

    fn claim_pairing(
        &self,
        code: PairingCode,
        device: Device,
        now: Timestamp,
    ) -> Answer<Option<Device>> {
        self.claim(code, device, now)
    }

    fn list_devices(&self, host: &str, page: Page, is_descending: bool) -> Answer<Listed<Device>> {
        self.devices(host.to_owned(), page, is_descending)
    }

    fn find_device(&self, host: &str, account: &str) -> Answer<Option<Device>> {
        self.device(host.to_owned(), account.to_owned())
    }

    fn note_device(&self, id: &str, at: Timestamp) -> Answer<()> {
        let id = id.to_owned();
        self.desk.write(move |db| {
            Box::pin(async move {
                let sql = "UPDATE devices SET seen_at = $2 \
                           WHERE id = $1 AND (seen_at IS NULL OR seen_at < $2)";
                db.change(sql, values![id, at]).await.map(drop)
            })
        })
    }

    fn remove_device(&self, host: &str, id: &str) -> Answer<bool> {
        let (host, id) = (host.to_owned(), id.to_owned());
        self.desk.write(move |db| {
            Box::pin(async move {
                text::optional("a device's id", Some(&id))?;
                let sql = "DELETE FROM devices WHERE host = $1 AND id = $2";
                Ok(db.change(sql, values![host, id]).await? > 0)
            })
        })
    }
}

impl SqlLedger {
    fn find_host_when(&self, condition: &'static str, value: Value) -> Answer<Option<Host>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                if let Value::Text(text) = &value {
                    text::optional("a host's id", text.as_deref())?;
                }
                let (sql, values) = Select::new(COLUMNS_OF_HOST).when(condition, value).one();
                let row = db.row(sql, values).await?;
                row.as_ref().map(read_host).transpose()
            })
        })
    }
}
