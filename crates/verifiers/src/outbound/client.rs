//! The client, and the runtime that its requests run on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, redirect};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::endpoint::Endpoint;
use crate::error::{AskError, ConfigError};

/// How many requests are under way at once, at most. What comes then is not asked.
pub const MOST_REQUESTS: usize = 512;

/// Asks others over HTTP/1.1, on a runtime of its own choice. Clones share connections and bounds.
#[derive(Clone)]
pub struct Outbound {
    client: Client,
    runtime: Handle,
    slots: Arc<Semaphore>,
}

impl Outbound {
    /// Asks on `runtime`, which must have timers and I/O enabled and be driven as long as verifiers
    /// that ask are in use. Certificates are judged as the operating system does.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Client`] when TLS cannot be set up.
    pub fn new(runtime: Handle) -> Result<Self, ConfigError> {
        let client = Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(MOST_IDLE_CONNECTIONS)
            .build()
            .map_err(|error| ConfigError::Client {
                reason: error.to_string().into(),
            })?;
        Ok(Self {
            client,
            runtime,
            slots: Arc::new(Semaphore::new(MOST_REQUESTS)),
        })
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn get(&self, endpoint: &Endpoint) -> RequestBuilder {
        self.client.get(endpoint.url().clone())
    }

    pub(crate) fn post(&self, endpoint: &Endpoint) -> RequestBuilder {
        self.client.post(endpoint.url().clone())
    }

    /// Sends `request` and reads the whole answer. Must be polled on [`Outbound::runtime`].
    pub(crate) async fn exchange(
        &self,
        request: RequestBuilder,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Answer, AskError> {
        let _slot = self.slots.try_acquire().map_err(|_| AskError::Busy)?;
        let exchange = async {
            let response = request.send().await.map_err(AskError::transport)?;
            Answer::read(response, max_bytes).await
        };
        tokio::time::timeout(timeout, exchange)
            .await
            .map_err(|_| AskError::Timeout)?
    }

    /// Runs `work` on [`Outbound::runtime`] for somebody who may be polled anywhere. Dropping it takes
    /// the work back.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, AskError>> + Send + 'static,
    ) -> Result<T, AskError> {
        let mut task = AbortOnDrop(self.runtime.spawn(work));
        (&mut task.0).await.unwrap_or(Err(AskError::Stopped))
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Short, so that a quiet gate has no sockets and timers but its own.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const MOST_IDLE_CONNECTIONS: usize = 8;
