//! What becomes of requests.

use portcullis_responses::{
    AliasRule, Aliases, Case, ConfigError, ForwardedHeaders, JoinInstructions, Preparation,
    Template,
};

use super::scenes::text_of;
use crate::config::at::At;
use crate::config::builder::Builder;
use crate::config::file;
use crate::config::problem::Problem;

/// The preparation that `table` asks for.
pub(super) fn preparation(builder: &mut Builder, table: &file::Responses) -> Option<Preparation> {
    let mut preparation = Preparation::new();
    let mut rules = Vec::new();
    for At { value: alias, .. } in &table.aliases {
        let mend = "write a regular expression such as \"^gpt-4\"; a backslash is written twice";
        rules.extend(builder.take(rule(alias), &alias.r#match, mend));
    }
    preparation = preparation.with_aliases(Aliases::new(rules));
    let ours = "leave it out: the bridge sees to it by itself";
    for (field, value) in &table.force {
        let forced = preparation.clone().force(&field.value, &value.value);
        preparation = builder.take(forced, field, ours).unwrap_or(preparation);
    }
    for field in &table.remove {
        let removed = preparation.clone().remove(&field.value);
        preparation = builder.take(removed, field, ours).unwrap_or(preparation);
    }
    if table.keep_item_references {
        preparation = preparation.keeping_item_references();
    }
    for name in &table.forward_headers {
        // Each by itself, so that the problem stands at its name.
        let mend = "write a name such as \"user-agent\", or a beginning such as \"x-codex-*\"";
        let only = ForwardedHeaders::only([&*name.value]);
        let _: Option<ForwardedHeaders> = builder.take(only, name, mend);
    }
    let names = table.forward_headers.iter().map(|name| &*name.value);
    let headers = ForwardedHeaders::only(names).ok()?;
    let join = match table.join_instructions {
        file::JoinInstructions::Before => JoinInstructions::Before,
        file::JoinInstructions::WhenMissing => JoinInstructions::WhenMissing,
    };
    let template = template(builder, table)?;
    Some(
        preparation
            .with_headers(headers)
            .with_template(template, join),
    )
}

fn rule(alias: &file::Alias) -> Result<AliasRule, ConfigError> {
    let case = if alias.ignore_case {
        Case::Ignored
    } else {
        Case::Matters
    };
    let (name, target) = (&*alias.r#match.value, &*alias.to);
    match alias.kind {
        file::AliasKind::Exact => Ok(AliasRule::exact(name, case, target)),
        file::AliasKind::Prefix => Ok(AliasRule::prefix(name, case, target)),
        file::AliasKind::Suffix => Ok(AliasRule::suffix(name, case, target)),
        file::AliasKind::Regex => AliasRule::regex(name, case, target),
    }
}

/// The instructions, and whatever else the template files have, each what those before it lack.
fn template(builder: &mut Builder, table: &file::Responses) -> Option<Template> {
    let mut template = Template::empty();
    let instructions = match (&table.instructions, &table.instructions_file) {
        (Some(text), Some(file)) => {
            let mend = "keep `instructions` or `instructions_file`";
            let problem = Problem::new("the instructions stand twice", mend).at(&file.span);
            builder.report(problem.beside(&text.span, "and here"));
            return None;
        }
        (Some(text), None) => Some(text.value.clone()),
        (None, Some(file)) => Some(text_of(builder, file)?),
        (None, None) => None,
    };
    if let Some(instructions) = instructions {
        let object = serde_json::json!({ "instructions": instructions });
        template = Template::from_json(&object.to_string()).ok()?;
    }
    for file in &table.templates {
        let text = text_of(builder, file)?;
        let mend = "write a JSON object with the fields of a request, such as {\"include\": []}";
        let read = builder.take(Template::from_json(&text), file, mend)?;
        template = template.or(read);
    }
    Some(template)
}
