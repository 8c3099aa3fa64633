//! A bridge's socket in memory.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use portcullis_boundary::clock::SystemClock;
use portcullis_responses::upstream::Upstream;
use portcullis_responses::{Bridge, Caller, Rules, Setup, Socket, Sockets, Tasks, Upgrade};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Lets a bridge before `upstream` answer on `stream`, its end of a socket; gives the tracker of its task.
pub(crate) async fn open(
    rules: Rules,
    upstream: impl Upstream + 'static,
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
) -> TaskTracker {
    let mut bridge = Bridge::new(Setup {
        rules,
        upstream: Arc::new(upstream),
        sockets: Sockets::Bridged,
        clock: Arc::new(SystemClock::new()),
    })
    .expect("a bridge");
    let mut request = Request::get("/v1/responses")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let upgrade = Upgrade::new(async move { Ok(Socket::new(stream)) });
    let tasks = TaskTracker::new();
    let extensions = request.extensions_mut();
    extensions.insert(upgrade);
    extensions.insert(Caller::dangerous_unlimited());
    extensions.insert(Tasks {
        tracker: tasks.clone(),
        draining: CancellationToken::new(),
    });
    let answer = bridge.call(request).await.expect("an answer");
    assert_eq!(answer.status(), 101);
    tasks
}
