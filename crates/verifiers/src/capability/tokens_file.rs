//! A file of tokens: one `name:token` a line.

use super::token::NamedToken;
use crate::error::ConfigError;

/// Reads the tokens of a file. Blank lines and lines that begin with `#` are skipped. The name ends
/// at the first `:`, so a token may have one.
pub(super) fn parse(text: &str) -> Result<Vec<NamedToken>, ConfigError> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, token) = line
            .split_once(':')
            .map(|(name, token)| (name.trim(), token))
            .filter(|(name, _)| !name.is_empty())
            .ok_or(ConfigError::LineMalformed { line: index + 1 })?;
        tokens.push(NamedToken::new(name, token)?);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, ConfigError> {
        let tokens = parse(text)?;
        Ok(tokens.iter().map(|token| token.name().to_owned()).collect())
    }

    #[test]
    fn comments_and_blank_lines_are_skipped() {
        let text = "# people\n\n  ada: one \r\n\t# robots\nbob : t:w:o";
        assert_eq!(names(text).unwrap(), ["ada", "bob"]);
        let bob = NamedToken::new("bob", "t:w:o").unwrap();
        assert_eq!(parse(text).unwrap()[1].digest(), bob.digest());
    }

    #[test]
    fn what_is_no_token_is_refused_by_line_or_name_and_never_by_text() {
        for (text, error) in [
            ("\nsecret", ConfigError::LineMalformed { line: 2 }),
            (" : secret", ConfigError::LineMalformed { line: 1 }),
            ("ada:  ", ConfigError::TokenEmpty { name: "ada".into() }),
        ] {
            assert_eq!(names(text), Err(error), "{text:?}");
        }
    }
}
