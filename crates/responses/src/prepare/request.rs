//! A request, prepared.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::input::{is_no_metadata, segment};
use super::{Models, Preparation, Segment};
use crate::event::{Create, Fault, Steer};
use crate::json::{Fields, Text, raw, string};

/// Which way a request goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// From a socket to HTTP: what the socket remembers is put into the request.
    Merged,
    /// From a socket to a socket, which remembers by itself.
    Relayed,
    /// From HTTP to HTTP.
    Plain,
}

/// A request as the upstream is to see it, but for what is remembered.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    fields: Fields<'a>,
    input: Option<Segment>,
    models: Models,
    previous: Option<String>,
    is_warm_up: bool,
}

impl Preparation {
    /// Does what the table says.
    pub(crate) fn prepare<'a>(
        &'a self,
        create: Create<'a>,
        way: Way,
    ) -> Result<Prepared<'a>, Fault> {
        let mut fields = create.fields;
        let models = self.models(&fields);
        if fields.get("model").is_some() {
            fields.set("model", Cow::Owned(raw(&**models.mapped())));
        }
        let is_warm_up = is_warm_up(&fields);
        let previous = previous(&mut fields, way)?;
        for field in ["type", "stream", "stream_id", "background"] {
            fields.remove(field);
        }
        if way == Way::Merged {
            fields.remove("generate");
        }
        fields.retain(is_no_metadata);
        for field in &self.removed {
            fields.remove(field);
        }
        let input = fields.remove("input");
        self.template.fill(&mut fields, self.join);
        for (field, value) in &self.forced {
            fields.set(&**field, Cow::Borrowed(value));
        }
        if way != Way::Relayed {
            fields.set("stream", Cow::Owned(raw(&true)));
        }
        let input = input
            .filter(|input| input.get() != "null")
            .map(|input| segment(&input, self.keeps_references))
            .transpose()?;
        Ok(Prepared {
            fields,
            input,
            models,
            previous,
            is_warm_up,
        })
    }

    /// The event that steers a response, with its input prepared as that of a turn.
    pub(crate) fn steer(&self, steer: &Steer<'_>) -> Result<Text, Fault> {
        let input = segment(&steer.input, self.keeps_references)?;
        let list = format!("[{}]", input.as_str().unwrap_or_default());
        let list = RawValue::from_string(list).expect("items in brackets are a list");
        let mut event = Fields::default();
        event.set("type", Cow::Owned(raw("response.steer")));
        event.set("previous_response_id", Cow::Owned(raw(&*steer.previous)));
        event.set("input", Cow::Owned(list));
        Ok(event.write().into())
    }

    /// The two names of the model that `fields` ask for.
    pub(crate) fn models(&self, fields: &Fields<'_>) -> Models {
        let asked = fields.string("model").unwrap_or_default();
        Models::new(&asked, self.aliases.map(&asked))
    }
}

impl Prepared<'_> {
    pub(crate) const fn models(&self) -> &Models {
        &self.models
    }

    /// The response that this one continues, where the socket remembers it.
    pub(crate) fn previous(&self) -> Option<&str> {
        self.previous.as_deref()
    }

    pub(crate) const fn is_warm_up(&self) -> bool {
        self.is_warm_up
    }

    /// Whether the upstream is asked to keep the response; it does unless it is told not to.
    pub(crate) fn is_stored(&self) -> bool {
        self.fields
            .get("store")
            .is_none_or(|store| store.get() != "false")
    }

    /// The request's own items.
    pub(crate) fn input(&self) -> Segment {
        self.input.clone().unwrap_or_default()
    }

    /// The body: `before`, then the request's own items.
    pub(crate) fn body<'b>(&'b self, before: impl Iterator<Item = &'b Segment>) -> Bytes {
        let mut items = String::from("[");
        let own = self.input.as_ref();
        let mut is_there = own.is_some();
        for text in before.chain(own).filter_map(Segment::as_str) {
            is_there = true;
            if items.len() > 1 {
                items.push(',');
            }
            items.push_str(text);
        }
        items.push(']');
        let mut fields = self.fields.clone();
        if is_there {
            let list = RawValue::from_string(items).expect("items in brackets are a list");
            fields.set("input", Cow::Owned(list));
        }
        fields.write().into()
    }

    /// The body, with the response that it continues left to the upstream.
    pub(crate) fn body_continuing(&mut self, previous: &str) -> Bytes {
        let value = Cow::Owned(raw(previous));
        self.fields.set("previous_response_id", value);
        self.body(std::iter::empty())
    }

    /// The event that asks an upstream's socket for this turn.
    pub(crate) fn event(&self, lane: Option<&str>) -> String {
        let mut event = Fields::default();
        event.set("type", Cow::Owned(raw("response.create")));
        if let Some(lane) = lane {
            event.set("stream_id", Cow::Owned(raw(lane)));
        }
        let body = self.body(std::iter::empty());
        let body = String::from_utf8_lossy(&body);
        let rest = body.strip_prefix('{').unwrap_or_default();
        let mut event = event.write();
        event.pop();
        if rest != "}" {
            event.push(',');
        }
        event.push_str(rest);
        event
    }
}

