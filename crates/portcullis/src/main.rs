//! Portcullis: the front door of WebSocket services.

use std::process::ExitCode;

fn main() -> ExitCode {
    portcullis::main()
}
