//! A cookie, by name (RFC 6265, 4.2).

use std::fmt;

use http::header::{COOKIE, HeaderMap, HeaderValue};

use super::{Malformed, Unattachable};

/// The name of a cookie: a token of RFC 9110, 5.6.2.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// The name `name`, if it is one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        (!name.is_empty() && name.bytes().all(token)).then(|| Self(name.into()))
    }

    pub(super) fn extract(&self, headers: &HeaderMap) -> Result<Option<String>, Malformed> {
        let mut found = None;
        for header in headers.get_all(COOKIE) {
            let text = header
                .to_str()
                .map_err(|_| Malformed("`Cookie` is not visible ASCII"))?;
            for value in pairs(text).filter_map(|pair| self.value_of(pair)) {
                if found.replace(value).is_some() {
                    return Err(Malformed(
                        "there are several cookies of the credential's name",
                    ));
                }
            }
        }
        match found {
            Some("") => Err(Malformed("the credential's cookie is empty")),
            found => Ok(found.map(str::to_owned)),
        }
    }

    pub(super) fn attach(&self, secret: &str, headers: &mut HeaderMap) -> Result<(), Unattachable> {
        // The cookie-octets of RFC 6265, 4.1.1.
        let octet = |b: u8| b.is_ascii_graphic() && !b"\",;\\".contains(&b);
        if secret.is_empty() || !secret.bytes().all(octet) {
            return Err(Unattachable);
        }
        self.strip(headers);
        let own = format!("{self}={secret}");
        let all = match headers.get(COOKIE).map(HeaderValue::to_str) {
            Some(Ok(others)) => format!("{others}; {own}"),
            Some(Err(_)) => return Err(Unattachable),
            None => own,
        };
        let mut value = HeaderValue::try_from(all).map_err(|_| Unattachable)?;
        value.set_sensitive(true);
        headers.insert(COOKIE, value);
        Ok(())
    }

    /// Takes away the cookies of this name. A header that cannot be read goes as a whole.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        let own = |pair: &&str| self.value_of(pair).is_none();
        let kept: Vec<String> = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|header| header.to_str().ok())
            .map(|text| pairs(text).filter(own).collect::<Vec<_>>().join("; "))
            .filter(|pairs| !pairs.is_empty())
            .collect();
        headers.remove(COOKIE);
        for pairs in kept {
            if let Ok(value) = HeaderValue::try_from(pairs) {
                headers.append(COOKIE, value);
            }
        }
    }

    fn value_of<'a>(&self, pair: &'a str) -> Option<&'a str> {
        let (name, value) = pair.split_once('=')?;
        (name.trim_end() == &*self.0).then(|| value.trim())
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
}
