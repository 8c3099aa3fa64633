//! Events that the bridge makes itself.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::json::Text;

/// An event about a response, with the places of the protocol in the protocol's order.
#[derive(Debug, Serialize)]
pub(crate) struct Made<'a> {
    pub(crate) r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<ResponseShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_id: Option<&'a str>,
}

impl Made<'_> {
    pub(crate) fn text(&self) -> Text {
        serde_json::to_string(self)
            .expect("strings and numbers make JSON")
            .into()
    }
}

/// A response without output: one that begins, fails, or was only prepared.
#[derive(Debug, Serialize)]
pub(crate) struct ResponseShape<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created_at: CreatedAt<'a>,
    pub(crate) status: &'static str,
    pub(crate) error: Option<ResponseError<'a>>,
    pub(crate) incomplete_details: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<&'a str>,
    pub(crate) output: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_response_id: Option<&'a str>,
    pub(crate) parallel_tool_calls: bool,
    pub(crate) tool_choice: &'static str,
    pub(crate) tools: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<NoUsage>,
}

impl<'a> ResponseShape<'a> {
    pub(crate) const fn new(
        id: &'a str,
        model: Option<&'a str>,
        created_at: CreatedAt<'a>,
        status: &'static str,
    ) -> Self {
        Self {
            id,
            object: "response",
            created_at,
            status,
            error: None,
            incomplete_details: None,
            model,
            output: [],
            previous_response_id: None,
            parallel_tool_calls: true,
            tool_choice: "auto",
            tools: [],
            usage: None,
        }
    }
}

/// When a response began: in the upstream's words, or by our clock.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum CreatedAt<'a> {
    Said(&'a RawValue),
    Seconds(i64),
}

#[derive(Debug, Serialize)]
pub(crate) struct ResponseError<'a> {
    code: &'a str,
    message: &'a str,
}

/// The tokens of what was only prepared.
#[derive(Debug, Serialize)]
pub(crate) struct NoUsage {
    input_tokens: u64,
    input_tokens_details: CachedTokens,
    output_tokens: u64,
    output_tokens_details: ReasoningTokens,
    total_tokens: u64,
}

impl NoUsage {
    pub(crate) const fn new() -> Self {
        Self {
            input_tokens: 0,
            input_tokens_details: CachedTokens { cached_tokens: 0 },
            output_tokens: 0,
            output_tokens_details: ReasoningTokens {
                reasoning_tokens: 0,
            },
            total_tokens: 0,
        }
    }
}

#[derive(Debug, Serialize)]
struct CachedTokens {
    cached_tokens: u64,
}

#[derive(Debug, Serialize)]
struct ReasoningTokens {
    reasoning_tokens: u64,
}

/// `response.failed`.
pub(crate) fn failed_event<'a>(
    mut response: ResponseShape<'a>,
    message: &'a str,
    sequence: u64,
    lane: Option<&str>,
) -> Text {
    response.error = Some(ResponseError {
        code: "server_error",
        message,
    });
    let made = Made {
        r#type: "response.failed",
        sequence_number: Some(sequence),
        response: Some(response),
        stream_id: lane,
    };
    serde_json::to_string(&made)
        .expect("strings and numbers make JSON")
        .into()
}

/// `response.steer.failed`.
#[derive(Debug, Serialize)]
pub(crate) struct SteerRefusal<'a> {
    r#type: &'static str,
    sequence_number: u64,
    steer: Steered<'a>,
    error: SteerError,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Steered<'a> {
    previous_response_id: &'a str,
    input: &'a RawValue,
}

#[derive(Debug, Serialize)]
struct SteerError {
    r#type: &'static str,
    code: &'static str,
    message: &'static str,
}

impl<'a> SteerRefusal<'a> {
    /// The input goes back with it, so that the client can put it into a turn of its own.
    pub(crate) const fn new(
        previous_response_id: &'a str,
        input: &'a RawValue,
        code: &'static str,
        message: &'static str,
        sequence_number: u64,
        stream_id: Option<&'a str>,
    ) -> Self {
        Self {
            r#type: "response.steer.failed",
            sequence_number,
            steer: Steered {
                previous_response_id,
                input,
            },
            error: SteerError {
                r#type: "invalid_request_error",
                code,
                message,
            },
            stream_id,
        }
    }

    pub(crate) fn text(&self) -> Text {
        serde_json::to_string(self)
            .expect("strings and numbers make JSON")
            .into()
    }
}
