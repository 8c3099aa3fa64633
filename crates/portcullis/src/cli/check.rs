//! `portcullis check`

use std::path::PathBuf;

use clap::Args;
use portcullis_boundary::policy::Auth;
use serde_json::json;

use crate::admin::api::openapi;
use crate::config::{self, LoadError, Outside, Overrides, Settings};
use crate::output::{self, Exit};
use crate::run;
use crate::settings::{auth_required, otel};

/// What `check` takes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The config file
    #[arg(long, value_name = "FILE", default_value = "portcullis.toml")]
    config: PathBuf,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,

    /// Print the JSON schema of the file instead, for editors
    #[arg(long, conflicts_with = "json")]
    schema: bool,

    /// Print the OpenAPI document of the admin API instead
    #[arg(long, conflicts_with_all = ["json", "schema"])]
    openapi: bool,

    /// Let everybody in where strangers can reach the gate, as `serve` would
    #[arg(long)]
    dangerously_allow_unauthenticated_remote: bool,
}

const EXAMPLES: &str = "\
Examples:
  portcullis check --config portcullis.toml
      Reads the file and all that it names, and says what is wrong and how to mend it
  portcullis check --config portcullis.toml --json | jq .problems
      The same for programs
  portcullis check --schema > portcullis.schema.json
      For editors that complete and check TOML";

/// Checks the file.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    if args.schema {
        output::data(config::schema());
        return Ok(Exit::Clean);
    }
    if args.openapi {
        output::data(openapi::text());
        return Ok(Exit::Clean);
    }
    let overrides = Overrides {
        auth_required: auth_required()?,
        allow_unauthenticated_remote: args.dangerously_allow_unauthenticated_remote,
        otel: otel(),
        ..Overrides::default()
    };
    // Nobody is asked: what is on other machines is not what is wrong with a file.
    let runtime = run::runtime()?;
    let outside = Outside::new(runtime.handle().clone());
    match config::load(&args.config, &overrides, &outside) {
        Ok(settings) => {
            let file = args.config.display().to_string();
            output::data(good(&file, &settings, args.json));
            Ok(Exit::Clean)
        }
        Err(error) if args.json => {
            output::data(bad(&error));
            Ok(Exit::Failed)
        }
        Err(error) => Err(error.into()),
    }
}

fn good(file: &str, settings: &Settings, as_json: bool) -> String {
    let warnings: Vec<&String> = settings
        .gate
        .warnings
        .iter()
        .chain(&settings.notes)
        .collect();
    let listeners: Vec<String> = settings
        .listeners
        .iter()
        .map(|plan| plan.url.to_string())
        .collect();
    let routes = &settings.gate.routes;
    if as_json {
        let routes: Vec<_> = routes
            .iter()
            .map(|route| json!({ "name": &**route.policy.name(), "path": route.pattern.to_string() }))
            .collect();
        let found =
            json!({ "ok": true, "listeners": listeners, "routes": routes, "warnings": warnings });
        return format!("{found:#}\n");
    }
    let mut text = format!("{file} is good.\n");
    for listener in &listeners {
        text.push_str(&format!("  listener {listener}\n"));
    }
    for route in routes {
        text.push_str(&format!(
            "  route {} at {}{}\n",
            route.policy.name(),
            route.pattern,
            if matches!(route.policy.auth(), Auth::Upstream) {
                ", whose upstream decides who enters"
            } else {
                ""
            }
        ));
    }
    for warning in warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    text
}

fn bad(error: &LoadError) -> String {
    let problems = match error {
        LoadError::Wrong(problems) => config::problems_as_json(problems),
        LoadError::Refused(what) => json!([{ "problem": what }]),
        LoadError::Unreadable { .. } => json!([{ "problem": error.to_string() }]),
    };
    let found = json!({ "ok": false, "problems": problems });
    format!("{found:#}\n")
}
