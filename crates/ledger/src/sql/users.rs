//! Users, in SQL.

use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::sql::SqlLedger;
use crate::sql::select::Select;
use crate::sql::value::{Columns, values};
use crate::users::{User, Users};
use crate::{Answer, LedgerError, text};

impl Users for SqlLedger {
    fn put_user(&self, user: User) -> Answer<()> {
        self.desk.write(move |db| {
            Box::pin(async move {
                user.check()?;
                let sql = "INSERT INTO users (subject, is_active, scopes, created_at, updated_at) \
                           VALUES ($1, $2, $3, $4, $5) ON CONFLICT (subject) DO UPDATE SET \
                           is_active = excluded.is_active, scopes = excluded.scopes, \
                           updated_at = excluded.updated_at";
                let values = values![
                    user.subject,
                    user.is_active,
                    &user.scopes,
                    user.created_at,
                    user.updated_at,
                ];
                db.change(sql, values).await.map(drop)
            })
        })
    }

    fn find_user(&self, subject: &str) -> Answer<Option<User>> {
        let subject = subject.to_owned();
        self.desk.read(move |db| {
            Box::pin(async move {
                if text::name("a user's subject", &subject).is_err() {
                    return Ok(None);
                }
                let sql = "SELECT subject, is_active, scopes, created_at, updated_at FROM users \
                           WHERE subject = $1";
                match db.row(sql, values![subject]).await? {
                    Some(row) => read_if_any(&mut row.read()),
                    None => Ok(None),
                }
            })
        })
    }

    fn list_users(&self, page: Page) -> Answer<Listed<User>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                let (sql, values) = Select::new(
                    "SELECT subject, is_active, scopes, created_at, updated_at FROM users",
                )
                .when_some("subject >", page.after_text()?)
                .page("subject", &page);
                let rows = db.rows(sql, values).await?;
                let users = rows
                    .iter()
                    .filter_map(|row| read_if_any(&mut row.read()).transpose())
                    .collect::<Result<_, _>>()?;
                Ok(Listed::new(users, &page, |user: &User| {
                    user.subject.to_string()
                }))
            })
        })
    }

    fn set_user_active(&self, subject: &str, is_active: bool, now: Timestamp) -> Answer<bool> {
        let subject = subject.to_owned();
        self.desk.write(move |db| {
            Box::pin(async move {
                text::at_most("a user's subject", &subject, text::MAX_NAME)?;
                let sql = "UPDATE users SET is_active = $2, updated_at = $3 WHERE subject = $1";
                let changed = db.change(sql, values![subject, is_active, now]).await?;
                Ok(changed > 0)
            })
        })
    }

    fn remove_user(&self, subject: &str) -> Answer<bool> {
        let subject = subject.to_owned();
        self.desk.write(move |db| {
            Box::pin(async move {
                text::at_most("a user's subject", &subject, text::MAX_NAME)?;
                let sql = "DELETE FROM users WHERE subject = $1";
                Ok(db.change(sql, values![subject]).await? > 0)
            })
        })
    }
}

/// The user of the next five columns; none when they are empty, as of a join that found nothing.
pub(crate) fn read_if_any(columns: &mut Columns<'_>) -> Result<Option<User>, LedgerError> {
    let Some(subject) = columns.maybe_text()? else {
        return Ok(None);
    };
    Ok(Some(User {
        subject,
        is_active: columns.integer()? == 1,
        scopes: columns.scopes()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
    }))
}
