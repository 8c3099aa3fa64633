//! The JSON schema of the file.

use super::file::File;

/// The JSON schema of the file, for editors.
pub(crate) fn schema() -> String {
    let mut schema = schemars::schema_for!(File);
    schema.insert("title".to_owned(), "portcullis.toml".into());
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
