//! Whom a gate asks and tells, beyond its configuration: a reload does not change them.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::session::End;
use portcullis_boundary::{Credential, DynAuthority, Identity, Peer, Refusal, SessionId};

use crate::trace::Tracer;

/// Whom a gate asks and tells.
#[derive(Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "each is optional")]
pub struct Services {
    /// Answers rules 6 to 8 where they need more than the gate itself knows.
    pub authority: Option<Arc<dyn DynAuthority>>,
    /// Answers at `/.portcullis/`.
    pub desk: Option<Arc<dyn Desk>>,
    /// Is told what happened.
    pub observer: Option<Arc<dyn Observer>>,
    /// Follows arrivals.
    pub tracer: Option<Arc<dyn Tracer>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// An answer that may take a while. Dropping it is safe.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who serves people and their clients at `/.portcullis/`, beyond what a gate answers by itself.
pub trait Desk: Send + Sync {
    /// Issues a ticket to an identity that was admitted by the route's policy. The gate has decided;
    /// the desk writes it down.
    fn issue_ticket<'a>(
        &'a self,
        wanted: WantedTicket<'a>,
    ) -> Later<'a, Result<IssuedTicket, Refusal>>;

    /// Renews the session `id`, which is not on this gate, by an identity that was admitted at `route`.
    fn renew_elsewhere<'a>(
        &'a self,
        id: SessionId,
        by: &'a Identity,
        route: &'a str,
    ) -> Later<'a, Result<Option<Timestamp>, NotRenewed>>;

    /// Serves a request for any other path under `/.portcullis/`; 404 where there is nothing. Nothing
    /// was decided about it but its host.
    fn serve<'a>(&'a self, request: Request<Bytes>, peer: &'a Peer) -> Later<'a, Response<Bytes>>;
}

/// For whom and for what a ticket is wanted.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the gate")]
pub struct WantedTicket<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// The name of the route.
    pub route: &'a str,
    /// The page that asks, when a page does.
    pub origin: Option<&'a str>,
}

/// A ticket that was issued.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "told to the client as it is")]
pub struct IssuedTicket {
    /// The ticket.
    pub ticket: Credential,
    /// The name that the session will have.
    pub session: SessionId,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// Why a session is not renewed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "each is told to the client")]
pub enum NotRenewed {
    /// There is no such session.
    #[error("there is no such session")]
    Unknown,
    /// The credential is somebody else's.
    #[error("the credential is of another subject")]
    OtherSubject,
    /// The credential has scopes that the session does not have.
    #[error("the credential has more scopes than the session")]
    WiderScopes,
    /// Nobody can say.
    #[error("the session's gate does not answer")]
    Unavailable,
}

/// Who is told what happened. It must not block: the gate's own threads call it.
pub trait Observer: Send + Sync {
    /// Something was decided.
    fn decided(&self, decided: &Decided<'_>);

    /// A session ended.
    fn ended(&self, ended: &SessionEnd<'_>);
}

/// A decision.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the gate")]
pub struct Decided<'a> {
    /// The name of the route, or `-`.
    pub route: &'a str,
    /// `http` or `websocket`.
    pub protocol: &'static str,
    /// The path, without its query.
    pub path: &'a str,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// Who it is, as far as that is known.
    pub identity: Option<&'a Identity>,
    /// The carrier of its credential.
    pub carrier: Option<CarrierKind>,
    /// Why it was refused; none when it was admitted.
    pub refusal: Option<&'a Refusal>,
    /// The status that it was told.
    pub status: Option<u16>,
    /// The close code that it was told.
    pub close_code: Option<u16>,
}

/// A session that has ended.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the gate")]
pub struct SessionEnd<'a> {
    /// Its name.
    pub id: SessionId,
    /// The name of the route.
    pub route: &'a str,
    /// Who it was.
    pub identity: &'a Identity,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// Why it ended.
    pub end: End,
    /// The close code that the client was told, or told.
    pub code: Option<u16>,
    /// How long it lived.
    pub lived: Duration,
    /// Bytes from the client, and from the upstream.
    pub bytes: [u64; 2],
    /// Messages from the client, and from the upstream.
    pub messages: [u64; 2],
}

/// A live session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveSession {
    /// Its name.
    pub id: SessionId,
    /// The name of the route.
    pub route: Arc<str>,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The carrier of its credential.
    pub carrier: Option<CarrierKind>,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// When it opened.
    pub opened_at: Timestamp,
}

/// Which live sessions are meant; an empty filter means all.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct LiveFilter {
    /// Those of this subject.
    pub subject: Option<String>,
    /// Those of this route.
    pub route: Option<String>,
}

impl LiveFilter {
    /// Whether it means `session`.
    #[must_use]
    pub fn means(&self, session: &LiveSession) -> bool {
        let subject = self.subject.as_deref();
        let route = self.route.as_deref();
        subject.is_none_or(|subject| subject == session.identity.subject())
            && route.is_none_or(|route| route == &*session.route)
    }
}
