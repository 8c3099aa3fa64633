//! What a collector is told beside the spans, such as who tells it.

use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use portcullis_verifiers::secret_file::SecretFile;

/// Headers for a collector. All of them may be secrets, and are marked so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CollectorHeaders {
    /// Those in a file, which is read for each export: who renews it need not tell the gate.
    File(PathBuf),
    /// These.
    Given(HeaderMap),
}

/// Why headers cannot be read. None of their values is in it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BadHeaders {
    /// A line is no header.
    #[error("line {0} is no header")]
    Line(usize),
    /// A member of a list is no header.
    #[error("member {0} of the list is no header")]
    Member(usize),
    /// The file cannot be read.
    #[error("{0}")]
    File(String),
}

impl CollectorHeaders {
    /// None at all.
    pub(crate) fn none() -> Self {
        Self::Given(HeaderMap::new())
    }

    /// Those in the file at `path`, which must be good now.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(crate) fn in_file(path: PathBuf) -> Result<Self, BadHeaders> {
        read_file(&path)?;
        Ok(Self::File(path))
    }

    /// `name=value,name=value` with escapes, as `OTEL_EXPORTER_OTLP_HEADERS` has them.
    ///
    /// # Errors
    ///
    /// What is wrong with the list.
    pub(crate) fn in_list(list: &str) -> Result<Self, BadHeaders> {
        read_list(list).map(Self::Given)
    }

    /// Whether there are none.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::Given(headers) if headers.is_empty())
    }

    /// The headers as they are now. Cancel-safe.
    pub(super) async fn read(&self) -> Result<HeaderMap, BadHeaders> {
        match self {
            Self::Given(headers) => Ok(headers.clone()),
            Self::File(path) => {
                let path = path.clone();
                // A disk may be slow: not on the thread that all around the gate shares.
                tokio::task::spawn_blocking(move || read_file(&path))
                    .await
                    .map_err(|error| BadHeaders::File(error.to_string()))?
            }
        }
    }
}

fn read_file(path: &Path) -> Result<HeaderMap, BadHeaders> {
    let file = SecretFile::read(path).map_err(|error| BadHeaders::File(error.to_string()))?;
    read_lines(file.expose())
}

/// Headers as lines `Name: value`; blank lines and those that begin with `#` are skipped.
fn read_lines(text: &str) -> Result<HeaderMap, BadHeaders> {
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line
            .split_once(':')
            .and_then(|(name, value)| header(name, value))
            .ok_or(BadHeaders::Line(index + 1))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn read_list(text: &str) -> Result<HeaderMap, BadHeaders> {
    let mut headers = HeaderMap::new();
    let members = text.split(',').map(str::trim).enumerate();
    for (index, member) in members.filter(|(_, member)| !member.is_empty()) {
        let bad = || BadHeaders::Member(index + 1);
        let (name, value) = member.split_once('=').ok_or_else(bad)?;
        let value = percent_decode_str(value).decode_utf8();
        let value = value.map_err(|_| bad())?;
        let (name, value) = header(name, &value).ok_or_else(bad)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name.trim()).ok()?;
    let mut value = HeaderValue::try_from(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let each = headers.iter();
        each.map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect()
    }

    #[test]
    fn a_file_has_a_header_in_each_line() {
        let text = "# for the collector\nAuthorization: Bearer a:b\n\n  x-tenant:  ours \n";
        let headers = read_lines(text).expect("headers");
        assert_eq!(
            shown(&headers),
            [("authorization", "Bearer a:b"), ("x-tenant", "ours")]
        );
        for (bad, line) in [("x", 1), ("a: b\n: c", 2), ("a b: c", 1), ("a: \u{1}", 1)] {
            assert_eq!(read_lines(bad), Err(BadHeaders::Line(line)), "{bad:?}");
        }
    }

    #[test]
    fn a_list_has_escapes() {
        let headers = read_list("authorization=Basic%20YTpi=, x-tenant = ours,").expect("headers");
        assert_eq!(
            shown(&headers),
            [("authorization", "Basic YTpi="), ("x-tenant", "ours")]
        );
        for bad in ["x", "=x", "a=%ff", "a=b%0Ac: d"] {
            assert_eq!(read_list(bad), Err(BadHeaders::Member(1)), "{bad:?}");
        }
    }

    #[test]
    fn no_value_is_ever_shown() {
        let headers = read_lines("Authorization: Bearer s3cr3t").expect("headers");
        let shown = format!("{:?}", CollectorHeaders::Given(headers));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
