//! `portcullis hosts status`, `enable` and `disable`: the host that dials from a running program.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::operator::OperatorArgs;
use super::table::Column;
use crate::output::{self, Exit};

/// The commands about the host that dials from here.
#[derive(Debug, Subcommand)]
pub(crate) enum ConnectorCommand {
    /// Show how the host is doing that dials from here
    Status(OperatorArgs),
    /// Have it dial, until the program ends or a reload says otherwise
    Enable(OperatorArgs),
    /// Have it hang up and dial no more, until the program ends or a reload says otherwise
    Disable(OperatorArgs),
}

/// Does what the command says.
pub(crate) fn run(command: &ConnectorCommand) -> anyhow::Result<Exit> {
    match command {
        ConnectorCommand::Status(operator) => {
            let state = operator.client()?.ask(Method::GET, PATH, &[], None)?;
            operator.print_one(&SHOWN, &state);
        }
        ConnectorCommand::Enable(operator) => order(operator, true)?,
        ConnectorCommand::Disable(operator) => order(operator, false)?,
    }
    Ok(Exit::Clean)
}

fn order(operator: &OperatorArgs, is_enabled: bool) -> anyhow::Result<()> {
    let wanted: Value = json!({ "enabled": is_enabled });
    let client = operator.client()?;
    client.ask(Method::POST, PATH, &[], Some(&wanted))?;
    output::say(if is_enabled {
        "The host is told to dial.\n"
    } else {
        "The host is told to hang up.\n"
    });
    Ok(())
}

const PATH: &str = "/connector";

const SHOWN: [Column; 12] = [
    ("PHASE", "phase"),
    ("STATE", "state"),
    ("SINCE", "since"),
    ("NEXT ATTEMPT", "next_attempt"),
    ("SERVER", "server_id"),
    ("ENVIRONMENT", "environment_id"),
    ("ROADS", "roads"),
    ("GUESTS", "guests"),
    ("ATTEMPTS", "attempts"),
    ("FAILURES", "failures"),
    ("PROBLEM", "problem.text"),
    ("MEND", "problem.mend"),
];
