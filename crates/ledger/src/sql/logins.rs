//! Logins, in SQL.

use portcullis_boundary::clock::Timestamp;

use crate::logins::{Login, LoginState, Logins, LogoutOf};
use crate::page::{Listed, Page};
use crate::secret::SecretHash;
use crate::sql::SqlLedger;
use crate::sql::select::Select;
use crate::sql::value::{Row, values};
use crate::tickets::TooMany;
use crate::{Answer, LedgerError, text};

impl Logins for SqlLedger {
    fn begin_login(
        &self,
        state: LoginState,
        most: u32,
        now: Timestamp,
    ) -> Answer<Result<(), TooMany>> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                state.check()?;
                db.lock(&["login states"]).await?;
                let sql = "SELECT COUNT(*) FROM login_states WHERE expires_at > $1";
                let row = db.row(sql, values![now]).await?;
                if row.map_or(Ok(0), |row| row.integer())? >= i64::from(most) {
                    return Ok(Err(TooMany));
                }
                let sql = "INSERT INTO login_states (hash, nonce, verifier, return_path, \
                           created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
                let values = values![
                    state.hash,
                    state.nonce,
                    state.verifier,
                    state.return_path,
                    state.created_at,
                    state.expires_at,
                ];
                db.change(sql, values).await?;
                Ok(Ok(()))
            })
        })
    }

    fn take_login_state(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<LoginState>> {
        self.desk.write(move |db| {
            Box::pin(async move {
                let sql = "DELETE FROM login_states WHERE hash = $1 RETURNING hash, nonce, \
                           verifier, return_path, created_at, expires_at";
                let Some(row) = db.row(sql, values![hash]).await? else {
                    return Ok(None);
                };
                let state = read_state(&row)?;
                Ok(Some(state).filter(|state| state.expires_at > now))
            })
        })
    }

    fn create_login(&self, login: Login) -> Answer<()> {
        self.desk.write(move |db| {
            Box::pin(async move {
                login.check()?;
                let sql = "INSERT INTO logins (hash, id, subject, issuer, sid, identity, \
                           id_token, created_at, expires_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
                let values = values![
                    login.hash,
                    login.id,
                    login.subject,
                    login.issuer,
                    login.sid,
                    login.identity,
                    login.id_token,
                    login.created_at,
                    login.expires_at,
                ];
                db.change(sql, values).await.map(drop)
            })
        })
    }

    fn find_login(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<Login>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                let sql = "SELECT hash, id, subject, issuer, sid, identity, id_token, created_at, \
                           expires_at FROM logins WHERE hash = $1 AND expires_at > $2";
                let row = db.row(sql, values![hash, now]).await?;
                row.as_ref().map(read).transpose()
            })
        })
    }

    fn extend_login(
        &self,
        hash: SecretHash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Answer<bool> {
        self.desk.write(move |db| {
            Box::pin(async move {
                let sql = "UPDATE logins SET expires_at = $2 WHERE hash = $1 AND expires_at > $3";
                let changed = db.change(sql, values![hash, expires_at, now]).await?;
                Ok(changed > 0)
            })
        })
    }

    fn end_login(&self, hash: SecretHash) -> Answer<Option<Login>> {
        self.desk.write(move |db| {
            Box::pin(async move {
                let sql = "DELETE FROM logins WHERE hash = $1 RETURNING hash, id, subject, \
                           issuer, sid, identity, id_token, created_at, expires_at";
                let row = db.row(sql, values![hash]).await?;
                row.as_ref().map(read).transpose()
            })
        })
    }

    fn end_logins(&self, of: LogoutOf) -> Answer<Vec<Login>> {
        self.desk.write(move |db| {
            Box::pin(async move {
                let (sql, issuer, name) = match of {
                    LogoutOf::Sid { issuer, sid } => (
                        "DELETE FROM logins WHERE hash IN (SELECT hash FROM logins \
                         WHERE issuer = $1 AND sid = $2 LIMIT 1000) RETURNING hash, id, subject, \
                         issuer, sid, identity, id_token, created_at, expires_at",
                        issuer,
                        sid,
                    ),
                    LogoutOf::Subject { issuer, subject } => (
                        "DELETE FROM logins WHERE hash IN (SELECT hash FROM logins \
                         WHERE issuer = $1 AND subject = $2 LIMIT 1000) RETURNING hash, id, \
                         subject, issuer, sid, identity, id_token, created_at, expires_at",
                        issuer,
                        subject,
                    ),
                };
                text::name("an issuer", &issuer)?;
                text::name("whose logins end", &name)?;
                let rows = db.rows(sql, values![issuer, name]).await?;
                rows.iter().map(read).collect()
            })
        })
    }

    fn list_logins(
        &self,
        subject: Option<&str>,
        page: Page,
        now: Timestamp,
    ) -> Answer<Listed<Login>> {
        let subject = subject.map(str::to_owned);
        self.desk.read(move |db| {
            Box::pin(async move {
                text::optional("a filter", subject.as_deref())?;
                let (sql, values) = Select::new(
                    "SELECT hash, id, subject, issuer, sid, identity, id_token, created_at, \
                     expires_at FROM logins",
                )
                .when("expires_at >", now)
                .when_some("subject =", subject)
                .when_some("id >", page.after_text()?)
                .page("id", &page);
                let rows = db.rows(sql, values).await?;
                let logins = rows.iter().map(read).collect::<Result<_, _>>()?;
                Ok(Listed::new(logins, &page, |login: &Login| {
                    login.id.to_string()
                }))
            })
        })
    }
}

fn read(row: &Row) -> Result<Login, LedgerError> {
    let mut columns = row.read();
    Ok(Login {
        hash: columns.hash()?,
        id: columns.text()?,
        subject: columns.text()?,
        issuer: columns.text()?,
        sid: columns.maybe_text()?,
        identity: columns.text()?,
        id_token: columns.maybe_text()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
    })
}

fn read_state(row: &Row) -> Result<LoginState, LedgerError> {
    let mut columns = row.read();
    Ok(LoginState {
        hash: columns.hash()?,
        nonce: columns.text()?,
        verifier: columns.text()?,
        return_path: columns.text()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
    })
}
