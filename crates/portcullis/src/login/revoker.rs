//! What a login has to do with the rest of the program: what rests on it is taken back, and what
//! became of it is recorded.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};

use portcullis_gateway::{Gate, Later};
use portcullis_ledger::{LedgerError, NewRevocation};

use crate::state::State;

/// Something that happened to a login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginRecord<'a> {
    /// `logged_in`, `logged_out`, or `login_refused`.
    pub(crate) outcome: &'static str,
    /// Whose login, where that is known.
    pub(crate) subject: Option<&'a str>,
    /// Who says so.
    pub(crate) issuer: Option<&'a str>,
    /// The public name of the login.
    pub(crate) credential_id: Option<&'a str>,
    /// Where the browser is, where one asked.
    pub(crate) address: Option<IpAddr>,
    /// For operators.
    pub(crate) detail: &'a str,
}

/// Takes credentials back, and records what happens to logins.
pub(crate) trait Revoker: Send + Sync {
    /// Keeps `revocation`, and ends the sessions that it covers, on every gate. When it cannot be kept,
    /// those of this gate end none the less.
    fn revoke(&self, revocation: NewRevocation) -> Later<'_, Result<(), LedgerError>>;

    /// Puts `record` into the audit log. It does not wait.
    fn record(&self, record: LoginRecord<'_>);
}

/// Revokes by a state and a gate that may not be there yet.
#[derive(Default)]
pub(crate) struct StateRevoker(OnceLock<(Arc<State>, Weak<Gate>)>);

impl StateRevoker {
    /// Says where both are. Only the first time counts.
    pub(crate) fn found(&self, state: &Arc<State>, gate: &Arc<Gate>) {
        let both = (Arc::clone(state), Arc::downgrade(gate));
        // A program has one of each.
        let _: Result<(), (Arc<State>, Weak<Gate>)> = self.0.set(both);
    }
}

impl Revoker for StateRevoker {
    fn revoke(&self, revocation: NewRevocation) -> Later<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let not_yet = || LedgerError::Unavailable("it is not open yet".into());
            let (state, gate) = self.0.get().ok_or_else(not_yet)?;
            let gate = gate.upgrade().ok_or_else(not_yet)?;
            let said = revocation.revocation.clone();
            let kept = state.revoke(&gate, revocation).await;
            if kept.is_err() {
                gate.revoke(&said);
            }
            kept.map(drop)
        })
    }

    fn record(&self, record: LoginRecord<'_>) {
        // Before there is a state nobody can log in.
        if let Some((state, _)) = self.0.get() {
            state.audit().login(&record);
        }
    }
}
