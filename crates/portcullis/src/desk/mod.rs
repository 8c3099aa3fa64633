//! What the program serves at `/.portcullis/`, beside what the gate answers by itself.

mod tickets;

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Identity, Peer, Refusal, SessionId};
use portcullis_gateway::{Desk, IssuedTicket, Later, NotRenewed, WantedTicket};

pub(crate) use self::tickets::{LedgerTickets, NotIssued};
use crate::assertion::Signer;
use crate::state::State;

const KEY_SET: &str = "/.portcullis/jwks.json";

/// The desk of this program. Its clones are the same.
#[derive(Clone)]
pub(crate) struct FrontDesk(Arc<Inner>);

struct Inner {
    tickets: LedgerTickets,
    signer: ArcSwapOption<Signer>,
    /// Who asks the other gates.
    state: OnceLock<Arc<State>>,
    /// Who serves what is served nowhere here.
    next: Option<Arc<dyn Desk>>,
}

impl FrontDesk {
    /// A desk that gives out `tickets`, and sends others to `next`.
    pub(crate) fn new(tickets: LedgerTickets, next: Option<Arc<dyn Desk>>) -> Self {
        Self(Arc::new(Inner {
            tickets,
            signer: ArcSwapOption::empty(),
            state: OnceLock::new(),
            next,
        }))
    }

    /// Asks other gates by `state` about sessions that are not here. Only the first time counts.
    pub(crate) fn asks(&self, state: Arc<State>) {
        // A program has one.
        let _: Result<(), Arc<State>> = self.0.state.set(state);
    }

    /// Shows the keys of `signer` from now on.
    pub(crate) fn show_keys_of(&self, signer: Option<Arc<Signer>>) {
        self.0.signer.store(signer);
    }

    fn key_set(&self) -> Option<Response<Bytes>> {
        let set = self.0.signer.load().as_ref()?.key_set();
        let mut response = Response::new(Bytes::from(set.to_string()));
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, "application/jwk-set+json"),
            (CACHE_CONTROL, "public, max-age=300"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }
}

impl Desk for FrontDesk {
    fn issue_ticket<'a>(
        &'a self,
        wanted: WantedTicket<'a>,
    ) -> Later<'a, Result<IssuedTicket, Refusal>> {
        Box::pin(async move { Ok(self.0.tickets.issue(wanted).await?) })
    }

    fn renew_elsewhere<'a>(
        &'a self,
        id: SessionId,
        by: &'a Identity,
        route: &'a str,
    ) -> Later<'a, Result<Option<Timestamp>, NotRenewed>> {
        match self.0.state.get() {
            Some(state) => Box::pin(state.renew_elsewhere(id, by, route)),
            None => Box::pin(async { Err(NotRenewed::Unknown) }),
        }
    }

    fn serve<'a>(&'a self, request: Request<Bytes>, peer: &'a Peer) -> Later<'a, Response<Bytes>> {
        if request.uri().path() == KEY_SET
            && *request.method() == Method::GET
            && let Some(response) = self.key_set()
        {
            return Box::pin(async { response });
        }
        match &self.0.next {
            Some(next) => next.serve(request, peer),
            None => Box::pin(async { nothing_here() }),
        }
    }
}

impl fmt::Debug for FrontDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDesk").finish_non_exhaustive()
    }
}

fn nothing_here() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
