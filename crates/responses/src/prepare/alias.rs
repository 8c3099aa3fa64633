//! Names of models that stand for others.

use regex::{Regex, RegexBuilder};

use crate::error::ConfigError;

/// Whether upper and lower case differ in a name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Case {
    /// They do.
    #[default]
    Matters,
    /// They do not (ASCII).
    Ignored,
}

/// One rule: which names a client may say, and what the upstream is told instead.
#[derive(Clone, Debug)]
pub struct AliasRule {
    matches: Matches,
    target: Box<str>,
}

#[derive(Clone, Debug)]
enum Matches {
    Exact(Box<str>, Case),
    Prefix(Box<str>, Case),
    Suffix(Box<str>, Case),
    Regex(Regex),
}

impl AliasRule {
    /// The name itself.
    #[must_use]
    pub fn exact(name: &str, case: Case, target: &str) -> Self {
        Self::new(Matches::Exact(name.into(), case), target)
    }

    /// Names that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str, case: Case, target: &str) -> Self {
        Self::new(Matches::Prefix(prefix.into(), case), target)
    }

    /// Names that end with `suffix`.
    #[must_use]
    pub fn suffix(suffix: &str, case: Case, target: &str) -> Self {
        Self::new(Matches::Suffix(suffix.into(), case), target)
    }

    /// Names in which `pattern` is found; anchor it with `^` and `$` to mean the whole name.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Pattern`] when it is no regular expression, or one that is too large.
    pub fn regex(pattern: &str, case: Case, target: &str) -> Result<Self, ConfigError> {
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(case == Case::Ignored)
            .size_limit(MOST_REGEX)
            .build()
            .map_err(|error| ConfigError::Pattern {
                pattern: pattern.into(),
                reason: error.to_string().into(),
            })?;
        Ok(Self::new(Matches::Regex(regex), target))
    }

    fn new(matches: Matches, target: &str) -> Self {
        Self {
            matches,
            target: target.into(),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match &self.matches {
            Matches::Exact(exact, case) => is_same(name, exact, *case),
            Matches::Prefix(prefix, case) => name
                .get(..prefix.len())
                .is_some_and(|start| is_same(start, prefix, *case)),
            Matches::Suffix(suffix, case) => name
                .len()
                .checked_sub(suffix.len())
                .and_then(|start| name.get(start..))
                .is_some_and(|end| is_same(end, suffix, *case)),
            Matches::Regex(regex) => regex.is_match(name),
        }
    }
}

/// Rules in their order; the first that matches counts, and is not asked again of its target.
#[derive(Clone, Debug, Default)]
pub struct Aliases(Vec<AliasRule>);

impl Aliases {
    /// These rules in this order.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = AliasRule>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// What the upstream is told for `name`.
    #[must_use]
    pub fn map<'a>(&'a self, name: &'a str) -> &'a str {
        self.0
            .iter()
            .find(|rule| rule.matches(name))
            .map_or(name, |rule| &rule.target)
    }

    /// The names that stand in exact rules.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|rule| match &rule.matches {
            Matches::Exact(name, _) => Some(&**name),
            Matches::Prefix(..) | Matches::Suffix(..) | Matches::Regex(_) => None,
        })
    }
}

fn is_same(one: &str, other: &str, case: Case) -> bool {
    match case {
        Case::Matters => one == other,
        Case::Ignored => one.eq_ignore_ascii_case(other),
    }
}

/// Compiled, in bytes: patterns are an operator's, and short.
const MOST_REGEX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_counts() {
        let aliases = Aliases::new([
            AliasRule::exact("gpt-5", Case::Matters, "exact"),
            AliasRule::prefix("gpt-", Case::Matters, "prefix"),
            AliasRule::suffix("-mini", Case::Matters, "suffix"),
            AliasRule::prefix("Claude", Case::Ignored, "folded"),
            AliasRule::regex("^o[13](-|$)", Case::Ignored, "regex").unwrap(),
            AliasRule::exact(
                "exact",
                Case::Matters,
                "never: a target is not mapped again",
            ),
        ]);
        for (name, target) in [
            ("gpt-5", "exact"),
            ("gpt-5-mini", "prefix"),
            ("gpt-", "prefix"),
            ("GPT-5", "GPT-5"),
            ("x-mini", "suffix"),
            ("-mini", "suffix"),
            ("mini", "mini"),
            ("clAUDE-3", "folded"),
            ("O1-pro", "regex"),
            ("o3", "regex"),
            ("o31", "o31"),
            ("", ""),
            ("gpt\u{fc}", "gpt\u{fc}"),
        ] {
            assert_eq!(aliases.map(name), target, "{name}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_an_error_of_the_config() {
        let error = AliasRule::regex("(", Case::Matters, "x").unwrap_err();
        assert!(matches!(error, ConfigError::Pattern { .. }), "{error}");
    }
}
