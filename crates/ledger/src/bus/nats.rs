//! The bus over NATS.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Request, RequestErrorKind, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::bus::subscription::{LIMIT, Outlet, Reply, Signals};
use crate::bus::url::{Login, NatsPlace};
use crate::bus::{Answer, Bus, BusError, Health, MAX_PAYLOAD, Message, Subscription, Topic, check};

/// The most subscriptions.
const MAX_SUBSCRIPTIONS: usize = 10_000;

/// The most messages that wait within the client, of one subscription. Our own task takes them out.
const CLIENT_QUEUE: usize = 256;

/// A bus over NATS. It connects again by itself, and ends when dropped.
pub struct NatsBus {
    client: Client,
    prefix: Topic,
    runtime: Handle,
    tasks: TaskTracker,
    listeners: Arc<Listeners>,
    end: CancellationToken,
    _ends_with_us: DropGuard,
}

/// Whom to tell of what happens to the connection.
#[derive(Default)]
struct Listeners {
    signals: Mutex<Vec<Weak<Signals>>>,
    has_connected: Notify,
}

impl Listeners {
    fn each(&self, tell: impl Fn(&Signals)) {
        let mut signals = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        signals.retain(|signals| {
            signals.upgrade().is_some_and(|it| {
                tell(&it);
                true
            })
        });
    }

    fn add(&self, listener: &Arc<Signals>) -> Result<(), BusError> {
        let mut signals = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        if signals.len() >= MAX_SUBSCRIPTIONS {
            signals.retain(|signals| signals.strong_count() > 0);
            if signals.len() >= MAX_SUBSCRIPTIONS {
                return Err(BusError::TooMany);
            }
        }
        signals.push(Arc::downgrade(listener));
        Ok(())
    }
}

impl NatsBus {
    pub(crate) async fn connect(
        place: NatsPlace,
        prefix: Topic,
        runtime: &Handle,
    ) -> Result<Self, BusError> {
        let listeners = Arc::new(Listeners::default());
        let tasks = TaskTracker::new();
        let options = options(&place, &listeners).await?;
        // The client's own tasks begin where it is made.
        let connecting = tasks.spawn_on(
            async move { options.connect(&place.servers[..]).await },
            runtime,
        );
        let client = connecting
            .await
            .map_err(|_| BusError::unavailable(&"its runtime has ended"))?
            .map_err(|error| BusError::unavailable(&error))?;
        let end = CancellationToken::new();
        let keeper = keep(client.clone(), Arc::clone(&listeners));
        let ended = end.clone();
        tasks.spawn_on(
            async move { ended.run_until_cancelled(keeper).await },
            runtime,
        );
        Ok(Self {
            client,
            prefix,
            runtime: runtime.clone(),
            tasks,
            listeners,
            _ends_with_us: end.clone().drop_guard(),
            end,
        })
    }

    fn subject(&self, topic: &Topic) -> String {
        format!("{}.{topic}", self.prefix)
    }
}

impl Bus for NatsBus {
    fn publish(&self, topic: &Topic, payload: Bytes) -> Answer<()> {
        let (client, subject) = (self.client.clone(), self.subject(topic));
        Box::pin(async move {
            check(&payload)?;
            must_be_up(&client)?;
            match timeout(LIMIT, client.publish(subject, payload)).await {
                Ok(sent) => sent.map_err(|error| BusError::unavailable(&error)),
                Err(_) => Err(BusError::unavailable(&"it takes too long")),
            }
        })
    }

    fn subscribe(&self, topic: &Topic) -> Answer<Subscription> {
        let (client, subject) = (self.client.clone(), self.subject(topic));
        let (tasks, runtime) = (self.tasks.clone(), self.runtime.clone());
        let (listeners, end) = (Arc::clone(&self.listeners), self.end.clone());
        Box::pin(async move {
            let (outlet, subscription) = Outlet::new();
            listeners.add(outlet.signals())?;
            let subscribing = timeout(LIMIT, client.subscribe(subject));
            let subscriber = subscribing
                .await
                .map_err(|_| BusError::unavailable(&"it takes too long"))?
                .map_err(|error| BusError::unavailable(&error))?;
            let signals = Arc::clone(outlet.signals());
            let forwarding = forward(subscriber, outlet, client.clone());
            tasks.spawn_on(
                async move { end.run_until_cancelled(forwarding).await },
                &runtime,
            );
            if must_be_up(&client).is_err() || !confirm(&client).await {
                // It begins when there is a connection.
                signals.reconnected();
            }
            Ok(subscription)
        })
    }

