//! Scenes in the place of an upstream.

use portcullis_responses::mock::Script;

use super::Answers;
use crate::config::at::At;
use crate::config::builder::Builder;
use crate::config::file;
use crate::config::problem::Problem;

/// The scenes that stand in the place of the upstream; none where it answers itself.
pub(super) fn script(
    builder: &mut Builder,
    table: &file::Responses,
    answers: &Answers,
) -> Option<Option<Script>> {
    let is_mocked = table.mock.is_some() || *answers == Answers::Scenes;
    let Some(file) = &table.scenes else {
        return Some(is_mocked.then(Script::builtin));
    };
    if !is_mocked {
        let mend = "add `mock = \"inject\"`, or remove `scenes`";
        let problem = Problem::new("nobody plays these scenes", mend);
        builder.report(problem.at(&file.span));
        return None;
    }
    let text = text_of(builder, file)?;
    let read = if file.value.ends_with(".json") {
        Script::from_json(&text)
    } else {
        Script::from_toml(&text)
    };
    let mend = "see docs/responses.md for what a scene may have";
    builder.take(read, file, mend).map(Some)
}

/// The text of a file that the config names.
pub(super) fn text_of(builder: &mut Builder, file: &At<String>) -> Option<String> {
    let bytes = builder.bytes(file)?;
    let what = format!("`{}` is not UTF-8", file.value);
    let text = String::from_utf8(bytes).map_err(|_| what);
    builder.take(text, file, "save it as UTF-8")
}
