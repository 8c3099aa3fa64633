//! `portcullis user`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::operator::{OperatorArgs, encoded};
use super::table::Column;
use crate::output::{self, Exit};

/// The commands about users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or replace what is known of one
    Put(PutArgs),
    /// List users
    Ls(LsArgs),
    /// Show a user
    Show(OneArgs),
    /// Disable an account: nobody enters as its subject any more
    Disable(OneArgs),
    /// Enable an account again
    Enable(OneArgs),
    /// Remove a user, and take their keys back
    Rm(OneArgs),
}

/// What `user put` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis user put ada --scope chat --scope files
      Ada's keys may do these two things, and no more
  portcullis user put eve --disabled")]
pub(crate) struct PutArgs {
    /// Who it is, as credentials say
    subject: String,

    /// What their keys may do at most; may be repeated
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,

    /// The account does not count
    #[arg(long)]
    disabled: bool,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What `user ls` takes.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    operator: OperatorArgs,
}

/// What commands about one user take.
#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// Who it is, as credentials say
    subject: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) fn run(command: &UserCommand) -> anyhow::Result<Exit> {
    match command {
        UserCommand::Put(args) => {
            let body = json!({ "active": !args.disabled, "scopes": args.scope });
            let user = ask(&args.operator, Method::PUT, &args.subject, Some(&body))?;
            args.operator.print_one(&COLUMNS, &user);
        }
        UserCommand::Ls(args) => {
            let users = args.operator.client()?.list("/users", &[], usize::MAX)?;
            args.operator.print_list(&COLUMNS, &users);
        }
        UserCommand::Show(args) => {
            let user = ask(&args.operator, Method::GET, &args.subject, None)?;
            args.operator.print_one(&COLUMNS, &user);
        }
        UserCommand::Disable(args) => {
            let body = json!({ "active": false });
            ask(&args.operator, Method::PATCH, &args.subject, Some(&body))?;
            output::say(format!("The account of {} is disabled.\n", args.subject));
        }
        UserCommand::Enable(args) => {
            let body = json!({ "active": true });
            ask(&args.operator, Method::PATCH, &args.subject, Some(&body))?;
            output::say(format!("The account of {} is enabled.\n", args.subject));
        }
        UserCommand::Rm(args) => {
            ask(&args.operator, Method::DELETE, &args.subject, None)?;
            output::say(format!("The user {} is removed.\n", args.subject));
        }
    }
    Ok(Exit::Clean)
}

fn ask(
    operator: &OperatorArgs,
    method: Method,
    subject: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let path = format!("/users/{}", encoded(subject));
    operator.client()?.ask(method, &path, &[], body)
}

const COLUMNS: [Column; 5] = [
    ("SUBJECT", "subject"),
    ("ACTIVE", "active"),
    ("SCOPES", "scopes"),
    ("CREATED", "created_at"),
    ("UPDATED", "updated_at"),
];
