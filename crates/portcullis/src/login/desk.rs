//! Which page a request is for.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::revocation::Target;
use portcullis_boundary::{Identity, Peer, Refusal, RefusalKind, Revocation, SessionId};
use portcullis_gateway::{Desk, IssuedTicket, Later, NotRenewed, WantedTicket};
use portcullis_ledger::{Ledger, LedgerError, Login, NewRevocation};

use super::answers;
use super::kept::{LedgerLogins, belongings};
use super::plan::LoginPlan;
use super::revoker::{LoginRecord, Revoker};

/// Serves the pages of all logins.
pub(crate) struct LoginDesk {
    plans: ArcSwap<Vec<Arc<LoginPlan>>>,
    logins: LedgerLogins,
    revoker: Arc<dyn Revoker>,
}

impl LoginDesk {
    /// A desk for the logins that `logins` keeps. It has no plans yet.
    pub(crate) fn new(logins: LedgerLogins, revoker: Arc<dyn Revoker>) -> Self {
        Self {
            plans: ArcSwap::default(),
            logins,
            revoker,
        }
    }

    /// Serves these from now on. One that is what it was stays, with what it knows of its provider.
    pub(crate) fn set_plans(&self, plans: Vec<Arc<LoginPlan>>) {
        let known = self.plans.load();
        let settled = plans.into_iter().map(|plan| {
            let same = known.iter().find(|known| known.is_same_as(&plan));
            same.map(Arc::clone).unwrap_or(plan)
        });
        self.plans.store(Arc::new(settled.collect()));
    }

    /// Answers a request; none when its path is no page of a login.
    pub(super) async fn answer(
        &self,
        request: &Request<Bytes>,
        peer: &Peer,
        now: Timestamp,
    ) -> Option<Response<Bytes>> {
        let plans = self.plans.load_full();
        if plans.is_empty() {
            return None;
        }
        let path = request.uri().path().strip_prefix("/.portcullis/")?;
        let (is_get, is_post) = (
            request.method() == Method::GET,
            request.method() == Method::POST,
        );
        let mut parts = path.splitn(3, '/');
        let answer = match (parts.next()?, parts.next(), parts.next()) {
            ("login", None, None) if is_get => self.choose(&plans, request, peer, now).await,
            ("login", Some(name), page) => {
                let plan = plans.iter().find(|plan| plan.name() == name)?;
                match page {
                    None if is_get => self.begin(plan, request, peer, now).await,
                    Some("callback") if is_get => self.call_back(plan, request, peer, now).await,
                    Some("backchannel") if is_post => self.backchannel(plan, request, now).await,
                    None | Some("callback" | "backchannel") => answers::wrong_method(),
                    Some(_) => return None,
                }
            }
            ("logout", None, None) if is_get => answers::logout_button(),
            ("logout", None, None) if is_post => self.log_out(&plans, request, peer, now).await,
            ("logout", Some("done"), None) if is_get => {
                answers::done("Logged out", "You are logged out.")
            }
            ("login" | "logout", None, None) | ("logout", Some("done"), None) => {
                answers::wrong_method()
            }
            _ => return None,
        };
        Some(answer)
    }

    async fn choose(
        &self,
        plans: &[Arc<LoginPlan>],
        request: &Request<Bytes>,
        peer: &Peer,
        now: Timestamp,
    ) -> Response<Bytes> {
        if let [only] = plans {
            return self.begin(only, request, peer, now).await;
        }
        let query = request.uri().query();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let link =
            |plan: &Arc<LoginPlan>| (plan.name().to_owned(), format!("{}{query}", plan.path()));
        answers::choice(&plans.iter().map(link).collect::<Vec<_>>())
    }

    pub(super) const fn logins(&self) -> &LedgerLogins {
        &self.logins
    }

    pub(super) fn ledger(&self) -> Result<&Arc<dyn Ledger>, LedgerError> {
        self.logins.ledger()
    }

    /// Takes back what rests on a login: its cookie, and the sessions that are open. `address` is where
    /// the browser is, where one asked.
    pub(super) async fn revoke(
        &self,
        login: &Login,
        note: &str,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let (_, ends_at) = belongings(login)?;
        let target = Target::Credential(login.id.clone());
        let revocation = NewRevocation {
            revocation: Revocation::of(target),
            at: now,
            by: "login".into(),
            note: note.into(),
            until: Some(ends_at),
        };
        self.revoker.revoke(revocation).await?;
        self.record(LoginRecord {
            outcome: "logged_out",
            subject: Some(&login.subject),
            issuer: Some(&login.issuer),
            credential_id: Some(&login.id),
            address,
            detail: note,
        });
        Ok(())
    }

    pub(super) fn record(&self, record: LoginRecord<'_>) {
        self.revoker.record(record);
    }
}

impl Desk for LoginDesk {
    /// There are none here.
    fn issue_ticket<'a>(&'a self, _: WantedTicket<'a>) -> Later<'a, Result<IssuedTicket, Refusal>> {
        let refusal = Refusal::new(RefusalKind::ResourceUnknown);
        Box::pin(async { Err(refusal.because("there are no tickets")) })
    }

    /// It knows no sessions.
    fn renew_elsewhere<'a>(
        &'a self,
        _: SessionId,
        _: &'a Identity,
        _: &'a str,
    ) -> Later<'a, Result<Option<Timestamp>, NotRenewed>> {
        Box::pin(async { Err(NotRenewed::Unknown) })
    }

    fn serve<'a>(&'a self, request: Request<Bytes>, peer: &'a Peer) -> Later<'a, Response<Bytes>> {
        Box::pin(async move {
            let answer = self.answer(&request, peer, SystemClock::new().now()).await;
            answer.unwrap_or_else(answers::nothing)
        })
    }
}

impl fmt::Debug for LoginDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginDesk")
            .field("plans", &self.plans.load())
            .finish_non_exhaustive()
    }
}

/// What people are told when the ledger does not answer.
pub(super) fn ledger_failed(error: &LedgerError) -> Response<Bytes> {
    tracing::warn!(target: "portcullis::login", %error, "the ledger does not serve a login");
    answers::sorry(
        StatusCode::SERVICE_UNAVAILABLE,
        "Not now",
        "This cannot be done at the moment. Please try again in a minute.",
    )
}

/// The first value of a parameter; none when it stands twice.
pub(super) fn parameter(form: &[u8], name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(form)
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned());
    let first = values.next()?;
    values.next().is_none().then_some(first)
}
