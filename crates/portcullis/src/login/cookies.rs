//! The two cookies: one that stands for a login, and one by which a login that has begun knows its
//! browser.

use std::time::Duration;

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

/// How the cookies are called, and set.
///
/// Over TLS they have the prefix `__Host-`: a browser takes such a cookie from this host alone, and
/// gives it to this host alone, whatever other names of the domain do. Without TLS, as on loopback,
/// there is no such protection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cookies {
    is_secure: bool,
}

impl Cookies {
    pub(super) const fn new(is_secure: bool) -> Self {
        Self { is_secure }
    }

    /// The cookie of a login.
    pub(super) const fn login(self) -> &'static str {
        if self.is_secure {
            "__Host-portcullis"
        } else {
            "portcullis"
        }
    }

    /// The cookie of a browser.
    pub(super) const fn browser(self) -> &'static str {
        if self.is_secure {
            "__Host-portcullis-login"
        } else {
            "portcullis-login"
        }
    }

    /// `Set-Cookie` for one of them, for as long as `life`; zero takes it away. Script cannot read it,
    /// and other sites' pages cannot have it sent, but by a link that somebody follows.
    pub(super) fn set(self, name: &str, value: &str, life: Duration) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let seconds = life.as_secs();
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::try_from(text).expect("names and values are base64url");
        value.set_sensitive(true);
        value
    }
}

/// The cookie `name`; none when there are several, of which one would be somebody else's.
pub(super) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_only_alone() {
        let found = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            find(&headers, "portcullis").map(str::to_owned)
        };
        assert_eq!(found(&["a=b; portcullis=x"]).as_deref(), Some("x"));
        assert_eq!(found(&["a=b", "portcullis=x"]).as_deref(), Some("x"));
        assert_eq!(found(&["portcullis=x; portcullis=y"]), None);
        assert_eq!(found(&["portcullis=x", "portcullis=x"]), None);
        assert_eq!(found(&["portcullis-login=x; xportcullis=y"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn over_tls_a_cookie_is_this_hosts_alone() {
        let cookies = Cookies::new(true);
        let set = cookies.set(cookies.login(), "v", Duration::from_secs(60));
        assert!(set.is_sensitive());
        assert_eq!(
            set.to_str().expect("text"),
            "__Host-portcullis=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        let cookies = Cookies::new(false);
        let set = cookies.set(cookies.login(), "", Duration::ZERO);
        assert_eq!(
            set.to_str().expect("text"),
            "portcullis=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }
}
