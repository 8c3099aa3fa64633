//! The handshake with a relay. hyper carries it out, because the body of a refusal counts as well.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use reqwest::Url;

use super::dial::{Reason, dial as connect};
use super::exchange::{Answer, MOST_BYTES};

/// What a relay answers to a handshake.
pub(super) enum Upgraded {
    /// 101, with the head's fields.
    Open(HeaderMap, hyper::upgrade::Upgraded),
    /// Anything else.
    Refused(Answer),
}

/// Connects to `url` and asks for the upgrade that `headers` describe; `Host` is set. Cancel-safe.
pub(super) async fn dial(
    url: &Url,
    tls: Option<&Arc<rustls::ClientConfig>>,
    mut headers: HeaderMap,
) -> Result<Upgraded, Reason> {
    let authority = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let authority = HeaderValue::try_from(authority).map_err(|error| Reason::of(&error))?;
    headers.insert(HOST, authority);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url
        .path()
        .parse()
        .map_err(|error: http::uri::InvalidUri| Reason::of(&error))?;
    *request.headers_mut() = headers;

    let io = connect(url, tls)
        .await
        .map_err(|error| Reason::of(&error))?;
    let io = TokioIo::new(io);
    let (mut sender, connection) = http1::handshake(io)
        .await
        .map_err(|error| Reason::of(&error))?;
    let exchange = async {
        let mut response = sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Upgraded::Refused(whole(response).await?));
        }
        let upgraded = hyper::upgrade::on(&mut response).await?;
        Ok(Upgraded::Open(
            std::mem::take(response.headers_mut()),
            upgraded,
        ))
    };
    let drive = async {
        let connection = connection.with_upgrades();
        // What goes wrong with it is told to the exchange.
        let _: Result<(), hyper::Error> = connection.await;
        std::future::pending().await
    };
    let answered: Result<Upgraded, hyper::Error> = tokio::select! {
        answered = exchange => answered,
        never = drive => never,
    };
    answered.map_err(|error| Reason::of(&error))
}

async fn whole(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while body.len() <= MOST_BYTES
        && let Some(frame) = incoming.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            let room = MOST_BYTES + 1 - body.len();
            body.extend_from_slice(data.get(..room).unwrap_or(&data));
        }
    }
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    })
}
