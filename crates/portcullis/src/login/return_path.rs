//! Where a browser goes when it has logged in.

/// A path of this host, with its query: it never leads elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ReturnPath(Box<str>);

impl ReturnPath {
    /// The path that was asked for, or `/` for anything that is none.
    ///
    /// Two slashes would begin another host's name, and browsers take a backslash for a slash and
    /// leave tabs and line ends out. The gate's own pages are no place to return to.
    pub(super) fn new(asked: Option<&str>) -> Self {
        let is_plain = |b: u8| b.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&b);
        let good = asked.filter(|path| {
            path.starts_with('/')
                && !path.starts_with("//")
                && !path.starts_with("/.portcullis/")
                && path.len() <= MOST_BYTES
                && path.bytes().all(is_plain)
        });
        Self(good.unwrap_or("/").into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Less than a ledger keeps.
const MOST_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_host_is_returned_to() {
        for good in ["/", "/a", "/a/b?c=d&e=%2F//f#g", "/@evil.example", "/:80"] {
            assert_eq!(ReturnPath::new(Some(good)).as_str(), good);
        }
        let long = format!("/{}", "a".repeat(2048));
        for bad in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            " /a",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a b",
            "/\"><script>",
            "/é",
            "/.portcullis/logout",
            &long,
        ] {
            assert_eq!(ReturnPath::new(Some(bad)).as_str(), "/", "{bad}");
        }
        assert_eq!(ReturnPath::new(None).as_str(), "/");
    }
}
