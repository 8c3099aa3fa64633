//! A gate in process, a token source that a test scripts, and servers that it plays by hand.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_boundary::carrier::{Carrier, CarrierKind, Carriers};
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::Limits;
use portcullis_boundary::policy::{Auth, HostRule, OriginRule};
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::revocation::RevocationSet;
use portcullis_boundary::session::Terms;
use portcullis_boundary::{Credential, Identity, Place, Policy, Rejection, Verifier};
use portcullis_client::connect::{Dialer, Tls};
use portcullis_client::machine::{Backoff, Settings};
use portcullis_client::token::{Token, TokenError, TokenSource, Tokens};
use portcullis_client::{
    Address, Cause, Client, ClientBuilder, Ended, Event, Lost, Message, Opened, Refused, State,
    States,
};
use portcullis_gateway::config::{
    Builtin, GateConfig, ListenAddress, Listener, Pattern, Room, Route, Target, Timeouts, Upstream,
};
use portcullis_gateway::{BoundAddress, Gate, Services, StartOptions};
use tokio::net::{TcpListener, TcpStream};

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

/// A verifier whose answers a test changes. A token that it does not know is invalid; a ticket stands
/// for the identity for which it was issued.
#[derive(Clone, Default)]
pub(crate) struct Shifting(Arc<Mutex<HashMap<String, Result<Identity, Rejection>>>>);

impl Shifting {
    pub(crate) fn knows(self, token: &str, answer: Result<Identity, Rejection>) -> Self {
        self.set(token, answer);
        self
    }

    /// Knows the token `good` as Ada's.
    pub(crate) fn with_good(self) -> Self {
        self.knows("good", Ok(Identity::new("ada")))
    }

    pub(crate) fn set(&self, token: &str, answer: Result<Identity, Rejection>) {
        let mut answers = self.0.lock().expect("no panic");
        answers.insert(token.to_owned(), answer);
    }
}

impl Verifier for Shifting {
    fn name(&self) -> &str {
        "shifting"
    }

    async fn verify(&self, credential: &Credential, _: Timestamp) -> Result<Identity, Rejection> {
        let answers = self.0.lock().expect("no panic");
        let unknown = || Err(Rejection::Invalid(InvalidReason::UnknownToken));
        answers
            .get(credential.expose())
            .cloned()
            .unwrap_or_else(unknown)
    }

    async fn verify_at(
        &self,
        credential: &Credential,
        _: Place<'_>,
        now: Timestamp,
    ) -> Result<Identity, Rejection> {
        let answer = self.verify(credential, now).await;
        if credential.carrier() == CarrierKind::Ticket {
            let mut answers = self.0.lock().expect("no panic");
            answers.remove(credential.expose());
        }
        answer
    }
}

/// A gate of one route, as a test changes it.
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) terms: Terms,
    pub(crate) upstream: Upstream,
    pub(crate) limits: Limits,
    pub(crate) services: Services,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) address: ListenAddress,
}

impl Setup {
    /// Reads every carrier, and believes `verifier`.
    pub(crate) fn new(verifier: &Shifting) -> Self {
        let carriers = [
            "header",
            "subprotocol",
            "ticket",
            "cookie:sid",
            "query",
            "first-message",
        ];
        let carriers = carriers.map(|name| name.parse::<Carrier>().expect("a carrier"));
        Self::with_carriers(verifier, Carriers::new(carriers))
    }

    /// As most gates: the header alone, and what it lacks is missing.
    pub(crate) fn of_header(verifier: &Shifting) -> Self {
        Self::with_carriers(verifier, Carriers::default())
    }

    fn with_carriers(verifier: &Shifting, carriers: Carriers) -> Self {
        let auth = Auth::Required {
            verifiers: vec![Arc::new(verifier.clone())],
            carriers,
        };
        Self {
            policy: Policy::new("all", auth).with_origin(OriginRule::Any),
            terms: Terms::default(),
            upstream: Upstream::new(Target::Builtin(Builtin::Echo)),
            limits: Limits::default(),
            services: Services::default(),
            tls: None,
            address: ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
        }
    }

