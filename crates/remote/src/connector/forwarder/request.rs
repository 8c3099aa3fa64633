//! Which requests go on, and with whose credential.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, ORIGIN};
use http::{Method, Request};

use crate::wire::Version;

/// What becomes of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// It goes on, to this place below the relay's base, with this door's credential.
    Own(Box<str>),
    /// It goes on with the token that the relay gave.
    Theirs(Box<str>),
    /// It is the road, with this door's credential: a host of a version other than 3 shows its user's there.
    OwnRoad,
    /// It is the road, with the token that the relay gave.
    TheirRoad,
    /// There is nothing here.
    Nowhere,
    /// It comes from where nobody may come from.
    Forbidden,
}

/// Decides about a request, by its head alone.
pub(super) fn route<B>(request: &Request<B>, secret: &str) -> Route {
    if !is_loopback_host(request.headers()) || request.headers().contains_key(ORIGIN) {
        return Route::Forbidden;
    }
    let path = request.uri().path();
    let below = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let Some((_, path)) = below.filter(|(first, _)| is_same(first, secret)) else {
        return Route::Nowhere;
    };
    let Some(asked) = path.strip_prefix("wham/remote/control/") else {
        return Route::Nowhere;
    };
    let parts: Vec<&str> = asked.split('/').collect();
    match (request.method(), &*parts) {
        (&Method::POST, ["server", "enroll" | "refresh"]) => Route::Own(path.into()),
        (&Method::GET, ["environments", environment, "clients"]) if is_id(environment) => {
            let query = request.uri().query();
            Route::Own(query.map_or_else(|| path.into(), |query| format!("{path}?{query}").into()))
        }
        (&Method::DELETE, ["environments", environment, "clients", client])
            if is_id(environment) && is_id(client) =>
        {
            Route::Own(path.into())
        }
        (&Method::POST, ["server", "pair"] | ["server", "pair", "status"]) => {
            Route::Theirs(path.into())
        }
        (&Method::GET, ["server"]) if shows_a_token(request.headers()) => Route::TheirRoad,
        (&Method::GET, ["server"]) => Route::OwnRoad,
        _ => Route::Nowhere,
    }
}

/// Whether what a host shows on its road is a token that the relay gave, and not its user's credential. Since
/// version 3 it is; what a host says in another way is taken for the worse.
fn shows_a_token(headers: &HeaderMap) -> bool {
    let mut versions = headers.get_all("x-codex-protocol-version").iter();
    let version = versions.next();
    version.is_some_and(|version| version == Version::V3.as_str()) && versions.next().is_none()
}

/// A page of the web may be made to believe that another name is this machine's (DNS rebinding), but
/// then it says that name.
fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Compares in a time that does not depend on where they differ.
fn is_same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// A part of a path that means nothing but itself.
fn is_id(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !part.is_empty() && part.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn only_what_hosts_ask_of_remote_control_goes_on() {
        let own = |path: &str| Route::Own(path.into());
        let theirs = |path: &str| Route::Theirs(path.into());
        for (method, path, route) in [
            (
                "POST",
                "wham/remote/control/server/enroll",
                own("wham/remote/control/server/enroll"),
            ),
            (
                "POST",
                "wham/remote/control/server/refresh",
                own("wham/remote/control/server/refresh"),
            ),
            (
                "POST",
                "wham/remote/control/server/pair",
                theirs("wham/remote/control/server/pair"),
            ),
            (
                "POST",
                "wham/remote/control/server/pair/status",
                theirs("wham/remote/control/server/pair/status"),
            ),
            ("GET", "wham/remote/control/server", Route::OwnRoad),
            (
                "GET",
                "wham/remote/control/environments/env_1/clients?limit=5",
                own("wham/remote/control/environments/env_1/clients?limit=5"),
            ),
            (
                "DELETE",
                "wham/remote/control/environments/env_1/clients/c-1",
                own("wham/remote/control/environments/env_1/clients/c-1"),
            ),
            ("GET", "wham/remote/control/server/enroll", Route::Nowhere),
            ("POST", "wham/remote/control/server", Route::Nowhere),
            ("POST", "wham/remote/control/server/enroll/", Route::Nowhere),
            ("POST", "wham/remote/control/server/../../x", Route::Nowhere),
            (
                "DELETE",
                "wham/remote/control/environments/../clients/c",
                Route::Nowhere,
            ),
            (
                "DELETE",
                "wham/remote/control/environments/%2e%2e/clients/c",
                Route::Nowhere,
            ),
            ("GET", "ps/plugins/installed", Route::Nowhere),
            ("GET", "wham/accounts/check", Route::Nowhere),
            ("GET", "", Route::Nowhere),
        ] {
            let found = decide(method, &format!("/{SECRET}/{path}"), &[]);
            assert_eq!(found, route, "{method} {path}");
        }
    }

    #[test]
    fn only_a_road_of_version_3_shows_a_token_of_the_relay() {
        let path = format!("/{SECRET}/wham/remote/control/server");
        for (versions, route) in [
            (&["3"][..], Route::TheirRoad),
            (&["2"], Route::OwnRoad),
            (&["4"], Route::OwnRoad),
            (&["3, 2"], Route::OwnRoad),
            (&["3", "2"], Route::OwnRoad),
            (&["2", "3"], Route::OwnRoad),
            (&[""], Route::OwnRoad),
            (&[], Route::OwnRoad),
        ] {
            let mut headers = vec![("host", "localhost")];
            headers.extend(versions.iter().map(|v| ("x-codex-protocol-version", *v)));
            assert_eq!(decide("GET", &path, &headers), route, "{versions:?}");
        }
    }

    #[test]
    fn without_the_secret_there_is_nothing() {
        for path in [
            "/wham/remote/control/server",
            "//wham/remote/control/server",
            "/0123456789abcdeF/wham/remote/control/server",
            "/0123456789abcde/wham/remote/control/server",
            "/0123456789abcdef0/wham/remote/control/server",
            "/x/0123456789abcdef/wham/remote/control/server",
        ] {
            assert_eq!(decide("GET", path, &[]), Route::Nowhere, "{path}");
        }
    }

    #[test]
    fn pages_and_foreign_names_are_kept_out() {
        let path = format!("/{SECRET}/wham/remote/control/server");
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:9",
            "127.1.2.3",
            "[::1]:9",
            "[::1]",
        ] {
            assert_eq!(
                decide("GET", &path, &[("host", host)]),
                Route::OwnRoad,
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "",
            "0.0.0.0",
        ] {
            assert_eq!(
                decide("GET", &path, &[("host", host)]),
                Route::Forbidden,
                "{host}"
            );
        }
        let page = [("host", "localhost"), ("origin", "http://localhost")];
        assert_eq!(decide("GET", &path, &page), Route::Forbidden);
        let request = Request::builder().uri(&*path).body(()).unwrap();
        assert_eq!(route(&request, SECRET), Route::Forbidden, "without a host");
    }

    fn decide(method: &str, path: &str, headers: &[(&str, &str)]) -> Route {
        let mut request = Request::builder().method(method).uri(path);
        if headers.is_empty() {
            request = request.header("host", "127.0.0.1:4500");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        route(&request.body(()).unwrap(), SECRET)
    }
}
