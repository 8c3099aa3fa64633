//! The table.

use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Aliases, ForwardedHeaders, JoinInstructions, Template};
use crate::error::ConfigError;

/// What is done to each request of a route before the upstream sees it. See the module's list.
#[derive(Clone, Debug, Default)]
pub struct Preparation {
    pub(super) aliases: Aliases,
    pub(super) removed: Vec<Box<str>>,
    pub(super) forced: Vec<(Box<str>, Box<RawValue>)>,
    pub(super) template: Template,
    pub(super) join: JoinInstructions,
    pub(super) keeps_references: bool,
    headers: ForwardedHeaders,
}

impl Preparation {
    /// Nothing beyond what the bridge needs: the client's model, fields and items as they are, and
    /// none of its headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Maps models. The client's own name is put back into every event.
    #[must_use]
    pub fn with_aliases(mut self, aliases: Aliases) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets `field` to `value`, whatever the client says.
    ///
    /// # Errors
    ///
    /// [`ConfigError::FieldOurs`] when the field belongs to the client or the bridge, and
    /// [`ConfigError::ValueMalformed`] when the value cannot be JSON.
    pub fn force(mut self, field: &str, value: &impl Serialize) -> Result<Self, ConfigError> {
        check_ours(field)?;
        let value =
            serde_json::value::to_raw_value(value).map_err(|_| ConfigError::ValueMalformed {
                field: field.into(),
            })?;
        self.forced.push((field.into(), value));
        Ok(self)
    }

    /// Takes `field` out of every request.
    ///
    /// # Errors
    ///
    /// [`ConfigError::FieldOurs`] when the field belongs to the client or the bridge.
    pub fn remove(mut self, field: &str) -> Result<Self, ConfigError> {
        check_ours(field)?;
        self.removed.push(field.into());
        Ok(self)
    }

    /// Fills requests up.
    #[must_use]
    pub fn with_template(mut self, template: Template, join: JoinInstructions) -> Self {
        self.template = template;
        self.join = join;
        self
    }

    /// Forwards headers of the client.
    #[must_use]
    pub fn with_headers(mut self, headers: ForwardedHeaders) -> Self {
        self.headers = headers;
        self
    }

    /// Keeps items of type `item_reference`, for an upstream that has what they refer to.
    #[must_use]
    pub const fn keeping_item_references(mut self) -> Self {
        self.keeps_references = true;
        self
    }

    /// Where models are mapped.
    #[must_use]
    pub const fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// The headers of a request to the upstream, but for those of its body and its credential.
    pub(crate) fn headers(&self, client: &HeaderMap) -> HeaderMap {
        let mut headers = self.headers.of(client);
        self.template.fill_headers(&mut headers);
        headers
    }
}

/// Fields that no table may set or remove: they are what the request is, or how it travels.
pub(super) fn check_ours(field: &str) -> Result<(), ConfigError> {
    match field {
        "background"
        | "generate"
        | "input"
        | "model"
        | "previous_response_id"
        | "stream"
        | "stream_id"
        | "type" => Err(ConfigError::FieldOurs {
            field: field.into(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_clients_or_the_bridges_is_neither_forced_nor_removed() {
        for field in [
            "stream",
            "input",
            "model",
            "previous_response_id",
            "generate",
        ] {
            let error = ConfigError::FieldOurs {
                field: field.into(),
            };
            let forced = Preparation::new().force(field, &true);
            assert_eq!(forced.unwrap_err(), error);
            assert_eq!(Preparation::new().remove(field).unwrap_err(), error);
        }
        assert!(Preparation::new().remove("metadata").is_ok());
    }
}