/// Whether only state is to be prepared.
pub(crate) fn is_warm_up(fields: &Fields<'_>) -> bool {
    let generates = fields.get("generate").map(RawValue::get);
    let is_prewarm = || {
        fields
            .get("prompt_cache_options")
            .and_then(|options| Fields::parse(options.get()).ok())
            .is_some_and(|options| {
                options
                    .get("prewarm")
                    .is_some_and(|prewarm| prewarm.get() == "true")
            })
    };
    generates == Some("false") || is_prewarm()
}

/// Takes the response that is continued out of `fields` where the socket remembers it; elsewhere it is
/// passed on as it is.
fn previous(fields: &mut Fields<'_>, way: Way) -> Result<Option<String>, Fault> {
    if way != Way::Merged {
        return Ok(None);
    }
    match fields.remove("previous_response_id") {
        None => Ok(None),
        Some(raw) if raw.get() == "null" => Ok(None),
        Some(raw) => match string(&raw) {
            Some(id) => Ok(Some(id.into_owned())),
            None => Err(Fault::PreviousMalformed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::{AliasRule, Aliases, Case, JoinInstructions, Template};

    fn body(preparation: &Preparation, text: &str, way: Way) -> String {
        let create = Create::of_body(text).unwrap();
        let prepared = preparation.prepare(create, way).unwrap();
        String::from_utf8(prepared.body(std::iter::empty()).to_vec()).unwrap()
    }

    #[test]
    fn fields_of_the_transport_go_and_those_of_the_request_are_as_they_were() {
        let text = r#"{"type":"response.create","model":"m","stream":false,"stream_id":"a","background":true,"generate":true,"previous_response_id":"r","top_p":0.50,"service_tier":"x","input":[]}"#;
        let preparation = Preparation::new();
        for (way, expected) in [
            (
                Way::Merged,
                r#"{"model":"m","top_p":0.50,"service_tier":"x","stream":true,"input":[]}"#,
            ),
            (
                Way::Relayed,
                r#"{"model":"m","generate":true,"previous_response_id":"r","top_p":0.50,"service_tier":"x","input":[]}"#,
            ),
            (
                Way::Plain,
                r#"{"model":"m","generate":true,"previous_response_id":"r","top_p":0.50,"service_tier":"x","stream":true,"input":[]}"#,
            ),
        ] {
            assert_eq!(body(&preparation, text, way), expected);
        }
    }

    #[test]
    fn metadata_goes_and_schemas_and_arguments_are_the_clients() {
        let text = r#"{"_note":1,"metadata":{"_kept":1},"tools":[{"name":"t","parameters":{"properties":{"_x":{"_y":1}}}}],"text":{"format":{"schema":{"_z":1}}},"input":"x","stream":true}"#;
        let prepared = body(&Preparation::new(), text, Way::Plain);
        assert!(!prepared.contains("_note"), "{prepared}");
        for kept in ["\"_kept\":1", "\"_x\":{\"_y\":1}", "\"_z\":1"] {
            assert!(prepared.contains(kept), "{prepared}");
        }
    }

    #[test]
    fn what_is_removed_goes_and_what_is_forced_stays_whatever_template_and_client_say() {
        let template = Template::from_json(r#"{"store":true,"temperature":1}"#).unwrap();
        let preparation = Preparation::new()
            .with_template(template, JoinInstructions::Before)
            .remove("max_output_tokens")
            .and_then(|preparation| preparation.force("store", &false))
            .unwrap();
        assert_eq!(
            body(
                &preparation,
                r#"{"max_output_tokens":5,"store":true}"#,
                Way::Plain
            ),
            r#"{"store":false,"temperature":1,"stream":true}"#
        );
    }

    #[test]
    fn the_last_of_two_models_is_the_one_that_is_mapped_and_sent() {
        let aliases = Aliases::new([AliasRule::exact("mine", Case::Matters, "theirs")]);
        let preparation = Preparation::new().with_aliases(aliases);
        let text = r#"{"model":"a","model":"m\u0069ne"}"#;
        let create = Create::of_body(text).unwrap();
        let prepared = preparation.prepare(create, Way::Plain).unwrap();
        let models = prepared.models();
        assert_eq!((&**models.asked(), &**models.mapped()), ("mine", "theirs"));
        assert_eq!(
            body(&preparation, text, Way::Plain),
            r#"{"model":"theirs","stream":true}"#
        );
    }

    #[test]
    fn a_warm_up_is_known_by_either_of_its_marks() {
        for (text, expected) in [
            (r#"{"generate":false}"#, true),
            (r#"{"generate":true}"#, false),
            (r#"{"generate":null}"#, false),
            (r#"{"generate":"false"}"#, false),
            (r#"{"prompt_cache_options":{"prewarm":true}}"#, true),
            (r#"{"prompt_cache_options":{"prewarm":false}}"#, false),
            (r#"{"prompt_cache_options":null}"#, false),
            ("{}", false),
        ] {
            assert_eq!(
                is_warm_up(&Fields::parse(text).unwrap()),
                expected,
                "{text}"
            );
        }
    }
}
