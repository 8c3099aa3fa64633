//! `portcullis hosts`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::hosts_connector::{self, ConnectorCommand};
use super::operator::{OperatorArgs, encoded};
use super::table::Column;
use crate::output::{self, Exit};

/// The commands about hosts: those of the relay, and the one that dials from a gate.
#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// List hosts, and how their roads stand at the gate that is asked
    Ls(LsArgs),
    /// Show a host, its road, and how its last one ended
    Show(OneArgs),
    /// Give a host another name
    Rename(RenameArgs),
    /// Take a host back: its road and its guests are cut, and its machine stays out
    Revoke(OneArgs),
    /// Forget a host, which may then enrol again; its road and its guests are cut
    Rm(OneArgs),
    /// List those of other accounts who were paired to a host
    Devices(OneArgs),
    /// Take a pairing back, and cut its guests
    Unpair(UnpairArgs),
    #[command(flatten)]
    Connector(ConnectorCommand),
}

/// What `hosts ls` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis hosts ls
  portcullis hosts ls --account 'https://id.example#ada'
  portcullis hosts ls --json | jq '.[] | select(.state == \"away\") | .name'")]
pub(crate) struct LsArgs {
    /// Those of this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What commands about one host take.
#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// The host's id
    id: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What `hosts rename` takes.
#[derive(Args, Debug)]
pub(crate) struct RenameArgs {
    /// The host's id
    id: String,

    /// Its name from now on
    name: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// What `hosts unpair` takes.
#[derive(Args, Debug)]
pub(crate) struct UnpairArgs {
    /// The host's id
    id: String,

    /// The device's id
    device: String,

    #[command(flatten)]
    operator: OperatorArgs,
}

/// Does what the command says.
pub(crate) fn run(command: &HostsCommand) -> anyhow::Result<Exit> {
    match command {
        HostsCommand::Connector(command) => return hosts_connector::run(command),
        HostsCommand::Ls(args) => {
            let query = [("account", args.account.clone())];
            let client = args.operator.client()?;
            let hosts = client.list("/hosts", &query, usize::MAX)?;
            args.operator.print_list(&LISTED, &hosts);
        }
        HostsCommand::Show(args) => {
            let client = args.operator.client()?;
            let host = client.ask(Method::GET, &path(&args.id), &[], None)?;
            args.operator.print_one(&SHOWN, &host);
        }
        HostsCommand::Rename(args) => {
            let (client, body) = (args.operator.client()?, json!({ "name": args.name }));
            client.ask(Method::PATCH, &path(&args.id), &[], Some(&body))?;
            output::say(format!("The host {} is {} now.\n", args.id, args.name));
        }
        HostsCommand::Revoke(args) => {
            let path = format!("{}/revoke", path(&args.id));
            let client = args.operator.client()?;
            client.ask(Method::POST, &path, &[], None)?;
            output::say(format!("The host {} is taken back.\n", args.id));
        }
        HostsCommand::Rm(args) => {
            let client = args.operator.client()?;
            client.ask(Method::DELETE, &path(&args.id), &[], None)?;
            output::say(format!("The host {} is forgotten.\n", args.id));
        }
        HostsCommand::Devices(args) => {
            let path = format!("{}/devices", path(&args.id));
            let devices = args.operator.client()?.list(&path, &[], usize::MAX)?;
            args.operator.print_list(&DEVICES, &devices);
        }
        HostsCommand::Unpair(args) => {
            let path = format!("{}/devices/{}", path(&args.id), encoded(&args.device));
            let client = args.operator.client()?;
            client.ask(Method::DELETE, &path, &[], None)?;
            output::say(format!("The device {} is taken back.\n", args.device));
        }
    }
    Ok(Exit::Clean)
}

fn path(id: &str) -> String {
    format!("/hosts/{}", encoded(id))
}

const LISTED: [Column; 9] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("ACCOUNT", "account"),
    ("STATE", "state"),
    ("SINCE", "road.since"),
    ("GUESTS", "road.guests"),
    ("WAITING", "road.waiting_for_host"),
    ("ENDED", "last_road.at"),
    ("WHY", "last_road.reason"),
];

const SHOWN: [Column; 20] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("ACCOUNT", "account"),
    ("STATE", "state"),
    ("SINCE", "road.since"),
    ("PROTOCOL", "road.protocol"),
    ("GUESTS", "road.guests"),
    ("WAITING", "road.waiting_for_host"),
    ("UNREAD BYTES", "road.waiting_for_guests_bytes"),
    ("LAST ENDED", "last_road.at"),
    ("WHY", "last_road.reason"),
    ("ENVIRONMENT", "environment"),
    ("INSTALLATION", "installation"),
    ("OS", "os"),
    ("ARCH", "arch"),
    ("VERSION", "version"),
    ("ENROLLED", "enrolled_at"),
    ("SEEN", "seen_at"),
    ("TOKEN EXPIRES", "token_expires_at"),
    ("REVOKED", "revoked_at"),
];

const DEVICES: [Column; 6] = [
    ("ID", "id"),
    ("ACCOUNT", "account"),
    ("NAME", "display_name"),
    ("TYPE", "device_type"),
    ("PAIRED", "paired_at"),
    ("SEEN", "seen_at"),
];
