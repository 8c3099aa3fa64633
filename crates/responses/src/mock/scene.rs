//! Scripts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::ConfigError;

/// A list of scenes. See the [module](super).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    scene: Vec<Scene>,
}

pub(super) type Headers = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scene {
    pub(super) model: Option<String>,
    pub(super) user: Option<String>,
    pub(super) last: Option<Last>,
    pub(super) turn: Option<usize>,
    /// Whether the prompt must name a tool.
    pub(super) names_tool: bool,
    pub(super) times: Option<u64>,
    pub(super) pace_ms: u64,
    pub(super) usage: Option<Tokens>,
    pub(super) answer: Option<Reply>,
    pub(super) steps: Vec<Step>,
}

/// What the last item of a request is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Last {
    User,
    ToolOutput,
    Other,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Reply {
    HeadTimeout,
    Unreachable,
    Json(Value),
    Status {
        code: u16,
        #[serde(default)]
        headers: Headers,
        #[serde(default)]
        body: Value,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Step {
    Text(String),
    Reasoning(String),
    Call {
        name: String,
        #[serde(default)]
        arguments: Value,
    },
    WaitMs(u64),
    Event(Value),
    Error {
        #[serde(default)]
        code: Option<String>,
        message: String,
    },
    Failed {
        code: String,
        message: String,
    },
    Incomplete(String),
    Reset,
    Silence,
    End,
}

impl Script {
    /// The scenes of a first run: what the user said is told back, tools that he names are called, and
    /// what they put out is told.
    #[must_use]
    pub fn builtin() -> Self {
        Self::from_toml(include_str!("builtin.toml"))
            .expect("the scenes in this crate are a script")
    }

    /// Reads scenes in TOML.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Scenes`] when it is no script, with the place.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| unreadable(&error))
    }

    /// Reads scenes in JSON: `{"scene": […]}`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Scenes`] when it is no script, with the place.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        serde_json::from_str(text).map_err(|error| unreadable(&error))
    }

    pub(super) fn into_scenes(self) -> Vec<Scene> {
        self.scene
    }
}

fn unreadable(error: &impl ToString) -> ConfigError {
    ConfigError::Scenes {
        reason: error.to_string().into(),
    }
}
