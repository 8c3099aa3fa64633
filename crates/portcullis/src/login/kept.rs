//! Logins in the ledger.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_boundary::Scopes;
use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{Ledger, LedgerError, Login, SecretHash};
use portcullis_verifiers::LookupUnavailable;
use portcullis_verifiers::login::{LoggedIn, LoginCookie, LoginLookup, StoredLogin};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::plan::LoginPlan;

/// The logins of a ledger that may not be open yet. Its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct LedgerLogins(Arc<OnceLock<Arc<dyn Ledger>>>);

/// What a ledger keeps of a login without looking into it.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    client_id: Box<str>,
    scopes: String,
    claims: Map<String, Value>,
    /// In milliseconds.
    ends_at: i64,
    /// For how long a use lets it live, in seconds; none for as long as it may.
    idle: Option<u64>,
}

impl LedgerLogins {
    /// Says where the ledger is. Only the first time counts.
    pub(crate) fn found(&self, ledger: Arc<dyn Ledger>) {
        // A program opens one ledger.
        let _: Result<(), Arc<dyn Ledger>> = self.0.set(ledger);
    }

    pub(super) fn ledger(&self) -> Result<&Arc<dyn Ledger>, LedgerError> {
        let not_yet = || LedgerError::Unavailable("it is not open yet".into());
        self.0.get().ok_or_else(not_yet)
    }

    /// Keeps who has logged in, and answers with the public name of the login.
    pub(super) async fn keep(
        &self,
        plan: &LoginPlan,
        who: LoggedIn,
        cookie: &LoginCookie,
        now: Timestamp,
    ) -> Result<Box<str>, LedgerError> {
        let ends_at = now.after(plan.lifetime());
        let idle = plan.idle();
        let mut kept = Kept {
            client_id: plan.provider().client_id().into(),
            scopes: who.scopes.to_string(),
            claims: who.claims,
            ends_at: ends_at.as_millis(),
            idle: idle.map(|idle| idle.as_secs()),
        };
        for of_the_token in ["nonce", "at_hash", "c_hash", "s_hash", "jti"] {
            kept.claims.remove(of_the_token);
        }
        let mut identity = write(&kept)?;
        if identity.len() > MOST_BYTES {
            let login = plan.name();
            tracing::warn!(target: "portcullis::login", login, "the claims are too many to be kept");
            kept.claims = Map::new();
            identity = write(&kept)?;
        }
        let id = name_of(cookie);
        let id_token = who.id_token.expose_secret();
        let login = Login {
            hash: SecretHash::from_bytes(cookie.sha256()),
            id: id.clone(),
            subject: who.subject,
            issuer: who.issuer,
            sid: who.sid,
            identity,
            id_token: (id_token.len() <= MOST_BYTES).then(|| id_token.into()),
            created_at: now,
            expires_at: idle.map_or(ends_at, |idle| now.after(idle).min(ends_at)),
        };
        self.ledger()?.create_login(login).await?;
        Ok(id)
    }

    async fn look_up(
        &self,
        hash: SecretHash,
        now: Timestamp,
    ) -> Result<Option<StoredLogin>, LedgerError> {
        let ledger = self.ledger()?;
        let Some(login) = ledger.find_login(hash, now).await? else {
            return Ok(None);
        };
        let (kept, ends_at) = read(&login)?;
        let mut expires_at = login.expires_at;
        if let Some(idle) = kept.idle.map(Duration::from_secs) {
            let renewed = now.after(idle).min(ends_at);
            // Not at each use: once for each quarter of the time that it may be idle.
            let is_due = renewed.since(expires_at) > idle / 4;
            if is_due && ledger.extend_login(hash, renewed, now).await? {
                expires_at = renewed;
            }
        }
        Ok(Some(StoredLogin {
            id: login.id,
            subject: login.subject,
            issuer: login.issuer,
            client_id: kept.client_id,
            scopes: Scopes::parse(&kept.scopes),
            claims: kept.claims,
            created_at: login.created_at,
            expires_at,
            ends_at,
        }))
    }
}

impl LoginLookup for LedgerLogins {
    async fn find(
        &self,
        cookie_sha256: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<StoredLogin>, LookupUnavailable> {
        let found = self.look_up(SecretHash::from_bytes(cookie_sha256), now);
        found.await.map_err(|error| {
            tracing::warn!(target: "portcullis::ledger", %error, "a login cannot be looked up");
            LookupUnavailable {
                retry_after: RETRY_AFTER,
            }
        })
    }
}

impl fmt::Debug for LedgerLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerLogins").finish_non_exhaustive()
    }
}

/// Whose client a login is of, and until when sessions may rest on it.
pub(super) fn belongings(login: &Login) -> Result<(Box<str>, Timestamp), LedgerError> {
    let (kept, ends_at) = read(login)?;
    Ok((kept.client_id, ends_at))
}

fn read(login: &Login) -> Result<(Kept, Timestamp), LedgerError> {
    let kept: Kept = serde_json::from_str(&login.identity)
        .map_err(|error| LedgerError::Corrupt(format!("a login: {error}").into()))?;
    let ends_at = Timestamp::from_millis(kept.ends_at);
    Ok((kept, ends_at))
}

fn write(kept: &Kept) -> Result<Box<str>, LedgerError> {
    serde_json::to_string(kept)
        .map(Into::into)
        .map_err(|error| LedgerError::Corrupt(format!("a login: {error}").into()))
}

/// A public name that only its cookie leads to, and that leads to no cookie.
fn name_of(cookie: &LoginCookie) -> Box<str> {
    let digest = SecretHash::of(&cookie.sha256());
    let hex = digest.as_bytes().iter().take(16);
    let hex: String = hex.map(|byte| format!("{byte:02x}")).collect();
    format!("login-{hex}").into()
}

/// What a ledger takes for an identity, and for an ID token.
const MOST_BYTES: usize = 8192;

const RETRY_AFTER: Duration = Duration::from_secs(1);
