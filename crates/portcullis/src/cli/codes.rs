//! `portcullis codes`

use clap::{Args, ValueEnum};
use portcullis_boundary::close::{CodeTable, Preset};

use crate::codes;
use crate::output::{self, Exit};

/// What `codes` takes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CodesArgs {
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,

    /// Whose close codes
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = preset)]
    preset: Preset,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    Table,
    Json,
    Markdown,
    Typescript,
    Dart,
    Python,
    Swift,
}

const EXAMPLES: &str = "\
Presets: default, app-server, omi, codeframe-terminal, codeframe-chat, graphql-ws, iana, ranges

Examples:
  portcullis codes
      Each refusal with its status, its close code and what a client should do
  portcullis codes --format typescript > close-codes.ts
      The close codes for a client: label and recovery by code
  portcullis codes --preset graphql-ws --format json
      Another preset, for programs";

/// Prints the table.
pub(crate) fn run(args: &CodesArgs) -> anyhow::Result<Exit> {
    let table = &CodeTable::new(args.preset);
    output::data(match args.format {
        Format::Table => codes::table(table),
        Format::Json => codes::json(table),
        Format::Markdown => codes::markdown(table),
        Format::Typescript => codes::labels::typescript(table),
        Format::Dart => codes::labels::dart(table),
        Format::Python => codes::labels::python(table),
        Format::Swift => codes::labels::swift(table),
    });
    Ok(Exit::Clean)
}

fn preset(name: &str) -> Result<Preset, String> {
    Preset::named(name).ok_or_else(|| {
        let names = Preset::ALL.map(Preset::name);
        format!("there is {}", names.join(", "))
    })
}
