//! One attempt at the door: dial, knock with the credential, and be let in or not.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::request::Parts;
use http::{Request, Uri};
use portcullis_boundary::carrier::{Carrier, first_message};
use portcullis_boundary::clock::{Clock as _, SystemClock, Timestamp};
use portcullis_boundary::{Credential, SessionId};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::dial::{AGENT, Stream, host_header};
use super::errand;
use super::goodbye::Goodbye;
use super::handshake::Handshake;
use super::meter::Metered;
use super::speak::{Spoken, speak};
use super::unreachable::{Step, Unreachable};
use crate::cause::Cause;
use crate::config::Config;
use crate::refused::Refused;
use crate::token::Token;

/// An open socket.
pub(crate) type Socket = WebSocketStream<Metered>;

/// What one is given on entering.
pub(crate) struct Entered {
    pub(crate) socket: Socket,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) session: Option<SessionId>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Tries to get in with `token`. Cancel-safe: dropping the future drops the connection.
pub(crate) async fn enter(config: &Config, token: Option<&Token>) -> Result<Entered, Cause> {
    let limit = config.handshake_timeout;
    let (credential, session) = match (token, &config.carrier) {
        (Some(token), Carrier::Ticket) => {
            let ticket = errand::ticket(config, token).await?;
            (Some(ticket.credential), ticket.session)
        }
        (Some(token), carrier) => (Some(Credential::new(token.expose(), carrier.kind())), None),
        (None, _) => (None, None),
    };
    let knock = Knock::new(config, credential.as_ref())?;
    let stream = config.dialer.dial(&config.address).await?;
    let entering = async {
        let mut entered = knock.at(stream, config).await?;
        entered.session = entered.session.or(session);
        entered.expires_at = token.and_then(Token::expiry);
        if let (Some(credential), Carrier::FirstMessage) = (&credential, &config.carrier) {
            introduce(&mut entered, credential, config).await?;
        }
        Ok(entered)
    };
    timeout(limit, entering)
        .await
        .unwrap_or_else(|_| Err(slow(limit).into()))
}

fn slow(limit: Duration) -> Unreachable {
    Unreachable::passing(Step::Handshake, format!("no answer within {limit:?}"))
}

/// The head of a handshake, with the credential in it.
struct Knock {
    head: Parts,
    handshake: Handshake,
}

impl Knock {
    fn new(config: &Config, credential: Option<&Credential>) -> Result<Self, Unreachable> {
        let target = Uri::from(config.address.target().clone());
        let (mut head, ()) = Request::get(target)
            .body(())
            .map_err(|error| Unreachable::lasting(Step::Handshake, error))?
            .into_parts();
        head.headers = config.headers.clone();
        let handshake = Handshake::fresh();
        handshake.write(&mut head.headers);
        head.headers.insert(HOST, host_header(&config.address)?);
        if let Some(offer) = config.offer.clone() {
            head.headers.insert(SEC_WEBSOCKET_PROTOCOL, offer);
        }
        head.headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(AGENT));
        if let Some(credential) = credential {
            attach(config, credential, &mut head)?;
        }
        Ok(Self { head, handshake })
    }

    async fn at(self, stream: Stream, config: &Config) -> Result<Entered, Cause> {
        let failed = |error| Unreachable::passing(Step::Handshake, error);
        let request = Request::from_parts(self.head, Bytes::new());
        let spoken = speak(stream, request, MOST_REFUSED).await.map_err(failed)?;
        let (answer, stream, early) = match spoken {
            Spoken::Switched(answer, stream, early) => (answer, stream, early),
            Spoken::Answered(answer) => {
                let now = SystemClock::new().now();
                let (status, headers) = (answer.status, &answer.headers);
                let refused = Refused::from_answer(status, headers, answer.whole(), now);
                return Err(Cause::Refused(refused));
            }
        };
        let headers = &answer.headers;
        let checked = self.handshake.check(headers);
        let subprotocol = checked
            .and_then(|()| selected(headers, config))
            .map_err(|why| Unreachable::lasting(Step::Handshake, why))?;
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(config.max_message))
            .max_frame_size(Some(config.max_message));
        let early = early.to_vec();
        let socket = WebSocketStream::from_partially_read(
            Metered::new(stream, &early),
            early,
            Role::Client,
            Some(limits),
        )
        .await;
        Ok(Entered {
            socket,
            subprotocol,
            session: session(headers),
            expires_at: None,
        })
    }
}

fn attach(config: &Config, credential: &Credential, head: &mut Parts) -> Result<(), Unreachable> {
    let attached = match &config.carrier {
        Carrier::FirstMessage => return Ok(()),
        Carrier::Subprotocol => config
            .dialect
            .attach(credential.expose(), &mut head.headers),
        carrier => carrier.attach(credential, head),
    };
    attached.map_err(|error| Unreachable::lasting(Step::Handshake, error))
}

/// The subprotocol that the server selected, which must be one that was offered (RFC 6455, 4.1, step 6).
fn selected(headers: &HeaderMap, config: &Config) -> Result<Option<Box<str>>, &'static str> {
    match headers.get(SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(selected)) if config.subprotocols.iter().any(|own| &**own == selected) => {
            Ok(Some(selected.into()))
        }
        // Some select the credential, which was offered too. It is told to nobody.
        Some(Ok(selected)) if is_credential(selected, config) => Ok(None),
        Some(Ok(_) | Err(_)) => Err("it selects a subprotocol that was not offered"),
    }
}

fn is_credential(subprotocol: &str, config: &Config) -> bool {
    config.carrier == Carrier::Subprotocol && subprotocol.starts_with(config.dialect.prefix())
}

/// The name that a gate gives the session.
fn session(headers: &HeaderMap) -> Option<SessionId> {
    headers
        .get("portcullis-session")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Sends the credential as the first message, and waits for what the server makes of it.
async fn introduce(
    entered: &mut Entered,
    credential: &Credential,
    config: &Config,
) -> Result<(), Cause> {
    let failed = |error| Unreachable::passing(Step::Handshake, error);
    let socket = &mut entered.socket;
    let message = Message::text(first_message::write(credential));
    socket.send(message).await.map_err(failed)?;
    while let Some(message) = socket.next().await {
        match message.map_err(failed)? {
            Message::Text(text) => {
                let Some(answer) = first_message::read_answer(&text) else {
                    let why = "it answers the first message with something else";
                    return Err(Unreachable::lasting(Step::Handshake, why).into());
                };
                entered.session = answer.session.or(entered.session);
                entered.expires_at = answer.expires_at.or(entered.expires_at);
                return Ok(());
            }
            Message::Close(_) => {
                let Goodbye { code, reason } = socket.get_ref().meter().goodbye();
                let refused = Refused::from_close(code, &reason, &config.codes);
                return Err(Cause::Refused(refused));
            }
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err(Unreachable::passing(Step::Handshake, "it ended after the first message").into())
}

/// Small, since a program may have a thousand of these; a larger message grows it.
const READ_BUFFER: usize = 16 * 1024;

/// The most bytes of a refusal's body.
const MOST_REFUSED: usize = 64 * 1024;
