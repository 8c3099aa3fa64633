//! Durations, sizes and rates, as people write them.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::limits::Rate;

/// A value that cannot be read, with the mend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct BadValue {
    /// What is wrong.
    pub(crate) what: String,
    /// What to write instead.
    pub(crate) mend: &'static str,
}

/// Reads `500ms`, `30s`, `10m`, `12h`, `7d`, or several of them: `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, BadValue> {
    let bad = || BadValue {
        what: format!("`{text}` is not a duration"),
        mend: "write a number and its unit, such as \"500ms\", \"30s\", \"10m\", \"12h\" or \"7d\"",
    };
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(bad)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let part = number.checked_mul(millis).ok_or_else(bad)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or_else(bad)?;
        rest = after;
    }
    Ok(total)
}

/// Reads `1048576`, `512KiB`, `128MiB`, `1GiB`, or decimal `64kB`, `1MB`.
pub(crate) fn size(text: &str) -> Result<u64, BadValue> {
    let bad = || BadValue {
        what: format!("`{text}` is not a size"),
        mend: "write a number of bytes, or one with its unit, such as \"512KiB\" or \"128MiB\"",
    };
    let (number, unit) = leading_number(text.trim()).ok_or_else(bad)?;
    let factor = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    let bytes = number.checked_mul(factor).ok_or_else(bad)?;
    if bytes == 0 {
        return Err(bad());
    }
    Ok(bytes)
}

/// Reads `100/s`, `100/m` or `100/h`; `burst` says how many may come at once.
pub(crate) fn rate(text: &str, burst: Option<NonZeroU32>) -> Result<Rate, BadValue> {
    let bad = || BadValue {
        what: format!("`{text}` is not a rate"),
        mend: "write how many in which time, such as \"10/s\", \"600/m\" or \"1000/h\"",
    };
    let (count, unit) = text.split_once('/').ok_or_else(bad)?;
    let count: NonZeroU32 = count.trim().parse().map_err(|_| bad())?;
    let period = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" | "min" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err(bad()),
    };
    Ok(Rate::with_burst(count, period, burst.unwrap_or(count)))
}

/// Reads a number of things of which there must be at least one.
pub(crate) fn count(number: i64) -> Result<NonZeroU32, BadValue> {
    u32::try_from(number)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or_else(|| BadValue {
            what: format!("{number} is not a number of things"),
            mend: "write a whole number from 1 to 4294967295, or leave the key out for no limit",
        })
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for no in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "5s ",
            "5x",
            "1.5s",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(no).is_ok(), no == "5s ", "{no:?}");
        }
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        assert_eq!(size("10"), Ok(10));
        assert_eq!(size("128MiB"), Ok(128 << 20));
        assert_eq!(size("64 kB"), Ok(64_000));
        for no in ["", "0", "MiB", "1TiBx", "-1", "99999999999GiB"] {
            assert!(size(no).is_err(), "{no:?}");
        }
    }

    #[test]
    fn rates_are_a_count_and_a_time() {
        let ten = NonZeroU32::new(10).expect("ten");
        let second = Duration::from_secs(1);
        assert_eq!(rate("10/s", None), Ok(Rate::new(ten, second)));
        assert_eq!(
            rate("10/s", NonZeroU32::new(2)),
            Ok(Rate::with_burst(
                ten,
                second,
                NonZeroU32::new(2).expect("two")
            ))
        );
        for no in ["10", "0/s", "10/d", "/s", "x/s"] {
            assert!(rate(no, None).is_err(), "{no:?}");
        }
    }
}
