//! What is handed to a statement, and what comes back.

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Scopes, SessionId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::error::LedgerError;
use crate::secret::SecretHash;

/// A value for a placeholder: one of the two types that the tables have, or none of it.
#[derive(Clone)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

/// The values for `$1`, `$2`, … in this order.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::sql::value::Value::from($value)),*]
    };
}
pub(crate) use values;

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

/// Counts beyond `i64::MAX` are kept as that.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).unwrap_or(i64::MAX).into()
    }
}

impl From<Option<u64>> for Value {
    fn from(value: Option<u64>) -> Self {
        Self::Integer(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        i64::from(value).into()
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        value.as_millis().into()
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Integer(value.map(Timestamp::as_millis))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Box<str>> for Value {
    fn from(value: Box<str>) -> Self {
        String::from(value).into()
    }
}

impl From<Option<Box<str>>> for Value {
    fn from(value: Option<Box<str>>) -> Self {
        Self::Text(value.map(String::from))
    }
}

impl From<&Scopes> for Value {
    fn from(value: &Scopes) -> Self {
        value.to_string().into()
    }
}

impl From<SecretHash> for Value {
    fn from(value: SecretHash) -> Self {
        value.to_text().into()
    }
}

impl From<Option<SecretHash>> for Value {
    fn from(value: Option<SecretHash>) -> Self {
        Self::Text(value.map(SecretHash::to_text))
    }
}

impl From<SessionId> for Value {
    fn from(value: SessionId) -> Self {
        value.to_string().into()
    }
}

/// A row of an answer.
pub(crate) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Row {
    /// Its columns, one after the other.
    pub(crate) const fn read(&self) -> Columns<'_> {
        Columns { row: self, next: 0 }
    }

    /// The integer of its only column.
    pub(crate) fn integer(&self) -> Result<i64, LedgerError> {
        self.read().integer()
    }
}

/// Reads a row's columns from the left to the right.
pub(crate) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl Columns<'_> {
    pub(crate) fn maybe_integer(&mut self) -> Result<Option<i64>, LedgerError> {
        let column = self.take();
        Ok(match self.row {
            Row::Postgres(row) => row.try_get(column)?,
            Row::Sqlite(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn maybe_text(&mut self) -> Result<Option<Box<str>>, LedgerError> {
        let column = self.take();
        let text: Option<String> = match self.row {
            Row::Postgres(row) => row.try_get(column)?,
            Row::Sqlite(row) => row.try_get(column)?,
        };
        Ok(text.map(String::into_boxed_str))
    }

    pub(crate) fn integer(&mut self) -> Result<i64, LedgerError> {
        let column = self.next;
        self.maybe_integer()?.ok_or_else(|| missing(column))
    }

    pub(crate) fn text(&mut self) -> Result<Box<str>, LedgerError> {
        let column = self.next;
        self.maybe_text()?.ok_or_else(|| missing(column))
    }

    /// A number that is never negative and fits into `N`.
    pub(crate) fn number<N: TryFrom<i64>>(&mut self) -> Result<N, LedgerError> {
        let column = self.next;
        N::try_from(self.integer()?).map_err(|_| missing(column))
    }

    pub(crate) fn maybe_number<N: TryFrom<i64>>(&mut self) -> Result<Option<N>, LedgerError> {
        let column = self.next;
        let number = |value| N::try_from(value).map_err(|_| missing(column));
        self.maybe_integer()?.map(number).transpose()
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, LedgerError> {
        Ok(Timestamp::from_millis(self.integer()?))
    }

    pub(crate) fn maybe_time(&mut self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.maybe_integer()?.map(Timestamp::from_millis))
    }

    pub(crate) fn scopes(&mut self) -> Result<Scopes, LedgerError> {
        Ok(Scopes::parse(&self.text()?))
    }

    pub(crate) fn hash(&mut self) -> Result<SecretHash, LedgerError> {
        SecretHash::from_text(&self.text()?)
    }

    pub(crate) fn maybe_hash(&mut self) -> Result<Option<SecretHash>, LedgerError> {
        let text = self.maybe_text()?;
        text.map(|text| SecretHash::from_text(&text)).transpose()
    }

    /// A text that something is parsed from.
    pub(crate) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, LedgerError> {
        let column = self.next;
        self.text()?.parse().map_err(|_| missing(column))
    }

    pub(crate) fn maybe_parsed<T: std::str::FromStr>(&mut self) -> Result<Option<T>, LedgerError> {
        let column = self.next;
        let parse = |text: Box<str>| text.parse().map_err(|_| missing(column));
        self.maybe_text()?.map(parse).transpose()
    }

    const fn take(&mut self) -> usize {
        let column = self.next;
        self.next += 1;
        column
    }
}

fn missing(column: usize) -> LedgerError {
    LedgerError::Corrupt(format!("column {column} of a row").into())
}
