//! A browser that comes back from the provider.

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderMap, Request, Response, StatusCode};
use portcullis_boundary::Peer;
use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{LedgerError, LoginState, SecretHash};
use portcullis_verifiers::login::{CallbackAnswer, LoggedIn, LoginCookie};

use super::answers;
use super::begin::{provider_failed, state_hash, too_many};
use super::cookies;
use super::desk::{LoginDesk, ledger_failed, parameter};
use super::plan::LoginPlan;
use super::revoker::LoginRecord;

impl LoginDesk {
    pub(super) async fn call_back(
        &self,
        plan: &LoginPlan,
        request: &Request<Bytes>,
        peer: &Peer,
        now: Timestamp,
    ) -> Response<Bytes> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let begun = match self.begun(plan, request.headers(), query, now).await {
            Ok(Some(begun)) => begun,
            Ok(None) => {
                // Strangers make the ledger remember something here, too.
                match self.knock("callback", peer, now).await {
                    Ok(Ok(())) => {}
                    Ok(Err(wait)) => return too_many(wait),
                    Err(error) => return ledger_failed(&error),
                }
                let login = plan.name();
                tracing::warn!(target: "portcullis::login", login, "a callback of no login that has begun");
                self.refused(plan, peer, "it did not begin in this browser");
                let text = "This login did not begin in this browser, or it took too long.";
                let (status, title) = (StatusCode::BAD_REQUEST, "Not logged in");
                return answers::again(status, title, text, &plan.path());
            }
            Err(error) => return ledger_failed(&error),
        };
        let Some(code) = parameter(query, "code") else {
            let error = parameter(query, "error").unwrap_or_default();
            let error: String = error.chars().take(64).collect();
            let login = plan.name();
            tracing::warn!(target: "portcullis::login", login, ?error, "the provider logs nobody in");
            self.refused(plan, peer, &format!("the provider says {error:?}"));
            let text = "Who knows you did not log you in.";
            let (status, title) = (StatusCode::FORBIDDEN, "Not logged in");
            return answers::again(status, title, text, &plan.path());
        };
        let issuer = parameter(query, "iss");
        let answer = CallbackAnswer {
            code: &code,
            issuer: issuer.as_deref(),
        };
        let verifier = String::from(begun.verifier).into();
        let finished = plan.provider().finish(answer, &begun.nonce, verifier, now);
        let who = match finished.await {
            Ok(who) => who,
            Err(error) => {
                self.refused(plan, peer, &error.to_string());
                return provider_failed(plan, &error);
            }
        };
        match self.welcome(plan, who, request.headers(), peer, now).await {
            Ok(cookie) => {
                let mut response = answers::go_on(&begun.return_path);
                let (name, life) = (plan.cookies().login(), plan.lifetime());
                let cookie = plan.cookies().set(name, &cookie.expose(), life);
                response.headers_mut().insert(SET_COOKIE, cookie);
                response
            }
            Err(error) => ledger_failed(&error),
        }
    }

    async fn begun(
        &self,
        plan: &LoginPlan,
        headers: &HeaderMap,
        query: &[u8],
        now: Timestamp,
    ) -> Result<Option<LoginState>, LedgerError> {
        let browser = cookies::find(headers, plan.cookies().browser());
        let Some((browser, state)) = browser.zip(parameter(query, "state")) else {
            return Ok(None);
        };
        let hash = state_hash(plan, &state, browser);
        self.ledger()?.take_login_state(hash, now).await
    }

    /// Gives out a cookie. The login that this browser had before has nobody left to end it, and so
    /// ends now.
    async fn welcome(
        &self,
        plan: &LoginPlan,
        who: LoggedIn,
        headers: &HeaderMap,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<LoginCookie, LedgerError> {
        let before = cookies::find(headers, plan.cookies().login());
        if let Some(before) = before.and_then(LoginCookie::parse) {
            self.end(&before, "logged in anew", peer, now).await?;
        }
        let cookie = LoginCookie::generate();
        let (subject, issuer) = (who.subject.clone(), who.issuer.clone());
        let id = self.logins().keep(plan, who, &cookie, now).await?;
        tracing::info!(target: "portcullis::login", login = plan.name(), %subject, credential_id = %id, "logged in");
        self.record(LoginRecord {
            outcome: "logged_in",
            subject: Some(&subject),
            issuer: Some(&issuer),
            credential_id: Some(&id),
            address: peer.address(),
            detail: plan.name(),
        });
        Ok(cookie)
    }

    fn refused(&self, plan: &LoginPlan, peer: &Peer, why: &str) {
        self.record(LoginRecord {
            outcome: "login_refused",
            subject: None,
            issuer: None,
            credential_id: None,
            address: peer.address(),
            detail: &format!("{}: {why}", plan.name()),
        });
    }

    /// Ends the login of a cookie, if there is one.
    pub(super) async fn end(
        &self,
        cookie: &LoginCookie,
        note: &str,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Option<portcullis_ledger::Login>, LedgerError> {
        let hash = SecretHash::from_bytes(cookie.sha256());
        let ledger = self.ledger()?;
        let Some(login) = ledger.find_login(hash, now).await? else {
            return Ok(None);
        };
        self.revoke(&login, note, peer.address(), now).await?;
        ledger.end_login(hash).await?;
        tracing::info!(target: "portcullis::login", subject = %login.subject, credential_id = %login.id, "{note}");
        Ok(Some(login))
    }
}
