//! The command line.

mod audit;
mod check;
mod codes;
mod completions;
mod connect;
mod dial;
mod explain;
pub(crate) mod gate;
mod hosts;
mod hosts_connector;
mod key;
mod operator;
mod revoke;
mod serve;
mod sessions;
mod table;
mod ticket;
mod token;
mod user;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::output::Exit;

/// The front door of WebSocket services: decides who may enter before a socket opens, and tells
/// whom it refuses what to do about it.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_long_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve; without a file or an upstream, the demo
    Serve(Box<serve::ServeArgs>),
    /// Check a config file, or print its JSON schema
    Check(check::CheckArgs),
    /// Say what would be decided about an arrival, and by which rule
    Explain(Box<explain::ExplainArgs>),
    /// Make, hash, sign and look into tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Make, list and take back API keys, at a running gate
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Say who is a user, what their keys may do, and whether they may enter, at a running gate
    #[command(subcommand)]
    User(user::UserCommand),
    /// Take back what subjects, credentials, keys, issuers or sessions may, on every gate
    #[command(subcommand)]
    Revoke(revoke::RevokeCommand),
    /// List, show and end live sessions, on every gate
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    /// Print what was decided and done, the latest first
    Audit(Box<audit::AuditArgs>),
    /// Make tickets, each of which opens one session, at a running gate
    #[command(subcommand)]
    Ticket(ticket::TicketCommand),
    /// Dial a relay, through which guests reach this machine
    Connect(Box<connect::ConnectArgs>),
    /// Say how a host is doing that dials from here, and have it dial or not, at a running program
    #[command(subcommand)]
    Hosts(hosts::HostsCommand),
    /// Open a WebSocket that comes back: lines in are messages, messages are lines out
    Dial(Box<dial::DialArgs>),
    /// Print the refusal table, or the tables of close codes for clients
    Codes(codes::CodesArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

const EXAMPLES: &str = "\
Examples:
  portcullis
      The first run: serves a demo on loopback and says how to try it
  portcullis serve --upstream ws://127.0.0.1:4500 --ws-auth capability-token --ws-token-file token
      A gate before an app-server
  portcullis serve --config portcullis.toml
      A gate as the file says
  portcullis key new --owner ada --scope chat
      A key of a gate that runs
  portcullis connect --relay https://relay.example --upstream ws://127.0.0.1:4500 --token-file token
      A host behind a NAT
  portcullis dial wss://gate.example/chat --token-file token
      A client of any WebSocket service

Exit codes:
  0  all went well
  1  it could not start, or a command failed
  2  the command line cannot be read
  3  draining ran out of time, or was cut short
  4  `explain`: the arrival would be refused
  5  `dial`: refused, and a fresher token is needed
  6  `dial`: refused, and a person or a better token is needed
  7  `dial`: refused for now
  8  `dial`: refused for good
  9  `connect`, or `[connector]`: there is no credential, and nothing else to do than to dial";

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let exit = match command {
        None => serve::run(serve::ServeArgs::default()),
        Some(Command::Serve(args)) => serve::run(*args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Explain(args)) => explain::run(*args),
        Some(Command::Token(command)) => token::run(&command),
        Some(Command::Key(command)) => key::run(&command),
        Some(Command::User(command)) => user::run(&command),
        Some(Command::Revoke(command)) => revoke::run(&command),
        Some(Command::Sessions(command)) => sessions::run(&command),
        Some(Command::Audit(args)) => audit::run(&args),
        Some(Command::Ticket(command)) => ticket::run(&command),
        Some(Command::Connect(args)) => connect::run(&args),
        Some(Command::Hosts(command)) => hosts::run(&command),
        Some(Command::Dial(args)) => dial::run(&args),
        Some(Command::Codes(args)) => codes::run(&args),
        Some(Command::Completions(args)) => completions::run(&args, &mut Cli::command()),
    };
    ExitCode::from(exit.unwrap_or_else(|error| {
        let text = crate::settings::explain_error(&error, crate::output::is_coloured());
        crate::output::say(text);
        Exit::Failed
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