    pub(crate) fn config(self) -> GateConfig {
        let route = Route {
            pattern: Pattern::parse("/*").expect("a pattern"),
            policy: Arc::new(self.policy),
            terms: Arc::new(self.terms),
            authority: None,
            login: None,
            upstream: self.upstream,
        };
        GateConfig {
            routes: vec![route],
            limits: self.limits,
            room: Room::default(),
            timeouts: Timeouts::default(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn start(self) -> TestGate {
        let tls = self.tls.clone();
        let listener = Listener {
            address: self.address.clone(),
            hosts: Arc::new(HostRule::Loopback),
            health_routes: true,
            tls: tls.map(|config| Arc::new(arc_swap::ArcSwap::new(config))),
        };
        let options = StartOptions {
            workers: 1,
            before_idle: || {},
            services: self.services.clone(),
            revoked: RevocationSet::default(),
        };
        let is_secure = self.tls.is_some();
        let gate = Gate::start(self.config(), vec![listener], options).expect("a gate");
        let url = match &gate.addresses()[0] {
            BoundAddress::Tcp { address, .. } if is_secure => {
                format!("wss://localhost:{}/x", address.port())
            }
            BoundAddress::Tcp { address, .. } => format!("ws://{address}/x"),
            BoundAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        TestGate { gate, url }
    }
}

pub(crate) struct TestGate {
    pub(crate) gate: Gate,
    pub(crate) url: String,
}

impl TestGate {
    /// A client of it, with tokens from there.
    pub(crate) fn client(&self, tokens: &Tokens) -> ClientBuilder {
        client(&self.url).tokens(tokens.clone())
    }

    /// Waits until `count` sessions are live.
    pub(crate) async fn sessions(&self, count: usize) {
        within(async {
            while self.gate.sessions() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

/// A client that enters without a token, and comes back quickly.
pub(crate) fn client(url: &str) -> ClientBuilder {
    let dialer = Dialer::new(Tls::none().expect("no authorities"));
    ClientBuilder::new(Address::parse(url).expect("an address"), dialer).settings(quick())
}

pub(crate) const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub(crate) fn quick() -> Settings {
    Settings {
        backoff: Backoff::new(millis(10), millis(200)).expect("a backoff"),
        attempts_per_minute: NonZeroU32::new(1000).expect("many"),
        steady: millis(100),
        ..Settings::default()
    }
}

/// A source that gives `tokens`, one after the other: each refresh gives the next, and the last one
/// cannot be refreshed.
pub(crate) struct Script {
    tokens: Vec<&'static str>,
    at: AtomicUsize,
    pub(crate) refreshes: AtomicUsize,
}

impl Script {
    pub(crate) fn new(tokens: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            tokens: tokens.to_vec(),
            at: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
        })
    }

    /// Has the next token, without having been asked to refresh.
    pub(crate) fn advance(&self) {
        self.at.fetch_add(1, Ordering::SeqCst);
    }

    fn now(&self) -> Token {
        let at = self.at.load(Ordering::SeqCst).min(self.tokens.len() - 1);
        Token::new(self.tokens[at].into())
    }
}

impl TokenSource for Script {
    async fn token(&self) -> Result<Token, TokenError> {
        Ok(self.now())
    }

    async fn refresh(&self, _: &Token) -> Result<Token, TokenError> {
        self.refreshes.fetch_add(1, Ordering::SeqCst);
        self.advance();
        Ok(self.now())
    }
}

pub(crate) fn tokens(script: &[&'static str]) -> Tokens {
    Tokens::new(Script::new(script))
}

/// Reads what comes, as a test expects it.
pub(crate) trait Expect {
    async fn opened(&mut self) -> Opened;
    async fn lost(&mut self) -> Lost;
    async fn message(&mut self) -> Message;
    async fn ended(self) -> Ended;
    async fn echoes(&mut self, text: &str);
}

impl Expect for Client {
    async fn opened(&mut self) -> Opened {
        match within(self.next()).await {
            Ok(Event::Opened(opened)) => opened,
            other => panic!("it opens, not {other:?}"),
        }
    }

    async fn lost(&mut self) -> Lost {
        match within(self.next()).await {
            Ok(Event::Lost(lost)) => lost,
            other => panic!("it is lost, not {other:?}"),
        }
    }

    async fn message(&mut self) -> Message {
        match within(self.next()).await {
            Ok(Event::Message(message)) => message,
            other => panic!("a message, not {other:?}"),
        }
    }

    async fn ended(self) -> Ended {
        within(self.wait_closed()).await
    }

    async fn echoes(&mut self, text: &str) {
        within(self.send(Message::text(text)))
            .await
            .expect("queued");
        assert_eq!(self.message().await, Message::text(text));
    }
}

/// The states until one that is wanted, in words.
pub(crate) async fn states_until(states: &mut States, wanted: &str) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        let state = within(states.next()).await.expect("a state");
        let word = word(&state);
        let is_wanted = word == wanted;
        words.push(word);
        if is_wanted {
            return words;
        }
    }
}

/// The first no of a server.
pub(crate) async fn first_refusal(states: &mut States) -> Refused {
    loop {
        if let State::Refused(Cause::Refused(refused)) =
            within(states.next()).await.expect("a state")
        {
            return refused;
        }
    }
}

fn word(state: &State) -> String {
    match state {
        State::Connecting => "connecting".into(),
        State::Open => "open".into(),
        State::Refused(cause) => match cause.refused().and_then(|refused| refused.kind) {
            Some(kind) => format!("refused: {kind}"),
            None => format!("refused: {cause}"),
        },
        State::Waiting { .. } => "waiting".into(),
        State::LoggingIn => "logging in".into(),
        State::Renewed => "renewed".into(),
        State::Ended(ended) => format!("ended: {:?}", ended.end),
    }
}

/// A server on port 0, which a test plays.
pub(crate) struct Played {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Played {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        Self { listener, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// The next connection, as bytes.
    pub(crate) async fn accept(&self) -> TcpStream {
        within(self.listener.accept()).await.expect("accepted").0
    }

    /// The next connection, as a WebSocket.
    pub(crate) async fn socket(&self) -> tokio_tungstenite::WebSocketStream<TcpStream> {
        let stream = self.accept().await;
        within(tokio_tungstenite::accept_async(stream))
            .await
            .expect("a handshake")
    }
}
