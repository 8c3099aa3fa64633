//! Somebody logs out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ORIGIN, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use portcullis_boundary::Peer;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::policy::Origin;
use portcullis_ledger::Login;
use portcullis_verifiers::login::LoginCookie;

use super::answers;
use super::cookies;
use super::desk::{LoginDesk, ledger_failed};
use super::kept::belongings;
use super::plan::LoginPlan;

impl LoginDesk {
    pub(super) async fn log_out(
        &self,
        plans: &[Arc<LoginPlan>],
        request: &Request<Bytes>,
        peer: &Peer,
        now: Timestamp,
    ) -> Response<Bytes> {
        let headers = request.headers();
        if !plans.iter().any(|plan| is_by_own_page(plan, headers)) {
            let text = "This did not come from a page of this host.";
            return answers::sorry(StatusCode::FORBIDDEN, "Not logged out", text);
        }
        let mut gone = None;
        for name in names(plans) {
            let cookie = cookies::find(headers, name).and_then(LoginCookie::parse);
            if let Some(cookie) = cookie {
                match self.end(&cookie, "logged out", peer, now).await {
                    Ok(login) => gone = login.or(gone),
                    Err(error) => return ledger_failed(&error),
                }
            }
        }
        let to = goodbye(plans, gone.as_ref(), now).await;
        let mut response = answers::go(&to);
        for plan in plans {
            let over = plan.cookies().set(plan.cookie(), "", Duration::ZERO);
            response.headers_mut().append(SET_COOKIE, over);
        }
        response
    }
}

/// Whether a page of this host had the request sent. A browser says so, and script cannot.
fn is_by_own_page(plan: &LoginPlan, headers: &HeaderMap) -> bool {
    let one = |name| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        Some(
            values
                .next()
                .is_none()
                .then(|| first.to_str().ok())
                .flatten()
                .unwrap_or("-"),
        )
    };
    if let Some(site) = one(http::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let origin = one(ORIGIN).and_then(Origin::parse);
    origin.is_some() && origin == Origin::parse(plan.base())
}

/// The cookies of these, each once.
fn names(plans: &[Arc<LoginPlan>]) -> Vec<&'static str> {
    let mut names: Vec<_> = plans.iter().map(|plan| plan.cookie()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Where a browser goes that has logged out: to the provider, which is told too, or to a page that
/// says so.
async fn goodbye(plans: &[Arc<LoginPlan>], gone: Option<&Login>, now: Timestamp) -> String {
    let owner = gone.and_then(|login| {
        let (client_id, _) = belongings(login).ok()?;
        let is_its = |plan: &&Arc<LoginPlan>| {
            plan.provider().issuer() == &*login.issuer && plan.provider().client_id() == &*client_id
        };
        Some((login, plans.iter().find(is_its)?))
    });
    let here = "/.portcullis/logout/done";
    let Some((login, plan)) = owner else {
        return here.into();
    };
    let after = format!("{}{here}", plan.base());
    let there = plan
        .provider()
        .logout_url(login.id_token.as_deref(), &after, now);
    match there.await {
        Ok(there) => there.unwrap_or_else(|| here.into()),
        Err(error) => {
            let login = plan.name();
            tracing::warn!(target: "portcullis::login", login, %error, "the provider is not told of a logout");
            here.into()
        }
    }
}
