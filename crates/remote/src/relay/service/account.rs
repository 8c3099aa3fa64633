//! Who asks.

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
