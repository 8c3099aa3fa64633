//! What a turn cost.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The tokens of a turn, as its upstream counted them, or about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of input, those from the upstream's cache among them.
    pub input: u64,
    /// Tokens of input that came from the upstream's cache.
    pub cached: u64,
    /// Tokens of output, those of reasoning among them.
    pub output: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
    /// Whether they are guessed: the upstream did not come to count them.
    pub is_estimated: bool,
}

impl Usage {
    /// Reads the upstream's `usage`; none when there is none, or it is of another form.
    pub(crate) fn read(raw: &RawValue) -> Option<Self> {
        let said: Option<Said> = serde_json::from_str(raw.get()).ok()?;
        let said = said?;
        Some(Self {
            input: said.input_tokens,
            cached: said.input_tokens_details.unwrap_or_default().cached_tokens,
            output: said.output_tokens,
            reasoning: said
                .output_tokens_details
                .unwrap_or_default()
                .reasoning_tokens,
            is_estimated: false,
        })
    }

    /// About what a turn cost that was sent `request` bytes, and put out `output` bytes: a token has
    /// some four.
    pub(crate) fn estimate(request: usize, output: usize) -> Self {
        let tokens = |bytes: usize| u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX);
        Self {
            input: tokens(request),
            output: tokens(output),
            is_estimated: true,
            ..Self::default()
        }
    }
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: u64,
    reasoning_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_far_as_they_are_told() {
        let usage = |input, cached, output, reasoning| Usage {
            input,
            cached,
            output,
            reasoning,
            is_estimated: false,
        };
        for (text, expected) in [
            (
                r#"{"input_tokens":9,"input_tokens_details":{"cached_tokens":4,"x":1},
                   "output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":14}"#,
                Some(usage(9, 4, 5, 2)),
            ),
            (
                r#"{"input_tokens":9,"output_tokens":5,"input_tokens_details":null}"#,
                Some(usage(9, 0, 5, 0)),
            ),
            ("null", None),
            ("[]", None),
            (r#"{"input_tokens":-1}"#, None),
        ] {
            let raw: Box<RawValue> = serde_json::from_str(text).unwrap();
            assert_eq!(Usage::read(&raw), expected, "{text}");
        }
    }
}
