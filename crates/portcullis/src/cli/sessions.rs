//! `portcullis sessions`

use clap::{Args, Subcommand};
use http::Method;

use super::operator::{OperatorArgs, encoded};
use super::table::Column;
use crate::output::{self, Exit};

/// The commands about live sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List live sessions of every gate
    Ls(LsArgs),
    /// Show a live session
    Show(OneArgs),
    /// End a live session, as revoked; its credential counts on
    Kick(OneArgs),
}

/// What `sessions ls` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis sessions ls --subject ada
  portcullis sessions ls --route chat --json | jq -r '.[].address' | sort | uniq -c")]
pub(crate) struct LsArgs {
    /// Those of this subject
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,

    /// Those of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What commands about one session take.
#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// The session's id
    id: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) fn run(command: &SessionsCommand) -> anyhow::Result<Exit> {
    match command {
        SessionsCommand::Ls(args) => {
            let query = [
                ("subject", args.subject.clone()),
                ("route", args.route.clone()),
            ];
            let list = args
                .operator
                .client()?
                .list("/sessions", &query, usize::MAX)?;
            args.operator.print_list(&LISTED, &list);
        }
        SessionsCommand::Show(args) => {
            let path = format!("/sessions/{}", encoded(&args.id));
            let session = args.operator.client()?.ask(Method::GET, &path, &[], None)?;
            args.operator.print_one(&SHOWN, &session);
        }
        SessionsCommand::Kick(args) => {
            let path = format!("/sessions/{}", encoded(&args.id));
            args.operator
                .client()?
                .ask(Method::DELETE, &path, &[], None)?;
            output::say(format!("The session {} is told to end.\n", args.id));
        }
    }
    Ok(Exit::Clean)
}

const LISTED: [Column; 6] = [
    ("ID", "id"),
    ("SUBJECT", "subject"),
    ("ROUTE", "route"),
    ("ADDRESS", "address"),
    ("OPENED", "opened_at"),
    ("EXPIRES", "expires_at"),
];

const SHOWN: [Column; 13] = [
    ("ID", "id"),
    ("GATE", "gate"),
    ("ROUTE", "route"),
    ("SUBJECT", "subject"),
    ("ISSUER", "issuer"),
    ("SCOPES", "scopes"),
    ("CREDENTIAL", "credential_id"),
    ("KEY", "key_id"),
    ("VERIFIER", "verifier"),
    ("CARRIER", "carrier"),
    ("ADDRESS", "address"),
    ("OPENED", "opened_at"),
    ("EXPIRES", "expires_at"),
];
