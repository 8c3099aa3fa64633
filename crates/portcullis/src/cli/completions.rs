//! `portcullis completions`

use clap::Args;
use clap_complete::Shell;

use crate::output::{self, Exit};

/// What `completions` takes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  portcullis completions bash > ~/.local/share/bash-completion/completions/portcullis
  portcullis completions fish > ~/.config/fish/completions/portcullis.fish";

/// Prints the completions of `command`.
pub(crate) fn run(args: &CompletionsArgs, command: &mut clap::Command) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "portcullis", &mut text);
    output::data(String::from_utf8(text)?);
    Ok(Exit::Clean)
}
