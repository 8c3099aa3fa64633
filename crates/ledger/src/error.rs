//! What a ledger or a bus cannot do, by blame.

/// Why there is no answer.
///
/// No variant holds a secret: neither a URL's password nor a value that was to be kept.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The operator's: the URL is none that is understood.
    #[error("not a ledger's URL: {0}")]
    BadUrl(&'static str),
    /// The caller's: something has that name already.
    #[error("there is one already")]
    Conflict,
    /// The ledger's: what it holds is nothing that this version writes.
    #[error("the ledger holds something that cannot be read: {0}")]
    Corrupt(Box<str>),
    /// The caller's: a value that cannot be kept.
    #[error("{field} {problem}")]
    Invalid {
        /// What was to be kept.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The caller's: a gate without a living lease opens no session.
    #[error("the gate's lease has ended; renew it first")]
    NoLease,
    /// The operator's: the tables cannot be brought to this version.
    #[error("the ledger's tables cannot be used: {0}")]
    Migration(Box<str>),
    /// The database's: no answer, or none in time. Whether a change was made is not known. Fail
    /// closed.
    #[error("the ledger is unavailable: {0}")]
    Unavailable(Box<str>),
}

impl LedgerError {
    pub(crate) fn unavailable(reason: impl Into<Box<str>>) -> Self {
        Self::Unavailable(reason.into())
    }

    pub(crate) const fn invalid(field: &'static str, problem: &'static str) -> Self {
        Self::Invalid { field, problem }
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Conflict,
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_) => Self::Corrupt(error.to_string().into()),
            // All others mean that the question was not answered, whatever the reason.
            _ => Self::unavailable(error.to_string()),
        }
    }
}
