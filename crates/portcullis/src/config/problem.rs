//! What is wrong with a configuration: where, and how to mend it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

/// One thing that is wrong, with its place in the file and the mend.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// What is wrong.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) mend: String,
    /// Where it stands, unless it is about something that is missing from the whole file.
    pub(crate) span: Option<Range<usize>>,
    /// A second place that it has to do with, and what that is.
    pub(crate) other: Option<(Range<usize>, &'static str)>,
}

impl Problem {
    /// A problem without a place.
    pub(crate) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mend: mend.into(),
            span: None,
            other: None,
        }
    }

    /// Says where it stands.
    #[must_use]
    pub(crate) fn at(mut self, span: &Range<usize>) -> Self {
        self.span = Some(span.clone());
        self
    }

    /// Names a second place.
    #[must_use]
    pub(crate) fn beside(mut self, span: &Range<usize>, label: &'static str) -> Self {
        self.other = Some((span.clone(), label));
        self
    }
}

/// All that is wrong with one file.
#[derive(Debug)]
pub(crate) struct Problems {
    source: Arc<NamedSource<String>>,
    problems: Vec<Problem>,
}

impl Problems {
    /// The problems of the file `name` with the text `text`.
    pub(crate) fn new(name: &str, text: &str, problems: Vec<Problem>) -> Self {
        Self {
            source: Arc::new(NamedSource::new(name, without_passwords(text))),
            problems,
        }
    }

    /// Each with its line and column, from 1, in the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Problem, Option<(usize, usize)>)> {
        self.problems
            .iter()
            .map(|problem| (problem, self.place(problem)))
    }

    /// The name of the file.
    pub(crate) fn file(&self) -> &str {
        self.source.name()
    }

    /// All of them as people read them, with the lines that they are about.
    pub(crate) fn render(&self, coloured: bool) -> String {
        let theme = if coloured {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(100)
            .with_context_lines(1)
            .with_links(false);
        let mut out = String::new();
        for problem in &self.problems {
            let report = Located {
                problem,
                source: &self.source,
            };
            handler
                .render_report(&mut out, &report)
                .expect("a string takes whatever is written");
        }
        out
    }

    fn place(&self, problem: &Problem) -> Option<(usize, usize)> {
        let start = problem.span.as_ref()?.start;
        let before = self.source.inner().get(..start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Some((line, column))
    }
}

/// The text with stars for who enters by its URLs, so that a line that is shown shows no password.
/// It is as long as before, in bytes.
fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(['"', '\'', '\n']).unwrap_or(after.len());
        let (url, next) = after.split_at(end);
        let secret = url.rfind('@').map_or(0, |at| at + 1);
        let query = url.find('?').unwrap_or(url.len());
        shown.push_str(before);
        shown.push_str("://");
        for (index, c) in url.char_indices() {
            if index + 1 < secret || index > query {
                shown.extend(std::iter::repeat_n('*', c.len_utf8()));
            } else {
                shown.push(c);
            }
        }
        rest = next;
    }
    shown.push_str(rest);
    shown
}

/// For one line of a log.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (problem, place)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            f.write_str(self.file())?;
            if let Some((line, column)) = place {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {} ({})", problem.what, problem.mend)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A problem beside its file, as miette wants it.
#[derive(Debug)]
struct Located<'a> {
    problem: &'a Problem,
    source: &'a NamedSource<String>,
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.what)
    }
}

impl std::error::Error for Located<'_> {}

impl Diagnostic for Located<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.mend))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.problem.span.as_ref()?;
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        let here = LabeledSpan::new_primary_with_span(Some("here".to_owned()), span);
        let other = self.problem.other.iter().map(|(span, label)| {
            LabeledSpan::new_with_span(Some((*label).to_owned()), span.clone())
        });
        Some(Box::new(std::iter::once(here).chain(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_shown_has_no_password_in_it() {
        for (text, shown) in [
            (
                "url = \"postgres://u:h@nter2@h/d\"\nx",
                "url = \"postgres://*********@h/d\"\nx",
            ),
            ("'nats://tok\u{e9}n@h'", "'nats://******@h'"),
            ("'postgres:///d?password=x'", "'postgres:///d?**********'"),
            ("a = \"http://h/p\" # @", "a = \"http://h/p\" # @"),
        ] {
            assert_eq!(without_passwords(text), shown);
            assert_eq!(without_passwords(text).len(), text.len());
        }
    }
}
