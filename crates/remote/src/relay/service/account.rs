//! Who asks, and for what.

use crate::wire::MAX_ID;

/// Whose request it is, as an extension of it: who put it there vouches for it.
///
/// Two people of one text are one person: where several issuers vouch for subjects, the issuer belongs into it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Account(Box<str>);

impl Account {
    /// The account that is called so.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` can be an id that was given out here: a book need not be asked about all that strangers
/// say.
pub(super) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
