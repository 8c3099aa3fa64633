//! `[route.responses]`

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::at::At;
use crate::config::scalar::Scalar;

/// What a route to models does with requests, and what its connections must keep to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Responses {
    /// Whether WebSockets are served. Where they are not, a handshake is refused with 426, on which
    /// clients go on over HTTP.
    pub(crate) websocket: bool,
    /// Puts scripted scenes in the place of the upstream. All else is as with the real one.
    pub(crate) mock: Option<At<Mock>>,
    /// A file with the scenes of the mock, as TOML, or as JSON when it ends in `.json`. Without it the
    /// mock has scenes of its own.
    pub(crate) scenes: Option<At<String>>,
    /// The models that may be used: names, or beginnings as `gpt-5*`. A turn's model is judged by the
    /// client's name for it and by the upstream's. Without it any may.
    pub(crate) models: Option<Vec<At<String>>>,
    /// Names of models and what the upstream calls them; the first that matches counts. Clients see
    /// their own name in whatever comes back.
    pub(crate) aliases: Vec<At<Alias>>,
    /// Fields that each request is given, whatever it says of them.
    pub(crate) force: BTreeMap<At<String>, At<serde_json::Value>>,
    /// Fields that are taken out of each request.
    pub(crate) remove: Vec<At<String>>,
    /// Whether items of the type `item_reference` stay in the input. An upstream without memory does
    /// not know what they refer to.
    pub(crate) keep_item_references: bool,
    /// Headers of the client that are passed on: names, or beginnings as `x-codex-*`. Without it none
    /// are.
    pub(crate) forward_headers: Vec<At<String>>,
    /// Instructions that go before the client's, as `join_instructions` says.
    pub(crate) instructions: Option<At<String>>,
    /// A file with these instructions.
    pub(crate) instructions_file: Option<At<String>>,
    /// Files with a JSON object of fields that a request is given where it lacks them. What one file
    /// lacks, the next one gives.
    pub(crate) templates: Vec<At<String>>,
    /// How the instructions of the template and the client's become one.
    pub(crate) join_instructions: JoinInstructions,
    /// Whether an HTTP upstream keeps what it is told to store, so that it knows responses by their
    /// id. By default it is taken to know none.
    pub(crate) upstream_stores: bool,
    /// After how long a silence a client is told that its turn is under way; 15s by default.
    pub(crate) keepalive: Option<At<String>>,
    /// How long a connection may live; 60m by default, as the protocol says.
    pub(crate) max_age: Option<At<String>>,
    /// How long turns may go on that are under way then; 5m by default.
    pub(crate) grace: Option<At<String>>,
    /// How long the upstream may be silent in an answer; 5m by default.
    pub(crate) silence_timeout: Option<At<String>>,
    /// The largest message of a client, and the largest body of a request.
    pub(crate) max_message: Option<At<Scalar>>,
    /// How much of earlier turns is remembered for one connection.
    pub(crate) memory: Option<At<Scalar>>,
    /// How much of turns that wait is kept for one connection.
    pub(crate) waiting: Option<At<Scalar>>,
    /// Tokens that a subject may spend on this route in which time, input and output together, as
    /// `500000/h`, or `/s`, `/m`, `/d`. Each gate counts for itself.
    pub(crate) budget: Option<At<String>>,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            websocket: true,
            mock: None,
            scenes: None,
            models: None,
            aliases: Vec::new(),
            force: BTreeMap::new(),
            remove: Vec::new(),
            keep_item_references: false,
            forward_headers: Vec::new(),
            instructions: None,
            instructions_file: None,
            templates: Vec::new(),
            join_instructions: JoinInstructions::default(),
            upstream_stores: false,
            keepalive: None,
            max_age: None,
            grace: None,
            silence_timeout: None,
            max_message: None,
            memory: None,
            waiting: None,
            budget: None,
        }
    }
}

/// What stands in the place of the upstream.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mock {
    /// Scenes.
    Inject,
}

/// How instructions become one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum JoinInstructions {
    /// The route's come first, then the client's.
    #[default]
    Before,
    /// The route's stand in when the client has none.
    WhenMissing,
}

/// A name of models and what the upstream calls them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    /// What the client's name must be, begin with, end with, or match.
    pub(crate) r#match: At<String>,
    /// How it is compared.
    #[serde(default)]
    pub(crate) kind: AliasKind,
    /// The upstream's name.
    pub(crate) to: String,
    /// Whether capital and small letters are the same.
    #[serde(default)]
    pub(crate) ignore_case: bool,
}

/// How a model's name is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AliasKind {
    /// It is the same.
    #[default]
    Exact,
    /// It begins so.
    Prefix,
    /// It ends so.
    Suffix,
    /// It matches this regular expression.
    Regex,
}
