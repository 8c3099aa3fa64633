//! The provider says that somebody has logged out there.

use bytes::Bytes;
use http::{Request, Response};
use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{LedgerError, Login, LogoutOf};
use portcullis_verifiers::login::LoggedOut;

use super::answers;
use super::desk::{LoginDesk, parameter};
use super::plan::LoginPlan;

impl LoginDesk {
    pub(super) async fn backchannel(
        &self,
        plan: &LoginPlan,
        request: &Request<Bytes>,
        now: Timestamp,
    ) -> Response<Bytes> {
        let login = plan.name();
        let Some(token) = parameter(request.body(), "logout_token") else {
            return answers::to_provider(Some("there is no logout_token"));
        };
        let notice = match plan.provider().read_logout(&token, now).await {
            Ok(notice) => notice,
            Err(error) => {
                tracing::warn!(target: "portcullis::login", login, %error, "a logout token is not taken");
                return answers::to_provider(Some("the logout_token is not taken"));
            }
        };
        match self.end_all(plan, notice.who(), now).await {
            Ok(count) => {
                tracing::info!(target: "portcullis::login", login, count, "logged out by the provider");
                answers::to_provider(None)
            }
            Err(error) => {
                plan.provider().give_back(&notice);
                tracing::error!(target: "portcullis::login", login, %error, "a logout by the provider failed");
                answers::to_provider(Some("the logout failed; try again"))
            }
        }
    }

    async fn end_all(
        &self,
        plan: &LoginPlan,
        who: &LoggedOut,
        now: Timestamp,
    ) -> Result<usize, LedgerError> {
        let issuer: Box<str> = plan.provider().issuer().into();
        let of = match who.clone() {
            LoggedOut::Sid(sid) => LogoutOf::Sid { issuer, sid },
            LoggedOut::Subject(subject) => LogoutOf::Subject { issuer, subject },
        };
        let mut count = 0;
        loop {
            let ended = self.ledger()?.end_logins(of.clone()).await?;
            if ended.is_empty() {
                return Ok(count);
            }
            count += ended.len();
            self.revoke_all(ended, now).await?;
        }
    }

    /// What could not be revoked is put back, so that the provider's next try finds it.
    async fn revoke_all(&self, ended: Vec<Login>, now: Timestamp) -> Result<(), LedgerError> {
        let mut failure = None;
        for login in ended {
            let note = "logged out by the provider";
            let Err(error) = self.revoke(&login, note, None, now).await else {
                continue;
            };
            failure = Some(error);
            let id = login.id.clone();
            if let Err(error) = self.ledger()?.create_login(login).await {
                tracing::error!(target: "portcullis::login", credential_id = %id, %error, "sessions of a login that has ended may live on other gates");
            }
        }
        failure.map_or(Ok(()), Err)
    }
}
