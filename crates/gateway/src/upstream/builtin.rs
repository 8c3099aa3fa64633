//! The upstreams in this program: an echo, and documents.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_PROTOCOL, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::websocket::accept_key;
use crate::config::{Builtin, Document};
use crate::relay::header::read_header;
use crate::stream::Stream;
use crate::tasks::Tasks;

/// Bytes that are under way in one direction, inside this program.
const PIPE: usize = 64 * 1024;

/// The most of a request's body that is echoed.
const MAX_BODY: usize = 1024 * 1024;

/// What the documents allow a browser to do with them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A connection to `builtin`, served by a task of its own.
pub(super) fn connect(builtin: Builtin, tasks: &Tasks) -> Stream {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let inner = tasks.clone();
    drop(tasks.spawn(serve(builtin, theirs, inner)));
    Stream::Builtin(ours)
}

async fn serve(builtin: Builtin, socket: DuplexStream, tasks: Tasks) {
    let service = service_fn(move |request| {
        let (builtin, tasks) = (builtin.clone(), tasks.clone());
        async move { Ok::<_, Infallible>(respond(&builtin, request, &tasks).await) }
    });
    // Its only peer is this program, and what goes wrong here shows there.
    let _: Result<(), hyper::Error> = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
}

async fn respond(
    builtin: &Builtin,
    mut request: Request<Incoming>,
    tasks: &Tasks,
) -> Response<Full<Bytes>> {
    if let Some(key) = request.headers().get("sec-websocket-key") {
        let accept = accept_key(key.as_bytes());
        let protocol = request
            .headers()
            .get(SEC_WEBSOCKET_PROTOCOL)
            .and_then(first_protocol);
        let upgrade = hyper::upgrade::on(&mut request);
        drop(tasks.spawn(async move {
            if let Ok(socket) = upgrade.await {
                // The gate sees its end of the pipe close, and says why.
                let _: std::io::Result<()> = echo(TokioIo::new(socket)).await;
            }
        }));
        return switching(&accept, protocol);
    }
    match builtin {
        Builtin::Echo => echo_body(request).await,
        Builtin::Documents(documents) => match documents.document(request.uri().path()) {
            Some(document) => show(document),
            None => text(StatusCode::NOT_FOUND, "There is no such page.\n"),
        },
    }
}

fn switching(accept: &str, protocol: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert("sec-websocket-accept", accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

fn first_protocol(offer: &HeaderValue) -> Option<HeaderValue> {
    let first = offer.to_str().ok()?.split(',').next()?.trim();
    HeaderValue::from_str(first).ok()
}

async fn echo_body(request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() == Method::GET {
        return text(
            StatusCode::OK,
            "This is the echo. Send a body, or open a WebSocket.\n",
        );
    }
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Response::new(Full::new(body.to_bytes())),
        Err(_) => text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The echo takes at most 1 MiB.\n",
        ),
    }
}

fn show(document: Document) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(document.body));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(document.content_type),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    headers.insert("content-security-policy", policy);
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// Sends each frame of a WebSocket back, unmasked: data as it is, a ping as a pong, a close as the
/// last. It looks at frames only, so that messages of any size and any fragments come back as they
/// were; the gate in front has checked their form.
async fn echo<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut socket: S) -> std::io::Result<()> {
    let mut buffer = vec![0; PIPE];
    let mut filled = 0;
    loop {
        let read = socket
            .read(buffer.get_mut(filled..).unwrap_or_default())
            .await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut at = 0;
        while let Some(header) = read_header(buffer.get(at..filled).unwrap_or_default()) {
            let opcode = header.frame.opcode;
            if opcode == 0xA {
                at = skip(
                    &mut socket,
                    &mut buffer,
                    at + header.bytes,
                    &mut filled,
                    &header,
                    false,
                )
                .await?;
                continue;
            }
            socket.write_all(&unmasked_header(&header.frame)).await?;
            at = skip(
                &mut socket,
                &mut buffer,
                at + header.bytes,
                &mut filled,
                &header,
                true,
            )
            .await?;
            if opcode == 0x8 {
                return socket.shutdown().await;
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

/// Reads a frame's payload, which begins at `at`, and sends it back when `back` says so. Gives the
/// place in the buffer where the next frame begins.
async fn skip<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    socket: &mut S,
    buffer: &mut [u8],
    mut at: usize,
    filled: &mut usize,
    header: &crate::relay::header::Header,
    back: bool,
) -> std::io::Result<usize> {
    let mut rest = header.frame.length;
    let mut key = header.mask.into_iter().cycle();
    loop {
        let here = usize::try_from(rest)
            .unwrap_or(usize::MAX)
            .min(*filled - at);
        let payload = buffer.get_mut(at..at + here).unwrap_or_default();
        for (byte, key) in payload.iter_mut().zip(&mut key) {
            *byte ^= key;
        }
        if back {
            socket.write_all(payload).await?;
        }
        rest -= here as u64;
        at += here;
        if rest == 0 {
            return Ok(at);
        }
        *filled = socket.read(buffer).await?;
        at = 0;
        if *filled == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn unmasked_header(frame: &portcullis_boundary::session::Frame) -> Vec<u8> {
    // A ping comes back as a pong.
    let opcode = if frame.opcode == 0x9 {
        0xA
    } else {
        frame.opcode
    };
    let mut header = vec![if frame.fin { 0x80 } else { 0 } | opcode];
    match (u8::try_from(frame.length), u16::try_from(frame.length)) {
        (Ok(length @ 0..=125), _) => header.push(length),
        (_, Ok(length)) => {
            header.push(126);
            header.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            header.push(127);
            header.extend_from_slice(&frame.length.to_be_bytes());
        }
    }
    header
}
