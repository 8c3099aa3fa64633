//! `portcullis revoke`

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use portcullis_boundary::clock::{Clock, SystemClock};
use serde_json::json;

use super::operator::{OperatorArgs, encoded, text};
use super::table::Column;
use crate::admin::api::Time;
use crate::config;
use crate::output::{self, Exit};

/// The commands about revocations.
#[derive(Debug, Subcommand)]
pub(crate) enum RevokeCommand {
    /// Take credentials back, and end the sessions that rest on them, on every gate
    Add(AddArgs),
    /// List revocations
    Ls(LsArgs),
    /// Make a revocation count no more; sessions that it ended stay ended
    Withdraw(WithdrawArgs),
}

/// What `revoke add` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis revoke add subject ada --note 'laptop stolen'
  portcullis revoke add subject ada --issued-before 2026-11-24T20:00:00Z
      What Ada was issued before then; what she is issued now counts
  portcullis revoke add key 2026-10 --for 24h
      All that this key verified, for as long as its tokens live
  portcullis revoke add everything --issued-before 2026-11-24T20:00:00Z

A credential that does not say when it was issued is covered by every `--issued-before`.")]
pub(crate) struct AddArgs {
    /// What is taken back
    kind: Kind,

    /// Its name; none for `everything`
    #[arg(required_unless_present = "issued_before", default_value = "")]
    value: String,

    /// Only what was issued before this time, as 2026-11-24T20:00:00Z
    #[arg(long, value_name = "TIME")]
    issued_before: Option<String>,

    /// How long to keep it, such as 24h: until nothing that it covers can be valid [default: for ever]
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    kept: Option<Duration>,

    /// Why, for operators
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What is taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// All of a subject
    Subject,
    /// One credential, by its id: a JWT's `jti`, an API key's id
    Credential,
    /// All that a key verified, by the key's id: a JWT's `kid`
    Key,
    /// All of an issuer
    Issuer,
    /// One session
    Session,
    /// All that was issued before a time
    Everything,
}

/// What `revoke ls` takes.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    operator: OperatorArgs,
}

/// What `revoke withdraw` takes.
#[derive(Args, Debug)]
pub(crate) struct WithdrawArgs {
    /// The revocation's id
    id: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) fn run(command: &RevokeCommand) -> anyhow::Result<Exit> {
    match command {
        RevokeCommand::Add(args) => {
            let now = SystemClock::new().now();
            let kind = args.kind.to_possible_value();
            let body = json!({
                "kind": kind.as_ref().map(|kind| kind.get_name()),
                "value": args.value,
                "issued_before": args.issued_before,
                "until": args.kept.map(|kept| Time(now.after(kept)).to_string()),
                "note": args.note,
            });
            let client = args.operator.client()?;
            let made = client.ask(Method::POST, "/revocations", &[], Some(&body))?;
            if args.operator.json {
                output::data(format!("{made:#}\n"));
            } else {
                output::say(format!("Revoked, by revocation {}.\n", text(&made, "id")));
            }
        }
        RevokeCommand::Ls(args) => {
            let list = args
                .operator
                .client()?
                .list("/revocations", &[], usize::MAX)?;
            args.operator.print_list(&COLUMNS, &list);
        }
        RevokeCommand::Withdraw(args) => {
            let path = format!("/revocations/{}", encoded(&args.id));
            args.operator
                .client()?
                .ask(Method::DELETE, &path, &[], None)?;
            output::say(format!("Revocation {} is withdrawn.\n", args.id));
        }
    }
    Ok(Exit::Clean)
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|bad| format!("{}; {}", bad.what, bad.mend))
}

const COLUMNS: [Column; 9] = [
    ("ID", "id"),
    ("KIND", "kind"),
    ("VALUE", "value"),
    ("ISSUED BEFORE", "issued_before"),
    ("AT", "at"),
    ("BY", "by"),
    ("UNTIL", "until"),
    ("WITHDRAWN", "withdrawn_at"),
    ("NOTE", "note"),
];
