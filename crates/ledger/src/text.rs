//! Which texts can be kept.
//!
//! PostgreSQL keeps no NUL, and indexes nothing long. The same holds for both databases, so that
//! nobody notices the difference when moving from one to the other.

use portcullis_boundary::Scopes;

use crate::error::LedgerError;

/// The most bytes of a name: a subject, issuer, id, route or the like.
pub(crate) const MAX_NAME: usize = 1024;

/// The most bytes of free text.
pub(crate) const MAX_NOTE: usize = 4096;

/// The most bytes of a document that is kept for its owner and not looked into.
pub(crate) const MAX_DOCUMENT: usize = 8192;

/// Checks a name, which must not be empty.
pub(crate) fn name(field: &'static str, text: &str) -> Result<(), LedgerError> {
    if text.is_empty() {
        return Err(LedgerError::invalid(field, "is empty"));
    }
    at_most(field, text, MAX_NAME)
}

/// Checks a name that need not be there.
pub(crate) fn optional(field: &'static str, text: Option<&str>) -> Result<(), LedgerError> {
    text.map_or(Ok(()), |text| at_most(field, text, MAX_NAME))
}

/// Checks a text against its greatest length.
pub(crate) fn at_most(field: &'static str, text: &str, most: usize) -> Result<(), LedgerError> {
    if text.len() > most {
        return Err(LedgerError::invalid(field, "is too long"));
    }
    if text.contains('\0') {
        return Err(LedgerError::invalid(field, "has a NUL in it"));
    }
    Ok(())
}

/// Checks scopes, which are kept as a space-delimited list: one with a space in it would come back
/// as two.
pub(crate) fn scopes(scopes: &Scopes) -> Result<(), LedgerError> {
    if scopes
        .iter()
        .any(|scope| scope.is_empty() || scope.contains(|c: char| c.is_ascii_whitespace()))
    {
        return Err(LedgerError::invalid("a scope", "is empty or has a space"));
    }
    at_most("the scopes", &scopes.to_string(), MAX_NOTE)
}

/// What of `text` can be kept: at most `most` bytes, without NUL. For records of what happened,
/// which are better kept in part than not at all.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    text.get(..end)
        .unwrap_or_default()
        .replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_never_longer_than_asked() {
        assert_eq!(clean("äöü", 3), "ä");
        assert_eq!(clean("a\0b", 3), "a\u{fffd}b");
        assert_eq!(clean("", 3), "");
    }

    #[test]
    fn a_scope_that_would_come_back_as_two_is_refused() {
        let two: Scopes = ["read admin"].into_iter().collect();
        assert_eq!(
            scopes(&two),
            Err(LedgerError::invalid("a scope", "is empty or has a space"))
        );
        assert_eq!(scopes(&Scopes::parse("read admin")), Ok(()));
    }

    #[test]
    fn names_have_a_length_and_no_nul() {
        assert!(name("n", "").is_err());
        assert!(name("n", "a\0").is_err());
        assert!(name("n", &"a".repeat(MAX_NAME + 1)).is_err());
        assert_eq!(name("n", &"a".repeat(MAX_NAME)), Ok(()));
    }
}
