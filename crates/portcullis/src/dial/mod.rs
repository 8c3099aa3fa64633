//! A client on the command line: standard input to messages, messages to standard output.
//!
//! Standard input and standard output each have a thread, for either may block for as long as it likes,
//! and pings must be answered meanwhile. They end by themselves, or with the program.

mod ending;
mod input;
mod printer;
mod teller;

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::FutureExt as _;
use portcullis_client::{Client, ClientBuilder, ConfigError, Ended, Event, Sender, States};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use self::printer::Printer;
pub(crate) use self::teller::Teller;
use crate::output::Exit;
use crate::run;

/// A call that is to be made.
pub(crate) struct Call {
    /// With whom, and how.
    pub(crate) client: ClientBuilder,
    /// Bytes instead of lines.
    pub(crate) is_raw: bool,
    /// For how long nothing must have been heard after the end of the input before it is the end; none
    /// when it never is.
    pub(crate) linger: Option<Duration>,
    /// Who says what happens.
    pub(crate) teller: Teller,
}

/// Makes the call.
///
/// # Errors
///
/// What cannot work, and input that is no text, or output that cannot be written.
pub(crate) fn run(call: Call) -> anyhow::Result<Exit> {
    let runtime = run::runtime()?;
    let exit = runtime.block_on(talk(call));
    // What still reads a token need not be waited for.
    runtime.shutdown_background();
    exit
}

async fn talk(call: Call) -> anyhow::Result<Exit> {
    let mut signals = Signals::new()?;
    let client = call.client.start().map_err(in_words_of_flags)?;
    let (sender, mut states) = (client.sender(), client.states());
    let mut input = input::read(call.is_raw)?;
    let mut printer = Printer::start(call.is_raw)?;
    let (heard, hears) = watch::channel(false);
    let teller = &call.teller;
    let mut fed = Fed::default();
    let (ended, unwritten) = tokio::select! {
        ended = listen(client, &printer, teller, &heard) => ended,
        // The others go on until then.
        never = feed(&mut input, &sender, call.linger, hears, &mut fed) => match never {},
        never = tell(&mut states, teller) => match never {},
        () = signals.twice(&sender) => return Ok(Exit::Forced),
    };
    while let Some(Some(state)) = states.next().now_or_never() {
        teller.tell(&state);
    }
    let untaken = std::iter::from_fn(|| input.try_recv().ok()).count();
    teller.unwritten(unwritten + fed.untaken + untaken);
    let printed = tokio::select! {
        printed = printer.finish() => printed,
        () = signals.twice(&sender) => return Ok(Exit::Forced),
    };
    printed.context("cannot print")?;
    match fed.unreadable {
        Some(error) => Err(error),
        None => Ok(ending::exit(&ended)),
    }
}

/// Prints what comes, until the client has ended; and says how many messages were never sent. `heard`
/// is told of all that comes, and whether a connection is open.
async fn listen(
    mut client: Client,
    printer: &Printer,
    teller: &Teller,
    heard: &watch::Sender<bool>,
) -> (Ended, usize) {
    let mut unwritten = 0;
    loop {
        match client.next().await {
            Ok(Event::Opened(_)) => {
                heard.send_replace(true);
            }
            Ok(Event::Message(message)) => {
                heard.send_replace(true);
                if !printer.print(message).await {
                    // Nobody reads any more, as after `head`.
                    client.close();
                }
            }
            Ok(Event::Lost(lost)) => {
                heard.send_replace(false);
                teller.in_doubt(lost.in_doubt.len());
            }
            Ok(Event::Unwritten(messages)) => unwritten += messages.len(),
            Err(ended) => return (ended, unwritten),
        }
    }
}

/// What was read and not sent.
#[derive(Default)]
struct Fed {
    /// Messages that the client no longer took.
    untaken: usize,
    /// What cannot be read.
    unreadable: Option<anyhow::Error>,
}

/// Sends what is read, and says goodbye when there is no more, or what comes cannot be read.
async fn feed(
    input: &mut mpsc::Receiver<input::Read>,
    sender: &Sender,
    linger: Option<Duration>,
    mut hears: watch::Receiver<bool>,
    fed: &mut Fed,
) -> Infallible {
    while let Some(read) = input.recv().await {
        match read {
            Ok(message) => {
                // Of one that waits for room when the client ends, this is all that is left.
                fed.untaken = 1;
                if sender.send(message).await.is_err() {
                    break;
                }
                fed.untaken = 0;
            }
            Err(error) => fed.unreadable = Some(error),
        }
    }
    if let Some(linger) = linger.or_else(|| fed.unreadable.is_some().then_some(Duration::ZERO)) {
        silence(&mut hears, linger).await;
        sender.close();
    }
    std::future::pending().await
}

/// Completes when a connection is open and nothing has been heard on it for `linger`. What was said
/// before the door opened has been said to nobody.
async fn silence(hears: &mut watch::Receiver<bool>, linger: Duration) {
    loop {
        let is_open = *hears.borrow_and_update();
        tokio::select! {
            heard = hears.changed() => if heard.is_err() { return },
            () = tokio::time::sleep(linger), if is_open => return,
        }
    }
}

/// Says where the client is.
async fn tell(states: &mut States, teller: &Teller) -> Infallible {
    while let Some(state) = states.next().await {
        teller.tell(&state);
    }
    std::future::pending().await
}

/// What is wrong, with the flag that mends it.
fn in_words_of_flags(error: ConfigError) -> anyhow::Error {
    match error {
        ConfigError::Unencrypted { host } => anyhow!(
            "the token would be sent to {host} unencrypted; use `wss://`, or \
             --dangerously-send-token-unencrypted"
        ),
        ConfigError::SubprotocolAlone => anyhow!(
            "with `--carrier subprotocol` the server needs another one to select; add \
             --subprotocol NAME"
        ),
        other => other.into(),
    }
}

/// The two signals that end the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    came: bool,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            came: false,
        })
    }

    /// Says goodbye at the first, and completes at the second.
    async fn twice(&mut self, sender: &Sender) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            if self.came {
                return;
            }
            self.came = true;
            sender.close();
        }
    }
}
