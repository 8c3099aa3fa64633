//! Sending a browser to the provider.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Request, Response, StatusCode};
use portcullis_boundary::Peer;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::Rate;
use portcullis_ledger::{LedgerError, LoginState, Secret, SecretHash, TooMany};
use portcullis_verifiers::login::{Begun, LoginError};
use secrecy::ExposeSecret;

use super::answers;
use super::cookies;
use super::desk::{LoginDesk, ledger_failed, parameter};
use super::plan::LoginPlan;
use super::return_path::ReturnPath;

impl LoginDesk {
    pub(super) async fn begin(
        &self,
        plan: &LoginPlan,
        request: &Request<Bytes>,
        peer: &Peer,
        now: Timestamp,
    ) -> Response<Bytes> {
        let asked = parameter(
            request.uri().query().unwrap_or_default().as_bytes(),
            "return",
        );
        let return_path = ReturnPath::new(asked.as_deref());
        match self.knock("login", peer, now).await {
            Ok(Ok(())) => {}
            Ok(Err(wait)) => return too_many(wait),
            Err(error) => return ledger_failed(&error),
        }
        let begun = match plan.provider().begin(now).await {
            Ok(begun) => begun,
            Err(error) => return provider_failed(plan, &error),
        };
        match self
            .remember(plan, request, &begun, &return_path, now)
            .await
        {
            Ok(Ok(browser)) => {
                let mut response = answers::go(&begun.url);
                let name = plan.cookies().browser();
                let cookie = plan.cookies().set(name, &browser, BROWSER_LIFE);
                response.headers_mut().insert(SET_COOKIE, cookie);
                response
            }
            Ok(Err(TooMany)) => too_many(STATE_LIFE),
            Err(error) => ledger_failed(&error),
        }
    }

    /// Strangers make the ledger remember something here: an address does not do it often.
    pub(super) async fn knock(
        &self,
        what: &str,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Result<(), Duration>, LedgerError> {
        let Some(address) = peer.address() else {
            return Ok(Ok(()));
        };
        let rate = Rate::new(MOST_IN_A_MINUTE, Duration::from_secs(60));
        let meter = format!("{what}:{}", network(address));
        self.ledger()?.take(&meter, rate, now).await
    }

    /// Remembers a login until the browser is back, and answers with the browser's own secret, which
    /// it keeps for several that it begins at once.
    async fn remember(
        &self,
        plan: &LoginPlan,
        request: &Request<Bytes>,
        begun: &Begun,
        return_path: &ReturnPath,
        now: Timestamp,
    ) -> Result<Result<String, TooMany>, LedgerError> {
        let known = cookies::find(request.headers(), plan.cookies().browser());
        let browser = match known.filter(|known| is_secret(known)) {
            Some(known) => known.to_owned(),
            None => Secret::generate()?.reveal().expose_secret().to_owned(),
        };
        let state = LoginState {
            hash: state_hash(plan, begun.state.expose_secret(), &browser),
            nonce: begun.nonce.clone(),
            verifier: begun.verifier.expose_secret().into(),
            return_path: return_path.as_str().into(),
            created_at: now,
            expires_at: now.after(STATE_LIFE),
        };
        let kept = self.ledger()?.begin_login(state, MOST_BEGUN, now).await?;
        Ok(kept.map(|()| browser))
    }
}

/// What is kept of a login that has begun: who finds it has its `state` and is the browser in which it
/// began, at the callback of its own provider.
pub(super) fn state_hash(plan: &LoginPlan, state: &str, browser: &str) -> SecretHash {
    // None of them has a line end.
    let whole = [plan.name(), state, browser].join("\n");
    SecretHash::of(whole.as_bytes())
}

/// What people are told when a login does not succeed, and what the log is.
pub(super) fn provider_failed(plan: &LoginPlan, error: &LoginError) -> Response<Bytes> {
    let login = plan.name();
    tracing::warn!(target: "portcullis::login", login, %error, "nobody was logged in");
    if error.is_unavailable() {
        let text = "Who knows you does not answer at the moment. Please try again in a minute.";
        return answers::again(StatusCode::BAD_GATEWAY, "Not now", text, &plan.path());
    }
    let text = "This login did not succeed.";
    answers::again(StatusCode::FORBIDDEN, "Not logged in", text, &plan.path())
}

pub(super) fn too_many(wait: Duration) -> Response<Bytes> {
    let text = "There are too many logins at the moment. Please try again later.";
    let mut response = answers::sorry(StatusCode::TOO_MANY_REQUESTS, "Not now", text);
    let seconds = wait.as_secs().max(1);
    response
        .headers_mut()
        .insert(http::header::RETRY_AFTER, seconds.into());
    response
}

fn is_secret(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok()
}

/// One customer of a provider has at least a /64 network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(network.into())
        }
    }
}

/// How long a person may take at the provider.
const STATE_LIFE: Duration = Duration::from_secs(600);

/// So that logins that begin one after the other are of the same browser.
const BROWSER_LIFE: Duration = Duration::from_secs(1200);

const MOST_BEGUN: u32 = 20_000;

const MOST_IN_A_MINUTE: NonZeroU32 = NonZeroU32::new(120).expect("it is not zero");
