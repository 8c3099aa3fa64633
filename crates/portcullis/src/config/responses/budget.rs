//! Budgets of tokens.

use std::time::Duration;

use crate::config::values::BadValue;
use crate::turns::Budget;

/// Reads `500000/h`.
pub(super) fn read_budget(text: &str) -> Result<Budget, BadValue> {
    let bad = || BadValue {
        what: format!("`{text}` is not a budget"),
        mend: "write how many tokens in which time, such as \"500000/h\" or \"2000000/d\"",
    };
    let (tokens, unit) = text.split_once('/').ok_or_else(bad)?;
    let tokens: u64 = tokens.trim().parse().map_err(|_| bad())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    if tokens == 0 {
        return Err(bad());
    }
    let period = Duration::from_secs(seconds);
    Ok(Budget { tokens, period })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_tokens_in_a_time() {
        let day = Budget {
            tokens: 2_000_000,
            period: Duration::from_secs(86_400),
        };
        assert_eq!(read_budget("2000000/d"), Ok(day));
        for no in ["", "5", "0/h", "5/w", "-5/h", "x/h", "5/"] {
            assert!(read_budget(no).is_err(), "{no:?}");
        }
    }
}
