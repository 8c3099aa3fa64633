//! API keys, in SQL.

use portcullis_boundary::clock::Timestamp;

use crate::keys::{Key, Keys};
use crate::page::{Listed, Page};
use crate::sql::SqlLedger;
use crate::sql::select::Select;
use crate::sql::users;
use crate::sql::value::{Columns, values};
use crate::users::User;
use crate::{Answer, LedgerError, text};

impl Keys for SqlLedger {
    fn create_key(&self, key: Key) -> Answer<()> {
        self.desk.write(move |db| {
            Box::pin(async move {
                key.check()?;
                let sql = "INSERT INTO keys (id, secret, name, owner, scopes, created_at, \
                           expires_at, revoked_at, last_used_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
                let values = values![
                    key.id,
                    key.secret,
                    key.name,
                    key.owner,
                    &key.scopes,
                    key.created_at,
                    key.expires_at,
                    key.revoked_at,
                    key.last_used_at,
                ];
                db.change(sql, values).await.map(drop)
            })
        })
    }

    fn find_key(&self, id: &str) -> Answer<Option<(Key, Option<User>)>> {
        let id = id.to_owned();
        self.desk.read(move |db| {
            Box::pin(async move {
                if text::name("a key's id", &id).is_err() {
                    return Ok(None);
                }
                let sql = "SELECT keys.id, secret, name, owner, keys.scopes, keys.created_at, \
                           expires_at, revoked_at, last_used_at, \
                           subject, is_active, users.scopes, users.created_at, updated_at \
                           FROM keys LEFT JOIN users ON users.subject = keys.owner \
                           WHERE keys.id = $1";
                let Some(row) = db.row(sql, values![id]).await? else {
                    return Ok(None);
                };
                let mut columns = row.read();
                Ok(Some((
                    read(&mut columns)?,
                    users::read_if_any(&mut columns)?,
                )))
            })
        })
    }

    fn list_keys(&self, owner: Option<&str>, page: Page) -> Answer<Listed<Key>> {
        let owner = owner.map(str::to_owned);
        self.desk.read(move |db| {
            Box::pin(async move {
                text::optional("a key's owner", owner.as_deref())?;
                let (sql, values) = Select::new(
                    "SELECT id, secret, name, owner, scopes, created_at, expires_at, revoked_at, \
                     last_used_at FROM keys",
                )
                .when_some("owner =", owner)
                .when_some("id >", page.after_text()?)
                .page("id", &page);
                let rows = db.rows(sql, values).await?;
                let keys = rows.iter().map(|row| read(&mut row.read()));
                let keys = keys.collect::<Result<_, _>>()?;
                Ok(Listed::new(keys, &page, |key: &Key| key.id.to_string()))
            })
        })
    }

    fn revoke_key(&self, id: &str, now: Timestamp) -> Answer<bool> {
        let id = id.to_owned();
        self.desk.write(move |db| {
            Box::pin(async move {
                text::at_most("a key's id", &id, text::MAX_NAME)?;
                let sql = "UPDATE keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1";
                Ok(db.change(sql, values![id, now]).await? > 0)
            })
        })
    }

    fn note_key_uses(&self, uses: Vec<(Box<str>, Timestamp)>) -> Answer<()> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                if uses.len() > 1000 {
                    return Err(LedgerError::invalid("a batch", "has over 1000 entries"));
                }
                for (id, at) in uses {
                    text::at_most("a key's id", &id, text::MAX_NAME)?;
                    let sql = "UPDATE keys SET last_used_at = $2 \
                               WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
                    db.change(sql, values![id, at]).await?;
                }
                Ok(())
            })
        })
    }
}

fn read(columns: &mut Columns<'_>) -> Result<Key, LedgerError> {
    Ok(Key {
        id: columns.text()?,
        secret: columns.hash()?,
        name: columns.text()?,
        owner: columns.text()?,
        scopes: columns.scopes()?,
        created_at: columns.time()?,
        expires_at: columns.maybe_time()?,
        revoked_at: columns.maybe_time()?,
        last_used_at: columns.maybe_time()?,
    })
}
