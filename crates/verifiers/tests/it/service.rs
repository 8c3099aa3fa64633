//! A service on loopback that answers as it is told, and counts.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use portcullis_verifiers::{Endpoint, Outbound};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// What the service answers at a path.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    hangs: bool,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            hangs: false,
        }
    }

    /// No answer, ever.
    pub(crate) fn hang() -> Self {
        Self {
            hangs: true,
            ..Self::ok("")
        }
    }

    /// How long to wait for it: short only where that is what is tested, as machines can be busy.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(if self.hangs { 500 } else { 4000 })
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    asked: watch::Sender<Vec<Asked>>,
    is_open: watch::Sender<bool>,
}

pub(crate) struct Service {
    origin: String,
    shared: Arc<Shared>,
}

impl Service {
    /// Serves on the runtime that it is called on.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            replies: Mutex::default(),
            asked: watch::channel(Vec::new()).0,
            is_open: watch::channel(true).0,
        });
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        Handle::current().spawn(async move { axum::serve(listener, app).await });
        Self { origin, shared }
    }

    pub(crate) fn reply(&self, path: &str, reply: Reply) {
        self.shared
            .replies
            .lock()
            .unwrap()
            .insert(path.into(), reply);
    }

    /// Requests wait from now on until it is opened.
    pub(crate) fn close(&self) {
        self.shared.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.shared.is_open.send_replace(true);
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn endpoint(&self, path: &str) -> Endpoint {
        Endpoint::parse(&format!("{}{path}", self.origin)).unwrap()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.shared.asked.borrow().len()
    }

    /// Waits until so many requests came.
    pub(crate) async fn wait_for(&self, count: usize) {
        let mut asked = self.shared.asked.subscribe();
        let arrived = asked.wait_for(|asked| asked.len() >= count);
        tokio::time::timeout(Duration::from_secs(4), arrived)
            .await
            .expect("in time")
            .expect("the service lives");
    }
}

/// Asks on the runtime that it is called on.
pub(crate) fn outbound() -> Outbound {
    Outbound::new(Handle::current()).unwrap()
}

/// A port at which nobody listens.
pub(crate) fn nobody() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    Endpoint::parse(&format!("http://{address}/")).unwrap()
}

/// A port with TLS, whose certificate it signed itself.
pub(crate) fn self_signed() -> Endpoint {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    Handle::current().spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            assert!(acceptor.accept(socket).await.is_err(), "somebody trusts it");
        }
    });
    Endpoint::parse(&format!("https://localhost:{port}/keys")).unwrap()
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let reply = shared.replies.lock().unwrap().get(uri.path()).cloned();
    shared.asked.send_modify(|asked| {
        asked.push(Asked {
            method,
            path: uri.path().into(),
            headers,
            body,
        });
    });
    let mut is_open = shared.is_open.subscribe();
    is_open.wait_for(|open| *open).await.unwrap();
    let reply = reply.unwrap_or_else(|| Reply::status(404, ""));
    if reply.hangs {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}
