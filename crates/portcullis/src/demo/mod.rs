//! The demo: a page that shows each refusal as script receives it, and the routes behind it.

mod scenarios;
mod trials;

use bytes::Bytes;
use portcullis_gateway::config::{Document, Documents};

pub(crate) use self::trials::Trials;
use crate::codes;

/// The demo's documents.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    trials: Option<Trials>,
}

impl Pages {
    /// The page with `trials`, whose routes must be served beside it.
    pub(crate) const fn new(trials: Trials) -> Self {
        Self {
            trials: Some(trials),
        }
    }

    /// The page alone, where somebody serves `builtin:demo` on a route of their own.
    pub(crate) const fn without_trials() -> Self {
        Self { trials: None }
    }
}

impl Documents for Pages {
    fn document(&self, path: &str) -> Option<Document> {
        let (content_type, body) = match path {
            "/" | "/demo/" => (HTML, Bytes::from_static(include_bytes!("page.html"))),
            "/demo/page.css" => (CSS, Bytes::from_static(include_bytes!("page.css"))),
            "/demo/page.js" => (JAVASCRIPT, Bytes::from_static(include_bytes!("page.js"))),
            "/demo/codes.json" => (JSON, Bytes::from(codes::json(codes::default_table()))),
            "/demo/scenarios.json" => {
                let scenarios = self
                    .trials
                    .as_ref()
                    .map(Trials::scenarios)
                    .unwrap_or_default();
                let body = serde_json::json!({ "scenarios": scenarios });
                (JSON, Bytes::from(body.to_string()))
            }
            _ => return None,
        };
        Some(Document { content_type, body })
    }
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_the_page_asks_for_is_there() {
        let pages = Pages::without_trials();
        for path in [
            "/",
            "/demo/page.css",
            "/demo/page.js",
            "/demo/codes.json",
            "/demo/scenarios.json",
        ] {
            assert!(pages.document(path).is_some(), "{path}");
        }
        assert!(pages.document("/demo/page.php").is_none());
    }
}
