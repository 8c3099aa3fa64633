//! An upstream over HTTP that plays what it is told, and notes what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::DEADLINE;

/// What the upstream answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Bytes(String),
    /// Waits until the test gives leave.
    Gate(Arc<Semaphore>),
    /// Nothing, for ever.
    Silence,
    /// The connection breaks.
    Break,
}

impl Reply {
    /// A stream of `events`.
    pub(crate) fn events(events: &[Value]) -> Self {
        let text = events
            .iter()
            .map(|event| {
                let kind = event["type"].as_str().unwrap_or("message");
                format!("event: {kind}\ndata: {event}\n\n")
            })
            .collect();
        Self {
            status: 200,
            headers: vec![("content-type", "text/event-stream; charset=utf-8".into())],
            parts: vec![Part::Bytes(text)],
        }
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            parts: vec![Part::Bytes(body.into())],
        }
    }

    pub(crate) fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    left: watch::Receiver<usize>,
    connections: Arc<Mutex<usize>>,
}

impl Upstream {
    /// Answers with `replies` in turn, and then with 500.
    pub(crate) async fn playing(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let replies: Arc<Mutex<VecDeque<Reply>>> =
            Arc::new(Mutex::new(replies.into_iter().collect()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (leave, left) = watch::channel(0);
        let played = (Arc::clone(&replies), Arc::clone(&asked));
        let counted = Arc::clone(&connections);
        let tasks = TaskTracker::new();
        let spawner = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().expect("unpoisoned") += 1;
                let played = played.clone();
                let leave = leave.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let (replies, asked) = played.clone();
                    let leave = leave.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.expect("a body").to_bytes();
                        asked.lock().expect("unpoisoned").push(Asked {
                            headers: head.headers,
                            body: String::from_utf8(body.to_vec()).expect("UTF-8"),
                        });
                        let reply = replies.lock().expect("unpoisoned").pop_front();
                        let reply = reply.unwrap_or_else(|| Reply::status(500, ""));
                        Ok::<_, Infallible>(answer(reply, leave))
                    }
                });
                spawner.spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // A connection that breaks is what some tests ask for.
                    let _: Result<(), hyper::Error> = connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            replies,
            asked,
            left,
            connections,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/responses", self.address)
    }

    pub(crate) fn then(&self, reply: Reply) {
        self.replies.lock().expect("unpoisoned").push_back(reply);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("unpoisoned").clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().expect("unpoisoned")
    }

    /// Waits until `count` answers were left before they ended.
    pub(crate) async fn left(&self, count: usize) {
        let mut left = self.left.clone();
        tokio::time::timeout(DEADLINE, left.wait_for(|left| *left >= count))
            .await
            .expect("the upstream is left in time")
            .expect("it lives");
    }
}

/// Counts when it is dropped before the answer has ended.
struct Leaves(Option<watch::Sender<usize>>);

impl Drop for Leaves {
    fn drop(&mut self) {
        if let Some(leave) = &self.0 {
            leave.send_modify(|left| *left += 1);
        }
    }
}

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, &'static str>>>;

fn answer(reply: Reply, leave: watch::Sender<usize>) -> Response<Body> {
    let leaves = Leaves(Some(leave));
    let parts = VecDeque::from(reply.parts);
    let stream = futures_util::stream::unfold((parts, leaves), |(mut parts, mut leaves)| async {
        loop {
            let part = match parts.pop_front() {
                None => {
                    drop(leaves.0.take());
                    return None;
                }
                Some(Part::Bytes(text)) => Ok(Frame::data(Bytes::from(text))),
                Some(Part::Break) => {
                    // While it waits, the server writes what it has.
                    tokio::task::yield_now().await;
                    Err("broken")
                }
                Some(Part::Gate(gate)) => {
                    gate.acquire().await.expect("open").forget();
                    continue;
                }
                Some(Part::Silence) => std::future::pending().await,
            };
            return Some((part, (parts, leaves)));
        }
    });
    let mut response = Response::new(StreamBody::new(stream.boxed()));
    *response.status_mut() = reply.status.try_into().expect("a status");
    for (name, value) in reply.headers {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
    }
    response
}
