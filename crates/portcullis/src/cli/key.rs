//! `portcullis key`

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use portcullis_boundary::clock::{Clock, SystemClock};
use serde_json::json;

use super::operator::{OperatorArgs, encoded, text};
use super::table::Column;
use crate::admin::api::Time;
use crate::config::{self, expand};
use crate::output::{self, Exit};
use crate::secrets;

/// The commands about API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it, once
    New(NewArgs),
    /// List keys
    Ls(LsArgs),
    /// Show a key, without its secret
    Show(OneArgs),
    /// Take a key back
    Revoke(OneArgs),
}

/// What `key new` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis key new --owner ada --name laptop --scope chat --expires 90d
      Prints the key; what is kept of it is a digest
  portcullis key new --owner ci --out ci.key
      Puts it into a new file that only you can read")]
pub(crate) struct NewArgs {
    /// The subject to whom it belongs
    #[arg(long, value_name = "SUBJECT")]
    owner: String,

    /// What people call it
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,

    /// What it may do, as far as its owner may; may be repeated
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,

    /// How long it lives, such as 90d [default: without end]
    #[arg(long, value_name = "TIME", value_parser = time)]
    expires: Option<Duration>,

    /// A new file to put it into; an existing one is left alone
    #[arg(long, value_name = "FILE")]
    out: Option<String>,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What `key ls` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis key ls --owner ada
  portcullis key ls --json | jq '.[] | select(.revoked_at == null) | .id'")]
pub(crate) struct LsArgs {
    /// Those of this subject
    #[arg(long, value_name = "SUBJECT")]
    owner: Option<String>,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What commands about one key take.
#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// The key's id: what stands between the two underscores
    id: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) fn run(command: &KeyCommand) -> anyhow::Result<Exit> {
    match command {
        KeyCommand::New(args) => new(args)?,
        KeyCommand::Ls(args) => {
            let query = [("owner", args.owner.clone())];
            let keys = args.operator.client()?.list("/keys", &query, usize::MAX)?;
            args.operator.print_list(&COLUMNS, &keys);
        }
        KeyCommand::Show(args) => {
            let path = format!("/keys/{}", encoded(&args.id));
            let key = args.operator.client()?.ask(Method::GET, &path, &[], None)?;
            args.operator.print_one(&COLUMNS, &key);
        }
        KeyCommand::Revoke(args) => {
            let path = format!("/keys/{}", encoded(&args.id));
            args.operator
                .client()?
                .ask(Method::DELETE, &path, &[], None)?;
            output::say(format!("The key {} is taken back.\n", args.id));
        }
    }
    Ok(Exit::Clean)
}

fn new(args: &NewArgs) -> anyhow::Result<()> {
    let now = SystemClock::new().now();
    let ends = args.expires.map(|life| Time(now.after(life)).to_string());
    let body = json!({
        "owner": args.owner,
        "name": args.name,
        "scopes": args.scope,
        "expires_at": ends,
    });
    let client = args.operator.client()?;
    let made = client.ask(Method::POST, "/keys", &[], Some(&body))?;
    let (key, id) = (text(&made, "key"), text(&made, "id"));
    if let Some(file) = &args.out {
        let path = expand(file);
        if let Err(error) = secrets::create(&path, key) {
            // Nobody has it, so nobody should be able to use it.
            client.ask(Method::DELETE, &format!("/keys/{}", encoded(id)), &[], None)?;
            anyhow::bail!(
                "cannot write {}: {error}; the key is taken back",
                path.display()
            );
        }
        output::say(format!(
            "The key {id} of {} is in {}.\n",
            args.owner,
            path.display()
        ));
    } else if args.operator.json {
        output::data(format!("{made:#}\n"));
    } else {
        output::say(format!(
            "The key {id} of {}; it is not shown again:\n",
            args.owner
        ));
        output::data(format!("{key}\n"));
    }
    Ok(())
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|bad| format!("{}; {}", bad.what, bad.mend))
}

const COLUMNS: [Column; 8] = [
    ("ID", "id"),
    ("OWNER", "owner"),
    ("NAME", "name"),
    ("SCOPES", "scopes"),
    ("CREATED", "created_at"),
    ("EXPIRES", "expires_at"),
    ("REVOKED", "revoked_at"),
    ("USED", "last_used_at"),
];
