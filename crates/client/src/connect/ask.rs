//! One question, over a connection of its own.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};

use super::answer::Answer;
use super::dial::{AGENT, Dialer, Stream, host_header};
use super::speak::{Spoken, speak};
use super::unreachable::{Step, Unreachable};
use crate::address::Address;

/// How long an answer may take, and how large it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Bounds {
    /// The longest that all of it may take, from the lookup of the host to the end of the body.
    pub time: Duration,
    /// The most bytes of the body that are kept. 64 KiB.
    pub body: usize,
}

impl Bounds {
    /// This time, all else as the fields say.
    #[must_use]
    pub const fn within(time: Duration) -> Self {
        Self {
            time,
            body: USUAL_BODY,
        }
    }

    /// The same, with a body of so many bytes at most.
    #[must_use]
    pub const fn with_body(self, body: usize) -> Self {
        Self { body, ..self }
    }
}

/// What came of asking to switch protocols.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "it switches or it answers")]
pub enum Upgraded {
    /// The other end has switched.
    Switched(Switched),
    /// It has not, and says why.
    Answered(Answer),
}

/// A connection that speaks another protocol now.
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Switched {
    /// The head of the answer. Nobody has checked it.
    pub headers: HeaderMap,
    /// The connection.
    pub stream: Stream,
    /// What the other end said after its answer, and has been read already.
    pub early: Bytes,
}

impl Dialer {
    /// Asks `address`, whose host and target go into `question`. Its body goes with its length. Redirects
    /// are not followed: a credential goes where the caller said.
    ///
    /// Cancel-safe: dropping the future drops the connection, and takes the question back as far as it has
    /// not been answered yet.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] when there is no answer within the bounds. A body that is larger, or that breaks
    /// off, is no error: see [`Answer::extent`].
    pub async fn ask(
        &self,
        address: &Address,
        mut question: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Answer, Unreachable> {
        let length = HeaderValue::from(question.body().len());
        let headers = question.headers_mut();
        headers.insert(CONTENT_LENGTH, length);
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        match self.exchange(address, question, bounds).await? {
            Spoken::Answered(answer) => Ok(answer),
            Spoken::Switched(..) => {
                let text = "it switches protocols without having been asked to";
                Err(Unreachable::lasting(Step::Handshake, text))
            }
        }
    }

    /// Asks `address` to switch to the protocol that `headers` name, as those of a
    /// [`Handshake`](super::Handshake) do. Nothing but `Host` is added to them.
    ///
    /// Cancel-safe: dropping the future drops the connection.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] when there is no answer within the bounds.
    pub async fn upgrade(
        &self,
        address: &Address,
        headers: HeaderMap,
        bounds: Bounds,
    ) -> Result<Upgraded, Unreachable> {
        let mut question = Request::new(Bytes::new());
        *question.method_mut() = Method::GET;
        *question.headers_mut() = headers;
        Ok(match self.exchange(address, question, bounds).await? {
            Spoken::Answered(answer) => Upgraded::Answered(answer),
            Spoken::Switched(head, stream, early) => Upgraded::Switched(Switched {
                headers: head.headers,
                stream,
                early,
            }),
        })
    }

    async fn exchange(
        &self,
        address: &Address,
        mut question: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Spoken, Unreachable> {
        let exchange = async {
            *question.uri_mut() = Uri::from(address.target().clone());
            question.headers_mut().insert(HOST, host_header(address)?);
            let stream = self.dial(address).await?;
            let spoken = speak(stream, question, bounds.body).await;
            spoken.map_err(|error| Unreachable::passing(Step::Handshake, error))
        };
        // Boxed, so that a task which asks once is not large for as long as it lives.
        let answered = tokio::time::timeout(bounds.time, Box::pin(exchange)).await;
        answered.unwrap_or_else(|_| {
            let text = format!("no answer within {:?}", bounds.time);
            Err(Unreachable::passing(Step::Handshake, text))
        })
    }
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switched").finish_non_exhaustive()
    }
}

/// What is asked for is a refusal, a ticket or a token.
const USUAL_BODY: usize = 64 * 1024;
