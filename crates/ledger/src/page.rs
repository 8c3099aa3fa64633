//! Lists, page by page.

use crate::error::LedgerError;

/// Which part of a list is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    after: Option<Box<str>>,
    limit: u16,
}

impl Page {
    /// The most entries of a page.
    pub const MAX: u16 = 1000;

    /// The first `limit` entries.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Invalid`] unless `limit` is from 1 to [`Page::MAX`].
    pub const fn first(limit: u16) -> Result<Self, LedgerError> {
        if limit == 0 || limit > Self::MAX {
            return Err(LedgerError::invalid(
                "a page's limit",
                "is not from 1 to 1000",
            ));
        }
        Ok(Self { after: None, limit })
    }

    /// Those that come after the page whose [`Listed::next`] was `cursor`. A text that is no
    /// cursor of the list is an error of the list.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<Box<str>>) -> Self {
        self.after = Some(cursor.into());
        self
    }

    /// The most entries.
    #[must_use]
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// The cursor, as text.
    pub(crate) fn after_text(&self) -> Result<Option<String>, LedgerError> {
        let after = self.after.as_deref();
        crate::text::optional("a cursor", after)?;
        Ok(after.map(str::to_owned))
    }

    /// The cursor, as one number.
    pub(crate) fn after_number(&self) -> Result<Option<i64>, LedgerError> {
        let number = |text: &str| text.parse().map_err(|_| BAD_CURSOR);
        self.after.as_deref().map(number).transpose()
    }

    /// The cursor, as two numbers.
    pub(crate) fn after_pair(&self) -> Result<Option<(i64, i64)>, LedgerError> {
        let pair = |text: &str| {
            let (one, two) = text.split_once('.')?;
            Some((one.parse().ok()?, two.parse().ok()?))
        };
        let pair = |text: &str| pair(text).ok_or(BAD_CURSOR);
        self.after.as_deref().map(pair).transpose()
    }
}

const BAD_CURSOR: LedgerError = LedgerError::invalid("a cursor", "is none of this list");

/// A page of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "complete: the entries and where to go on"
)]
pub struct Listed<T> {
    /// The entries, in the list's order.
    pub items: Vec<T>,
    /// The cursor for [`Page::after`]; none on the last page.
    pub next: Option<Box<str>>,
}

impl<T> Listed<T> {
    /// The page of `found`, which has one entry more than the page when there is a next page.
    pub(crate) fn new(mut found: Vec<T>, page: &Page, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::from(page.limit);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| has_more);
        let next = last.map(|entry| cursor(entry).into());
        Self { items: found, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_page_is_an_error_and_not_a_smaller_page() {
        assert!(Page::first(0).is_err());
        assert!(Page::first(1001).is_err());
        assert_eq!(Page::first(1000).map(|page| page.limit()), Ok(1000));
    }

    #[test]
    fn a_cursor_of_another_list_is_an_error() {
        let page = Page::first(1).expect("a page").after("x' OR 1=1 --");
        assert_eq!(page.after_number(), Err(BAD_CURSOR));
        assert_eq!(page.after_pair(), Err(BAD_CURSOR));
        let page = Page::first(1).expect("a page").after("-5.7");
        assert_eq!(page.after_pair(), Ok(Some((-5, 7))));
    }
}
