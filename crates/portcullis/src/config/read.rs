//! From text to [`File`], with the parser's errors turned into problems that name the mend.

use super::file::File;
use super::problem::Problem;
use super::suggest;

/// Reads the text of a file.
pub(crate) fn read(text: &str) -> Result<File, Problem> {
    toml::from_str(text).map_err(|error| {
        let (what, mend) = explain(error.message());
        let problem = Problem::new(what, mend);
        match error.span() {
            Some(span) => problem.at(&span),
            None => problem,
        }
    })
}

/// What the parser's message means, and the mend. Its words are those of serde, which are the same
/// for every format.
fn explain(message: &str) -> (String, String) {
    let message = message.trim();
    let quoted = quoted(message);
    let (first, known) = match quoted.split_first() {
        Some((first, rest)) => (*first, rest),
        None => ("", &[][..]),
    };
    if message.starts_with("unknown field") {
        let what = format!("there is no key `{first}` here");
        return (what, suggest::choose(first, known));
    }
    if message.starts_with("unknown variant") {
        let what = format!("`{first}` is not a value of this key");
        return (what, suggest::choose(first, known));
    }
    if message.starts_with("missing field") {
        let what = format!("the key `{first}` is missing");
        return (what, format!("add a line `{first} = …` to this table"));
    }
    if let Some((_, expected)) = message.split_once(", expected ")
        && message.starts_with("invalid type")
    {
        return (message.to_owned(), format!("write {}", in_toml(expected)));
    }
    if message.contains("duplicate key") {
        let mend = "keep one of the two; tables of a kind that repeats are written `[[name]]`";
        return (message.to_owned(), mend.to_owned());
    }
    (
        message.to_owned(),
        "the file is TOML: `key = \"text\"`, `[table]`, `[[table that repeats]]`".to_owned(),
    )
}

/// What serde expects, in the words of TOML.
fn in_toml(expected: &str) -> String {
    match expected {
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" => "a string in quotes, such as \"text\"".to_owned(),
        "a sequence" => "a list in brackets, such as [\"one\", \"two\"]".to_owned(),
        "f64" => "a number, such as 0.1".to_owned(),
        "i64" | "u64" | "u32" => "a whole number, without quotes".to_owned(),
        other => match other.strip_prefix("struct ") {
            Some(table) => format!("a table, as `[{}]`", table.to_lowercase()),
            None => other.to_owned(),
        },
    }
}

/// The words between backticks.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}
