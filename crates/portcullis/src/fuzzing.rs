//! The way in for the fuzz targets.

/// Reads the text of a configuration file; what is wrong with it comes as a person would be told.
/// Nothing that it names is opened.
///
/// # Errors
///
/// The problem, with its place and its mend.
pub fn read_config(text: &str) -> Result<(), String> {
    match crate::config::read_text(text) {
        Ok(_) => Ok(()),
        Err(problem) => Err(format!("{problem:?}")),
    }
}
