//! Where guests come in.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, HeaderMap, Request, Response};
use portcullis_boundary::close::CodeTable;
use portcullis_boundary::{Refusal, RefusalKind};
use tower_service::Service;

use super::{Account, RelayBody, Upgrade, reply};
use crate::relay::guest::{Guests, Start, drive};
use crate::relay::{BookError, Device, GuestStatus, Host, Inner, secret};
use crate::wire::Key;

/// Which account's host of a name is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be decided")]
pub enum Whose {
    /// The guest's own.
    Guests,
    /// This account's, whoever comes: the account itself, and those who were paired to the host.
    Accounts(Box<str>),
}

/// What the guests of one host ask: a WebSocket, and nothing else.
#[derive(Clone, Debug)]
pub struct GuestEnd {
    relay: Arc<Inner>,
    name: Arc<str>,
    whose: Whose,
    codes: CodeTable,
}

impl GuestEnd {
    pub(in crate::relay) fn new(relay: Arc<Inner>, name: Arc<str>, whose: Whose) -> Self {
        Self {
            codes: relay.settings.codes.clone(),
            relay,
            name,
            whose,
        }
    }

    /// Closes guests with these codes, in place of [`Settings::codes`](crate::relay::Settings::codes).
    #[must_use]
    pub fn with_codes(self, codes: CodeTable) -> Self {
        Self { codes, ..self }
    }

    async fn answer(self, headers: &HeaderMap, extensions: &Extensions) -> Response<RelayBody> {
        let response = match reply::switching(headers) {
            Ok(response) => response,
            Err(refused) => return refused,
        };
        let Some(account) = extensions.get::<Account>() else {
            return reply::internal("Account");
        };
        let Some(upgrade) = extensions.get::<Upgrade>().cloned() else {
            return reply::internal("Upgrade");
        };
        let (host, device) = match self.host(account).await {
            Ok(found) => found,
            Err(refusal) => return reply::refusal(refusal, &self.codes),
        };
        let (number, key) = match new_key() {
            Ok(new) => new,
            Err(error) => return reply::no_randomness(error),
        };
        let status = GuestStatus {
            host: host.id.clone(),
            account: account.as_str().into(),
            device: device.as_ref().map(|device| device.id.clone()),
            since: self.relay.clock.now(),
            client: (**key.client_id()).into(),
        };
        let ticket = Guests::enter(&self.relay, number, status);
        // Who took the host or the device back meanwhile did not see the guest, and now sees it or is seen.
        match self.host(account).await {
            Ok((again, _)) if again.id == host.id => {}
            Ok(_) => return reply::refusal(unknown(), &self.codes),
            Err(refusal) => return reply::refusal(refusal, &self.codes),
        }
        if let Some(device) = &device {
            self.note(device).await;
        }
        let start = Start {
            host: host.id,
            key,
            ticket,
            upgrade,
            codes: self.codes,
            relay: Arc::clone(&self.relay),
        };
        self.relay.tasks.spawn(Box::pin(drive(start)));
        response
    }

    /// The host, and the device by which the guest may reach it, unless it is the guest's own.
    async fn host(&self, guest: &Account) -> Result<(Host, Option<Device>), Refusal> {
        let owner = match &self.whose {
            Whose::Guests => guest.as_str(),
            Whose::Accounts(account) => account,
        };
        let book = &self.relay.book;
        let found = book.find_host_named(owner, &self.name).await;
        let host = found.map_err(|error| unavailable(&error))?;
        let host = host.filter(|host| host.revoked_at.is_none());
        let host = host.ok_or_else(|| {
            let why = format!("there is no host '{}' of '{owner}'", self.name);
            unknown().because(why)
        })?;
        if *host.account == *guest.as_str() {
            return Ok((host, None));
        }
        let device = book.find_device(&host.id, guest.as_str()).await;
        let device = device.map_err(|error| unavailable(&error))?;
        let device = device.ok_or_else(|| Refusal::new(RefusalKind::NotOwner))?;
        Ok((host, Some(device)))
    }

    /// Notes that a device was seen.
    async fn note(&self, device: &Device) {
        let now = self.relay.clock.now();
        if let Err(error) = self.relay.book.note_device(&device.id, now).await {
            tracing::warn!(target: "portcullis::remote", %error, "a device is not noted");
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(RefusalKind::ResourceUnknown)
}

fn unavailable(error: &BookError) -> Refusal {
    if let BookError::Invalid(why) = error {
        // There is no host of whom that could be said.
        return Refusal::new(RefusalKind::ResourceUnknown).because(why.to_string());
    }
    Refusal::new(RefusalKind::Overloaded).because(error.to_string())
}

/// A virtual client that is new to every host.
fn new_key() -> Result<(u128, Key), secret::NoRandomness> {
    let number = secret::number()?;
    let client = format!("cli_{number:032x}");
    let stream = secret::name("str_")?;
    let key = Key::new(client, stream).expect("short ids");
    Ok((number, key))
}

impl<B> Service<Request<B>> for GuestEnd
where
    B: Send + 'static,
{
    type Response = Response<RelayBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let end = self.clone();
        let (head, _) = request.into_parts();
        Box::pin(async move { Ok(end.answer(&head.headers, &head.extensions).await) })
    }
}
