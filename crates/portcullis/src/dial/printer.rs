//! Messages, on standard output.

use std::io::{self, ErrorKind};
use std::thread;

use anyhow::Context;
use portcullis_client::Message;
use tokio::sync::{mpsc, oneshot};

use crate::output;

/// Prints on a thread of its own.
pub(super) struct Printer {
    messages: Option<mpsc::Sender<Message>>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Printer {
    /// Prints messages as they are, or each as a line.
    ///
    /// # Errors
    ///
    /// That there can be no more threads.
    pub(super) fn start(is_raw: bool) -> anyhow::Result<Self> {
        let (messages, mut queue) = mpsc::channel::<Message>(QUEUE);
        let (finished, done) = oneshot::channel();
        let end: &[u8] = if is_raw { b"" } else { b"\n" };
        let print = move || {
            let mut result = Ok(());
            while let Some(message) = queue.blocking_recv() {
                result = output::bytes(&[message.as_bytes(), end]);
                if result.is_err() {
                    break;
                }
            }
            // A reader that has gone, as `head` does, is no error.
            let gone = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
            let _nobody_waits = finished.send(match result {
                Err(error) if gone(&error) => Ok(()),
                result => result,
            });
        };
        thread::Builder::new()
            .name("output".into())
            .spawn(print)
            .context("cannot start a thread")?;
        Ok(Self {
            messages: Some(messages),
            done,
        })
    }

    /// Prints `message` when there is room. False when nobody reads any more.
    pub(super) async fn print(&self, message: Message) -> bool {
        match &self.messages {
            Some(messages) => messages.send(message).await.is_ok(),
            None => false,
        }
    }

    /// Waits until all is printed. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Why it could not be.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.messages = None;
        (&mut self.done).await.unwrap_or(Ok(()))
    }
}

/// How many messages wait to be printed.
const QUEUE: usize = 16;
