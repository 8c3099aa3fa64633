//! `portcullis explain`

use std::net::IpAddr;

use anyhow::{Context, bail};
use clap::Args;
use http::header::{HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};

use super::gate::GateArgs;
use crate::config::{BusPlan, ListenerPlan, Outside, Settings};
use crate::explain::{Question, answer, render};
use crate::output::{self, Exit};
use crate::run;
use crate::settings::{Rest, Source};
use crate::state::State;

/// What `explain` takes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    gate: GateArgs,

    /// The URL or path that is asked for
    #[arg(
        long,
        alias = "path",
        value_name = "URL",
        default_value = "/",
        help_heading = "Arrival"
    )]
    url: Uri,

    /// The method
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "GET",
        help_heading = "Arrival"
    )]
    method: Method,

    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header_line, help_heading = "Arrival")]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// The headers of a WebSocket handshake, as far as they are not given
    #[arg(long, help_heading = "Arrival")]
    websocket: bool,

    /// The first message's credential, where the route reads one
    #[arg(long, value_name = "TOKEN", help_heading = "Arrival")]
    first_message: Option<String>,

    /// The address that it comes from
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1",
        help_heading = "Arrival"
    )]
    peer: IpAddr,

    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  portcullis explain --config portcullis.toml --url /chat/1 --websocket -H \"Authorization: Bearer $TOKEN\"
      What would be decided, rule by rule; the credential is checked and never printed
  portcullis explain --config portcullis.toml --url /chat/1 --websocket -H 'Origin: https://app.example' --json
      The same for programs
  portcullis explain --upstream ws://127.0.0.1:4500 --ws-auth capability-token --ws-token-file token --websocket
      With the flags of `serve` in place of a file

Nobody else is inside: limits are those of an empty gate.

Exit codes: 0 admitted, 4 refused";

/// Explains.
pub(crate) fn run(args: ExplainArgs) -> anyhow::Result<Exit> {
    if args.gate.config.is_none() && !args.gate.describes_a_route() {
        bail!(
            "say what is asked, with --config FILE or with the flags of `serve`, such as --upstream URL"
        );
    }
    let runtime = run::runtime()?;
    let outside = Outside::new(runtime.handle().clone());
    let source = Source::new(args.gate.clone(), Rest::default(), outside)?;
    let settings = source.load(&[], &[])?;
    if let Some(plan) = &settings.ledger {
        runtime.block_on(State::open(
            plan,
            &BusPlan::default(),
            "explain",
            source.keys(),
            runtime.handle(),
        ))?;
    }
    let plan = listener(&settings, &args.url).context("there is no listener")?;
    let question = Question {
        head: head(&args, plan)?,
        peer: args.peer,
        hosts: plan.listener.hosts.clone(),
        first_message: args.first_message,
    };
    let answer = runtime.block_on(answer(&settings.gate, question));
    output::data(if args.json {
        format!("{:#}\n", answer.to_json())
    } else {
        render(&answer)
    });
    Ok(if answer.is_admitted() {
        Exit::Clean
    } else {
        Exit::Refused
    })
}

/// The listener that the URL means by its port, or else the first.
fn listener<'a>(settings: &'a Settings, url: &Uri) -> Option<&'a ListenerPlan> {
    let port = url.port_u16();
    let listeners = &settings.listeners;
    let same = listeners
        .iter()
        .find(|plan| port.is_some() && plan.url.port() == port);
    same.or_else(|| listeners.first())
}

fn head(args: &ExplainArgs, plan: &ListenerPlan) -> anyhow::Result<Parts> {
    let target = args
        .url
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(args.method.clone()).uri(target);
    let headers = request.headers_mut().context("the target is not a path")?;
    for (name, value) in &args.headers {
        headers.append(name, value.clone());
    }
    let mut complete = |name: HeaderName, value: &str| -> anyhow::Result<()> {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::try_from(value)?);
        }
        Ok(())
    };
    let host = args.url.authority().map(ToString::to_string);
    complete(HOST, &host.unwrap_or_else(|| plan.url.authority()))?;
    if args.websocket || matches!(args.url.scheme_str(), Some("ws" | "wss")) {
        complete(header::CONNECTION, "Upgrade")?;
        complete(header::UPGRADE, "websocket")?;
        complete(SEC_WEBSOCKET_VERSION, "13")?;
        complete(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")?;
    }
    let (head, ()) = request.body(())?.into_parts();
    Ok(head)
}

pub(super) fn header_line(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `Name: value`")?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| "this is not the name of a header")?;
    let value =
        HeaderValue::try_from(value.trim()).map_err(|_| "this is not the value of a header")?;
    Ok((name, value))
}
