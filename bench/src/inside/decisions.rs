//! What it costs to verify a credential, by its kind: CPU of this thread.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Credential, DynVerifier, Scopes};
use portcullis_ledger::{Key, Keys as _, LedgerUrl, SecretHash, Settings, SqlLedger};
use portcullis_verifiers::api_key::{ApiKeyToken, KeyLookup, StoredKey};
use portcullis_verifiers::jwks::{Issuer, KeySet, KeySource};
use portcullis_verifiers::{ApiKeys, Jwks, LookupUnavailable};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use super::keys::Signer;

const NOW: i64 = 1_800_000_000;

/// The microseconds of each kind of decision.
pub(super) fn measure(times: u32) -> Result<Vec<(String, f64)>> {
    let home = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let here = Builder::new_current_thread().enable_all().build()?;
    let mut costs = Vec::new();
    for signer in Signer::of_each_kind()? {
        let keys = KeySet::parse(signer.key_set()?.to_string().as_bytes())?;
        let source = KeySource::fixed(keys);
        let issuer = Issuer::new("https://issuer.example", ["gate"], source)?;
        let verifier: Arc<dyn DynVerifier> = Arc::new(Jwks::new("jwks", [issuer])?);
        let name = signer.algorithm();
        let few = times / 10;
        let tokens = (0..few)
            .map(|number| signer.token(&format!("user-{number}"), NOW + 600))
            .collect::<Result<Vec<_>>>()?;
        costs.push((
            format!("{name}, seen for the first time"),
            cost(&here, &verifier, &tokens, few)?,
        ));
        costs.push((
            format!("{name}, seen before"),
            cost(&here, &verifier, &tokens[..100], times)?,
        ));
    }
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let ledger = home.block_on(SqlLedger::open(
        LedgerUrl::parse(&url)?,
        Settings::default(),
        home.handle(),
    ))?;
    let token = home.block_on(make_key(&ledger))?;
    let tokens = [token];
    for (name, remember, times) in [
        (
            "API key in SQLite, looked up (and waiting for it)",
            Duration::ZERO,
            times / 10,
        ),
        (
            "API key in SQLite, remembered",
            Duration::from_secs(3600),
            times,
        ),
    ] {
        let keys = ApiKeys::new("keys", Found(ledger.clone())).remember_for(remember);
        let verifier: Arc<dyn DynVerifier> = Arc::new(keys);
        costs.push((name.to_owned(), cost(&here, &verifier, &tokens, times)?));
    }
    Ok(costs)
}

fn cost(
    here: &Runtime,
    verifier: &Arc<dyn DynVerifier>,
    tokens: &[String],
    times: u32,
) -> Result<f64> {
    let now = Timestamp::from_secs(NOW);
    let credentials: Vec<_> = tokens
        .iter()
        .map(|token| Credential::new(token.clone(), CarrierKind::Header))
        .collect();
    let before = clock_gettime(ClockId::ThreadCPUTime);
    let good = here.block_on(async {
        let mut good = 0;
        for credential in credentials.iter().cycle().take(times as usize) {
            good += u32::from(verifier.verify(credential, now).await.is_ok());
        }
        good
    });
    let after = clock_gettime(ClockId::ThreadCPUTime);
    ensure!(good == times, "a decision went wrong");
    let seconds = (after.tv_sec - before.tv_sec) as f64;
    let nanos = (after.tv_nsec - before.tv_nsec) as f64;
    Ok((seconds * 1e6 + nanos / 1e3) / f64::from(times))
}

/// The keys of a ledger.
struct Found(SqlLedger);

impl KeyLookup for Found {
    async fn find(&self, id: &str) -> Result<Option<StoredKey>, LookupUnavailable> {
        let away = LookupUnavailable {
            retry_after: Duration::from_secs(1),
        };
        let found = self.0.find_key(id).await.map_err(|_| away)?;
        Ok(found.map(|(key, _)| StoredKey {
            id: key.id,
            secret_sha256: *key.secret.as_bytes(),
            name: key.name,
            owner: key.owner,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked: key.revoked_at.is_some(),
            owner_scopes: None,
            owner_active: None,
        }))
    }
}

async fn make_key(ledger: &SqlLedger) -> Result<String> {
    let token = ApiKeyToken::generate();
    let key = Key {
        id: token.id().into(),
        secret: SecretHash::from_bytes(token.sha256()),
        name: "bench".into(),
        owner: "ada".into(),
        scopes: Scopes::default(),
        created_at: Timestamp::from_secs(NOW - 1),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    ledger.create_key(key).await?;
    Ok(token.expose())
}
