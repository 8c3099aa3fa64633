//! `portcullis hosts`

use clap::Subcommand;

use super::hosts_connector::{self, ConnectorCommand};
use crate::output::Exit;

/// The commands about hosts.
#[derive(Debug, Subcommand)]
pub(crate) enum HostsCommand {
    #[command(flatten)]
    Connector(ConnectorCommand),
}

/// Does what the command says.
pub(crate) fn run(command: &HostsCommand) -> anyhow::Result<Exit> {
    match command {
        HostsCommand::Connector(command) => hosts_connector::run(command),
    }
}
