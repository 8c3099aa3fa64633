//! Pairings and devices, in SQL.

use portcullis_boundary::clock::Timestamp;

use super::rows::{COLUMNS_OF_DEVICE, read_device, values_of_device};
use crate::hosts::{Device, Pairing, PairingCode};
use crate::page::{Listed, Page};
use crate::secret::SecretHash;
use crate::sql::SqlLedger;
use crate::sql::select::Select;
use crate::sql::value::values;
use crate::tickets::TooMany;
use crate::{Answer, text};

impl SqlLedger {
    pub(super) fn start(
        &self,
        pairing: Pairing,
        most: u32,
        now: Timestamp,
    ) -> Answer<Result<(), TooMany>> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                text::name("a host's id", &pairing.host)?;
                db.lock(&[&format!("pairings of {}", pairing.host)]).await?;
                let sql = "SELECT COUNT(*) FROM pairings WHERE host = $1 AND expires_at > $2 \
                           AND claimed_at IS NULL";
                let row = db.row(sql, values![pairing.host.clone(), now]).await?;
                if row.map_or(Ok(0), |row| row.integer())? >= i64::from(most) {
                    return Ok(Err(TooMany));
                }
                let sql = "INSERT INTO pairings (code, manual_code, host, created_at, expires_at) \
                           VALUES ($1, $2, $3, $4, $5)";
                let values = values![
                    pairing.code,
                    pairing.manual_code,
                    pairing.host,
                    pairing.created_at,
                    pairing.expires_at,
                ];
                db.change(sql, values).await?;
                Ok(Ok(()))
            })
        })
    }

    pub(super) fn claimed(
        &self,
        host: String,
        code: PairingCode,
        now: Timestamp,
    ) -> Answer<Option<bool>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                let (condition, code) = by(code);
                let (sql, values) = Select::new("SELECT claimed_at FROM pairings")
                    .when(condition, code)
                    .when("host =", host)
                    .when("expires_at >", now)
                    .one();
                let row = db.row(sql, values).await?;
                let claimed_at = row.map(|row| row.read().maybe_time()).transpose()?;
                Ok(claimed_at.map(|at| at.is_some()))
            })
        })
    }

    pub(super) fn claim(
        &self,
        code: PairingCode,
        mut device: Device,
        now: Timestamp,
    ) -> Answer<Option<Device>> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                device.check()?;
                let (sql, code) = match code {
                    PairingCode::Long(code) => (CLAIM_LONG, code),
                    PairingCode::Manual(code) => (CLAIM_MANUAL, code),
                };
                let Some(row) = db.row(sql, values![code, now]).await? else {
                    return Ok(None);
                };
                device.host = row.read().text()?;
                let sql = "INSERT INTO devices (id, host, account, display_name, device_type, \
                           platform, os_version, device_model, app_version, paired_at, seen_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                           ON CONFLICT (host, account) DO UPDATE SET \
                           display_name = excluded.display_name, \
                           device_type = excluded.device_type, platform = excluded.platform, \
                           os_version = excluded.os_version, \
                           device_model = excluded.device_model, \
                           app_version = excluded.app_version \
                           RETURNING id, host, account, display_name, device_type, platform, \
                           os_version, device_model, app_version, paired_at, seen_at";
                let row = db.row(sql, values_of_device(device)).await?;
                row.as_ref().map(read_device).transpose()
            })
        })
    }

    pub(super) fn devices(
        &self,
        host: String,
        page: Page,
        is_descending: bool,
    ) -> Answer<Listed<Device>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                let select = Select::new(COLUMNS_OF_DEVICE).when("host =", host);
                let after = page.after_text()?;
                let (sql, values) = if is_descending {
                    select.when_some("id <", after).page("id DESC", &page)
                } else {
                    select.when_some("id >", after).page("id", &page)
                };
                let rows = db.rows(sql, values).await?;
                let devices = rows.iter().map(read_device).collect::<Result<_, _>>()?;
                Ok(Listed::new(devices, &page, |device: &Device| {
                    device.id.to_string()
                }))
            })
        })
    }

    pub(super) fn device(&self, host: String, account: String) -> Answer<Option<Device>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                text::optional("an account", Some(&account))?;
                let (sql, values) = Select::new(COLUMNS_OF_DEVICE)
                    .when("host =", host)
                    .when("account =", account)
                    .one();
                let row = db.row(sql, values).await?;
                row.as_ref().map(read_device).transpose()
            })
        })
    }
}

fn by(code: PairingCode) -> (&'static str, SecretHash) {
    match code {
        PairingCode::Long(code) => ("code =", code),
        PairingCode::Manual(code) => ("manual_code =", code),
    }
}

/// Claims at most one pairing. The statement takes the row, so that of two at once one finds it claimed.
const CLAIM_LONG: &str = "UPDATE pairings SET claimed_at = $2 WHERE code = $1 AND expires_at > $2 \
    AND claimed_at IS NULL RETURNING host";

/// Two live pairings with one such code are both claimed, for the same account, and it becomes a device of
/// one of the hosts: with 40 bits and a handful of codes at a time that does not happen.
const CLAIM_MANUAL: &str = "UPDATE pairings SET claimed_at = $2 WHERE manual_code = $1 \
    AND expires_at > $2 AND claimed_at IS NULL RETURNING host";
