//! Which route an arrival goes to.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use portcullis_boundary::limits::Limiter;
use portcullis_boundary::{Boundary, DynAuthority, Identity};

use crate::config::{Pattern, Route};
use crate::standing::{Authorities, Standing};

/// Whom the decisions of every route ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskedByAll {
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) authority: Option<Arc<dyn DynAuthority>>,
}

impl AskedByAll {
    /// All whom rules 6 to 8 of `route` ask.
    pub(crate) fn authorities(&self, route: &Route) -> Authorities {
        let authority = route.authority.iter().chain(&self.authority);
        Authorities {
            standing: Arc::clone(&self.standing),
            others: authority.map(Arc::clone).collect(),
        }
    }
}

/// A route, and the boundary before it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) route: Arc<Route>,
    pub(crate) boundary: Boundary,
}

impl Entry {
    pub(crate) fn new(route: Route, asked: &AskedByAll) -> Self {
        let authorities = asked.authorities(&route);
        let boundary = Boundary::new(Arc::clone(&route.policy))
            .with_limiter(Arc::clone(&asked.limiter))
            .with_authority(Arc::new(authorities));
        Self {
            route: Arc::new(route),
            boundary,
        }
    }

    /// Whether those are asked again about a session that rests on `identity` who can only be asked.
    pub(crate) fn asks_again_about(&self, identity: &Identity) -> bool {
        self.route.terms.recheck.is_some() && self.boundary.is_polled_about(identity)
    }
}

/// The routes of a gate, the most specific first.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Entry>);

impl Routes {
    pub(crate) fn new(routes: Vec<Route>, asked: &AskedByAll) -> Self {
        let mut entries: Vec<_> = routes
            .into_iter()
            .map(|route| Entry::new(route, asked))
            .collect();
        entries.sort_by_key(|entry| match &entry.route.pattern {
            Pattern::Exact(path) => (0, std::cmp::Reverse(path.len())),
            Pattern::Prefix(path) => (1, std::cmp::Reverse(path.len())),
        });
        Self(entries)
    }

    /// The route of `path`; none when there is none, or when the path could mean another one.
    ///
    /// An upstream may read `/public/../admin`, `//admin` or `/%61dmin` as `/admin`. A path that a
    /// plain reading and a normalising one send to different routes belongs to neither.
    pub(crate) fn find(&self, path: &str) -> Option<&Entry> {
        if !path.starts_with('/') {
            return None;
        }
        let plain = self.position(path)?;
        let normal = self.position(&normalise(path))?;
        let entry = (plain == normal).then(|| self.0.get(plain)).flatten()?;
        let upstream = &entry.route.upstream;
        let is_confined = upstream.strip_prefix || !upstream.base_path.is_empty();
        // Behind a base path, a path that climbs would leave it.
        (!is_confined || !climbs(path)).then_some(entry)
    }

    fn position(&self, path: &str) -> Option<usize> {
        self.0.iter().position(|entry| match &entry.route.pattern {
            Pattern::Exact(exact) => path == &**exact,
            Pattern::Prefix(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        })
    }
}

/// The route to which a gate with these routes brings `path`, for whoever explains what a gate does.
#[must_use]
pub fn find_route(routes: &[Route], path: &str) -> Option<Arc<Route>> {
    let routes = Routes::new(routes.to_vec(), &AskedByAll::default());
    routes.find(path).map(|entry| Arc::clone(&entry.route))
}

/// Whether a path has a segment `..`, however it is written, or one that some servers take for it.
fn climbs(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    decoded
        .split(['/', '\\'])
        .any(|segment| segment.split(';').next() == Some(".."))
}

/// The path with its escapes decoded, its slashes merged and its dots resolved, for who takes paths
/// for the names of things.
#[must_use]
pub fn normalise(path: &str) -> Cow<'_, str> {
    let suspicious = path.contains(['%', '\\']) || path.contains("//") || path.contains("/.");
    if !suspicious {
        return path.into();
    }
    let decoded = percent_decode_str(path)
        .decode_utf8_lossy()
        .replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let slash = if decoded.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", segments.join("/")).into()
}

#[cfg(test)]
mod tests {
    use portcullis_boundary::Policy;
    use portcullis_boundary::policy::Auth;
    use portcullis_boundary::session::Terms;

    use super::*;
    use crate::config::{Builtin, Target, Upstream};

    fn route(pattern: &str) -> Route {
        Route {
            pattern: Pattern::parse(pattern).expect("a pattern"),
            policy: Arc::new(Policy::new(pattern, Auth::Public)),
            terms: Arc::new(Terms::default()),
            authority: None,
            login: None,
            upstream: Upstream::new(Target::Builtin(Builtin::Echo)),
        }
    }

    fn routes(patterns: &[&str]) -> Routes {
        let all = patterns.iter().map(|pattern| route(pattern)).collect();
        Routes::new(all, &AskedByAll::default())
    }

    fn found(routes: &Routes, path: &str) -> Option<String> {
        routes
            .find(path)
            .map(|entry| entry.route.policy.name().to_string())
    }

    #[test]
    fn the_most_specific_route_is_found_in_whatever_order_they_stand() {
        let routes = routes(&["/*", "/a/*", "/a/b/*", "/a/b"]);
        for (path, route) in [
            ("/", "/*"),
            ("/a", "/a/*"),
            ("/ab", "/*"),
            ("/a/x", "/a/*"),
            ("/a/b", "/a/b"),
            ("/a/b/c", "/a/b/*"),
        ] {
            assert_eq!(found(&routes, path).as_deref(), Some(route), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_mean_another_route_has_none() {
        let routes = routes(&["/public/*", "/admin", "/*"]);
        for path in [
            "/public/../admin",
            "/public/%2e%2e/admin",
            "/public/..%2fadmin",
            "/public\\..\\admin",
            "//admin",
            "/%61dmin",
            "/./admin",
            "/x/../public/y",
        ] {
            assert_eq!(found(&routes, path), None, "{path}");
        }
        for (path, route) in [
            ("/x%20y", "/*"),
            ("/a//b", "/*"),
            ("/public/%7Euser", "/public/*"),
        ] {
            assert_eq!(found(&routes, path).as_deref(), Some(route), "{path}");
        }
    }

    #[test]
    fn behind_a_base_path_nothing_climbs() {
        let mut route = route("/a/*");
        route.upstream.base_path = "/tenant".into();
        let routes = Routes::new(vec![route], &AskedByAll::default());
        for path in [
            "/a/../a/x",
            "/a/x/../y",
            "/a/%2e%2e/a",
            "/a/..;/a",
            "/a\\..\\a/x",
        ] {
            assert_eq!(found(&routes, path), None, "{path}");
        }
        assert!(found(&routes, "/a/x..y").is_some());
    }

    #[test]
    fn without_a_route_there_is_nothing() {
        assert_eq!(found(&routes(&["/a"]), "/b"), None);
        assert_eq!(found(&routes(&["/a"]), "*"), None);
    }

    #[test]
    fn patterns_are_exact_or_end_in_a_star() {
        for good in ["/", "/a", "/*", "/a/*"] {
            assert_eq!(
                Pattern::parse(good).map(|p| p.to_string()).as_deref(),
                Ok(good)
            );
        }
        for bad in ["", "a", "*", "/a*", "/*/a", "/a?b"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
