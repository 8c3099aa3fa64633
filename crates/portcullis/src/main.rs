//! Portcullis: the front door of WebSocket services.

mod admin;
mod banner;
mod cli;
mod codes;
mod config;
mod demo;
mod explain;
mod first_run;
mod flags;
mod logging;
mod output;
mod reload;
mod run;
mod secrets;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