    fn request(&self, topic: &Topic, payload: Bytes, limit: Duration) -> Answer<Bytes> {
        let (client, subject) = (self.client.clone(), self.subject(topic));
        Box::pin(async move {
            check(&payload)?;
            must_be_up(&client)?;
            let request = Request::new().payload(payload).timeout(Some(limit));
            // The client's limit begins when the request is on its way.
            let Ok(answer) = timeout(limit, client.send_request(subject, request)).await else {
                return Err(BusError::NoAnswer);
            };
            match answer {
                Ok(message) if message.payload.len() > MAX_PAYLOAD => Err(BusError::TooLong),
                Ok(message) => Ok(message.payload),
                Err(error) => Err(match error.kind() {
                    RequestErrorKind::TimedOut | RequestErrorKind::NoResponders => {
                        BusError::NoAnswer
                    }
                    RequestErrorKind::InvalidSubject
                    | RequestErrorKind::MaxPayloadExceeded
                    | RequestErrorKind::Other => BusError::unavailable(&error),
                }),
            }
        })
    }

    fn flush(&self) -> Answer<()> {
        let client = self.client.clone();
        Box::pin(async move {
            must_be_up(&client)?;
            match confirm(&client).await {
                true => Ok(()),
                false => Err(BusError::unavailable(&"it takes too long")),
            }
        })
    }

    fn health(&self) -> Health {
        match must_be_up(&self.client) {
            Ok(()) => Health::Up,
            Err(_) => Health::Down,
        }
    }
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBus").finish_non_exhaustive()
    }
}

/// Refuses at once what would wait for a connection: it would be told when it is not true any more.
fn must_be_up(client: &Client) -> Result<(), BusError> {
    match client.connection_state() {
        State::Connected => Ok(()),
        State::Pending | State::Disconnected => Err(BusError::unavailable(&"no connection")),
    }
}

async fn options(
    place: &NatsPlace,
    listeners: &Arc<Listeners>,
) -> Result<ConnectOptions, BusError> {
    let told = Arc::clone(listeners);
    let mut options = ConnectOptions::new()
        .name("portcullis")
        .retry_on_initial_connect()
        // Ours are sent to the servers that the operator named, and no others.
        .ignore_discovered_servers()
        .connection_timeout(Duration::from_secs(2))
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(delay)
        .subscription_capacity(CLIENT_QUEUE)
        .require_tls(place.needs_tls)
        .event_callback(move |event| {
            note(&told, &event);
            std::future::ready(())
        });
    if let Some(file) = &place.authorities {
        options = options.add_root_certificates(file.clone());
    }
    match &place.login {
        Login::Nothing => Ok(options),
        Login::Token(token) => Ok(options.token(token.expose_secret().to_owned())),
        Login::Password { user, password } => {
            let password = password.expose_secret().to_owned();
            Ok(options.user_and_password(user.clone(), password))
        }
        Login::File(file) => options
            .credentials_file(file)
            .await
            .map_err(|_| BusError::unavailable(&"its file of credentials cannot be read")),
    }
}

/// Doubles from 50 ms to 3.2 s.
fn delay(attempts: usize) -> Duration {
    Duration::from_millis(50) * (1 << attempts.min(6))
}

fn note(listeners: &Listeners, event: &Event) {
    match event {
        Event::Connected => listeners.has_connected.notify_one(),
        Event::SlowConsumer(_) => listeners.each(Signals::lagged),
        Event::Disconnected
        | Event::LameDuckMode
        | Event::Draining
        | Event::Closed
        | Event::ServerError(_)
        | Event::ClientError(_) => tracing::warn!(%event, "bus"),
    }
}

/// Tells the listeners of each new connection, once the server has their subscriptions again: who
/// looks in the ledger then misses nothing.
async fn keep(client: Client, listeners: Arc<Listeners>) {
    loop {
        listeners.has_connected.notified().await;
        while must_be_up(&client).is_ok() {
            if confirm(&client).await {
                tracing::info!("the bus is connected");
                break;
            }
        }
        listeners.each(Signals::reconnected);
    }
}

/// Whether the server has everything that was sent to it before: a message to ourselves has come
/// back.
async fn confirm(client: &Client) -> bool {
    let round = async {
        let inbox = client.new_inbox();
        let mut echo = client.subscribe(inbox.clone()).await.ok()?;
        client.publish(inbox, Bytes::new()).await.ok()?;
        echo.next().await
    };
    matches!(timeout(LIMIT, round).await, Ok(Some(_)))
}

async fn forward(mut subscriber: Subscriber, outlet: Outlet, client: Client) {
    loop {
        let message = tokio::select! {
            message = subscriber.next() => message,
            () = outlet.closed() => None,
        };
        let Some(message) = message else { return };
        if message.payload.len() > MAX_PAYLOAD {
            // None of ours.
            outlet.signals().lagged();
            continue;
        }
        let reply = message
            .reply
            .map(|subject| Reply::Nats(Box::new((client.clone(), subject))));
        outlet.offer(Message::new(message.payload, reply));
    }
}
