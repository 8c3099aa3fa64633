//! `portcullis ticket`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::operator::{OperatorArgs, text};
use crate::output::{self, Exit};

/// The commands about tickets.
#[derive(Debug, Subcommand)]
pub(crate) enum TicketCommand {
    /// Make a ticket and print it, once: it opens one session, within half a minute
    New(NewArgs),
}

/// What `ticket new` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis ticket new --subject ada --route chat --scope chat
      For a client without an Origin, as `?ticket=…`
  portcullis ticket new --subject ada --route chat --origin https://app.example
      For a page of that origin")]
pub(crate) struct NewArgs {
    /// Whose session it opens
    #[arg(long, value_name = "SUBJECT")]
    subject: String,

    /// The name of the route at which it is good
    #[arg(long, value_name = "NAME")]
    route: String,

    /// The origin of the page for which it is good
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,

    /// What the session may do; may be repeated
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) fn run(command: &TicketCommand) -> anyhow::Result<Exit> {
    let TicketCommand::New(args) = command;
    let body = json!({
        "subject": args.subject,
        "route": args.route,
        "origin": args.origin,
        "scopes": args.scope,
    });
    let client = args.operator.client()?;
    let made = client.ask(Method::POST, "/tickets", &[], Some(&body))?;
    if args.operator.json {
        output::data(format!("{made:#}\n"));
    } else {
        let (session, end) = (text(&made, "session"), text(&made, "expires_at"));
        output::say(format!("For the session {session}, until {end}:\n"));
        output::data(format!("{}\n", text(&made, "ticket")));
    }
    Ok(Exit::Clean)
}
