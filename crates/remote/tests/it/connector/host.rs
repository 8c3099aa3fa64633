//! A connector that runs, and the credential that it reads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_client::connect::{Dialer, Tls};
use portcullis_remote::connector::{
    Connector, ConnectorConfig, ConnectorHandle, Credential, CredentialError, CredentialSource,
    EnrolmentStore, Host, MemoryEnrolments, Renewal, StartError, Startup, Status, Upstream,
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::backend::{Backend, DEADLINE};

/// A credential that tests change.
#[derive(Clone, Default)]
pub(crate) struct Vault(Arc<Inner>);

#[derive(Default)]
struct Inner {
    now: Mutex<Option<Read>>,
    changed: Notify,
    renewals: Mutex<Vec<Renewal>>,
    renewed: Mutex<u32>,
    read: Mutex<u32>,
}

type Read = Result<Credential, CredentialError>;

impl Vault {
    pub(crate) fn of(token: &str) -> Self {
        let vault = Self::default();
        vault.put_silently(Ok(credential(token)));
        vault
    }

    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// Puts another one in, and tells.
    pub(crate) fn put(&self, read: Read) {
        self.put_silently(read);
        self.0.changed.notify_one();
    }

    /// Puts another one in, which nobody is told of.
    pub(crate) fn put_silently(&self, read: Read) {
        *self.0.now.lock().expect("no panic") = Some(read);
    }

    /// What comes of the next renewal.
    pub(crate) fn renews(&self, renewal: Renewal) {
        self.0.renewals.lock().expect("no panic").push(renewal);
    }

    pub(crate) fn readings(&self) -> u32 {
        *self.0.read.lock().expect("no panic")
    }

    pub(crate) fn renewals(&self) -> u32 {
        *self.0.renewed.lock().expect("no panic")
    }
}

impl CredentialSource for Vault {
    async fn read(&self) -> Read {
        *self.0.read.lock().expect("no panic") += 1;
        let now = self.0.now.lock().expect("no panic").clone();
        now.unwrap_or(Err(CredentialError::Missing))
    }

    async fn changed(&self) {
        self.0.changed.notified().await;
    }

    async fn renew(&self, _refused: &Credential) -> Renewal {
        *self.0.renewed.lock().expect("no panic") += 1;
        let next = self.0.renewals.lock().expect("no panic").pop();
        next.unwrap_or(Renewal::Impossible)
    }
}

/// The way out of those who speak to this machine alone.
pub(crate) fn plain_dialer() -> Dialer {
    Dialer::new(Tls::none().expect("no authorities"))
}

pub(crate) fn credential(token: &str) -> Credential {
    Credential::bearer(token).of_account("acme")
}

/// A connector on its way.
pub(crate) struct Running {
    pub(crate) handle: ConnectorHandle,
    pub(crate) enrolments: MemoryEnrolments,
    ended: tokio::task::JoinHandle<Result<(), StartError>>,
}

/// What a test may change of a connector that it starts.
pub(crate) struct Setup {
    pub(crate) config: ConnectorConfig,
    pub(crate) enrolments: MemoryEnrolments,
    pub(crate) upstream: Upstream,
}

impl Setup {
    /// To `backend`, with waits so short that a test can have several.
    pub(crate) fn to(backend: &Backend) -> Self {
        let mut config =
            ConnectorConfig::new(backend.url(), Host::new("vm", "0aa3"), plain_dialer());
        config.startup = Startup::AllowRecoverable;
        config.times.first_backoff = Duration::from_millis(40);
        config.times.max_backoff = Duration::from_millis(200);
        Self {
            config,
            enrolments: MemoryEnrolments::new(),
            upstream: Upstream::parse("stdio:cat").expect("an upstream"),
        }
    }

    /// One that does not run yet.
    pub(crate) fn connector(self, vault: &Vault) -> (Connector, ConnectorHandle) {
        Connector::new(self.config, vault.clone(), self.enrolments, self.upstream)
    }

    pub(crate) fn start(self, vault: &Vault) -> Running {
        let enrolments = self.enrolments.clone();
        self.start_with(vault.clone(), enrolments)
    }

    pub(crate) fn start_with(
        self,
        credentials: impl CredentialSource,
        enrolments: impl EnrolmentStore,
    ) -> Running {
        let (connector, handle) =
            Connector::new(self.config, credentials, enrolments, self.upstream);
        Running {
            handle,
            enrolments: self.enrolments,
            ended: TaskTracker::new().spawn(connector.run()),
        }
    }
}

impl Running {
    /// Waits until its status is as asked.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.handle.watch();
        match tokio::time::timeout(DEADLINE, status.wait_for(|now| is(now))).await {
            Ok(status) => status.expect("it runs").clone(),
            Err(_) => panic!("never {what}: {:?}", self.handle.status()),
        }
    }

    pub(crate) async fn until_state(&self, state: &str) -> Status {
        self.until(state, |now| now.state == state).await
    }

    /// Waits for its end, which may not take longer than is promised.
    pub(crate) async fn ended(self) -> Result<(), StartError> {
        tokio::time::timeout(DEADLINE, self.ended)
            .await
            .expect("it ends")
            .expect("it does not panic")
    }
}
