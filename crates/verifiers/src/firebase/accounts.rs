//! What became of an account.

use portcullis_boundary::clock::Timestamp;

use crate::error::LookupUnavailable;

/// An account, as far as its tokens depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who finds one says all of it"
)]
pub struct Account {
    /// Whether it may not be used.
    pub disabled: bool,
    /// Its tokens count when their `auth_time` is not before this: `validSince` of the Identity
    /// Toolkit, `tokensValidAfterTime` of the Admin SDK.
    pub valid_since: Option<Timestamp>,
}

/// Knows accounts.
///
/// # What a wrong answer does
///
/// - A disabled account that is found as an active one opens the door for as long as its token lives.
/// - "There is none" refuses as for a disabled one. When nobody can say, say [`LookupUnavailable`].
/// - One that never answers keeps its arrival waiting: it must end by itself.
pub trait AccountState: Send + Sync {
    /// The account of this subject. Must be cancel-safe: the future is dropped when the client goes.
    fn find(
        &self,
        subject: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Account>, LookupUnavailable>> + Send;

    /// Whether its answers change, so that live sessions must be asked about again; see
    /// [`Verifier::is_polled`](portcullis_boundary::Verifier::is_polled).
    fn is_polled(&self) -> bool {
        true
    }
}

/// Asks nobody: every account is good.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoAccountState;

impl AccountState for NoAccountState {
    async fn find(&self, _: &str, _: Timestamp) -> Result<Option<Account>, LookupUnavailable> {
        Ok(Some(Account {
            disabled: false,
            valid_since: None,
        }))
    }

    fn is_polled(&self) -> bool {
        false
    }
}
