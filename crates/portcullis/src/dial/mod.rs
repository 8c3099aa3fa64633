//! A client on the command line: standard input to messages, messages to standard output.
//!
//! Standard input and standard output each have a thread, for either may block for as long as it likes,
//! and pings must be answered meanwhile. They end by themselves, or with the program.

mod ending;
mod input;
mod printer;
mod teller;

use std::convert::Infallible;

use anyhow::Context;
use futures_util::FutureExt as _;
use portcullis_client::{Client, ClientBuilder, Ended, Event, Sender, States};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};

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
    /// Whether the end of the input is not the end.
    pub(crate) keeps_open: bool,
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
    let client = call.client.start()?;
    let (sender, mut states) = (client.sender(), client.states());
    let input = input::read(call.is_raw)?;
    let mut printer = Printer::start(call.is_raw)?;
    let opened = Notify::new();
    let teller = &call.teller;
    let mut unreadable = None;
    let ended = tokio::select! {
        ended = listen(client, &printer, teller, &opened) => ended,
        // The others go on until then.
        never = feed(input, &sender, call.keeps_open, &opened, &mut unreadable) => match never {},
        never = tell(&mut states, teller) => match never {},
        () = signals.twice(&sender) => return Ok(Exit::Forced),
    };
    while let Some(Some(state)) = states.next().now_or_never() {
        teller.tell(&state);
    }
    let printed = tokio::select! {
        printed = printer.finish() => printed,
        () = signals.twice(&sender) => return Ok(Exit::Forced),
    };
    printed.context("cannot print")?;
    match unreadable {
        Some(error) => Err(error),
        None => Ok(ending::exit(&ended)),
    }
}

/// Prints what comes, until the client has ended.
async fn listen(mut client: Client, printer: &Printer, teller: &Teller, opened: &Notify) -> Ended {
    loop {
        match client.next().await {
            Ok(Event::Opened(_)) => opened.notify_one(),
            Ok(Event::Message(message)) => {
                if !printer.print(message).await {
                    // Nobody reads any more, as after `head`.
                    client.close();
                }
            }
            Ok(Event::Lost(lost)) => teller.in_doubt(lost.in_doubt.len()),
            Ok(Event::Unwritten(messages)) => teller.unwritten(messages.len()),
            Err(ended) => return ended,
        }
    }
}

/// Sends what is read, and says goodbye when there is no more, or what comes cannot be read.
async fn feed(
    mut input: mpsc::Receiver<input::Read>,
    sender: &Sender,
    keeps_open: bool,
    opened: &Notify,
    unreadable: &mut Option<anyhow::Error>,
) -> Infallible {
    while let Some(read) = input.recv().await {
        match read {
            Ok(message) => {
                if sender.send(message).await.is_err() {
                    break;
                }
            }
            Err(error) => *unreadable = Some(error),
        }
    }
    if !keeps_open || unreadable.is_some() {
        // What was said without being heard at the door has been said to nobody.
        opened.notified().await;
        sender.close();
    }
    std::future::pending().await
}

/// Says where the client is.
async fn tell(states: &mut States, teller: &Teller) -> Infallible {
    while let Some(state) = states.next().await {
        teller.tell(&state);
    }
    std::future::pending().await
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
