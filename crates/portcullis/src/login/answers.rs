//! What a browser is shown: plain pages, without script and without anything from elsewhere.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

/// Sends the browser elsewhere.
pub(super) fn go(to: &str) -> Response<Bytes> {
    match HeaderValue::try_from(to) {
        Ok(to) => {
            let mut response = bare(StatusCode::SEE_OTHER, Bytes::new());
            response.headers_mut().insert(LOCATION, to);
            response
        }
        Err(_) => sorry(StatusCode::INTERNAL_SERVER_ERROR, "This did not work", ""),
    }
}

/// Sends the browser to a path of this host as if its own page did: after a redirect from elsewhere,
/// the browser would call it a request of that other site, and the cookie would not count.
pub(super) fn go_on(to: &str) -> Response<Bytes> {
    let to = escape(to);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0; url={to}\">");
    let body = format!("<p>You are logged in. <a href=\"{to}\">Go on</a></p>");
    page(StatusCode::OK, "Logged in", &head, &body)
}

/// Says that something is done.
pub(super) fn done(title: &str, text: &str) -> Response<Bytes> {
    let body = format!("<p>{}</p>", escape(text));
    page(StatusCode::OK, title, "", &body)
}

/// Says that something cannot be done, and what can.
pub(super) fn sorry(status: StatusCode, title: &str, text: &str) -> Response<Bytes> {
    let body = format!("<p>{}</p>", escape(text));
    page(status, title, "", &body)
}

/// The same, with a link to begin again.
pub(super) fn again(status: StatusCode, title: &str, text: &str, at: &str) -> Response<Bytes> {
    let (text, at) = (escape(text), escape(at));
    let body = format!("<p>{text}</p><p><a href=\"{at}\">Log in again</a></p>");
    page(status, title, "", &body)
}

/// A button to log out with.
pub(super) fn logout_button() -> Response<Bytes> {
    let body = "<form method=\"post\" action=\"/.portcullis/logout\">\
        <button>Log out</button></form>";
    let mut response = page(StatusCode::OK, "Log out", "", body);
    // With no referrer at all the button's request would have no origin.
    let policy = HeaderValue::from_static("same-origin");
    response.headers_mut().insert(REFERRER_POLICY, policy);
    response
}

/// Which logins there are.
pub(super) fn choice(links: &[(String, String)]) -> Response<Bytes> {
    let mut body = String::from("<ul>");
    for (name, to) in links {
        let (name, to) = (escape(name), escape(to));
        body.push_str(&format!("<li><a href=\"{to}\">{name}</a></li>"));
    }
    body.push_str("</ul>");
    page(StatusCode::OK, "Log in", "", &body)
}

/// There is nothing at this path.
pub(super) fn nothing() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The method is not for this path.
pub(super) fn wrong_method() -> Response<Bytes> {
    sorry(StatusCode::METHOD_NOT_ALLOWED, "This is not how", "")
}

/// The answer to a provider, which reads no pages: 200, or 400 with the reason.
pub(super) fn to_provider(refused: Option<&str>) -> Response<Bytes> {
    let (status, body) = match refused {
        None => (StatusCode::OK, Bytes::new()),
        Some(why) => {
            let body = serde_json::json!({"error": "invalid_request", "error_description": why});
            (StatusCode::BAD_REQUEST, Bytes::from(body.to_string()))
        }
    };
    let mut response = bare(status, body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn page(status: StatusCode, title: &str, head: &str, body: &str) -> Response<Bytes> {
    let title = escape(title);
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>{head}\
        <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
        <h1>{title}</h1>{body}</html>"
    );
    bare(status, Bytes::from(text))
}

fn bare(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address of a callback has a code in it.
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, letter| {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;\
    padding:0 1rem}button{font:inherit;padding:.5rem 1rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_can_be_markup() {
        let shown = sorry(StatusCode::OK, "<b>", "\"'&<script>");
        let text = String::from_utf8(shown.body().to_vec()).expect("text");
        assert!(text.contains("<h1>&lt;b&gt;</h1>"), "{text}");
        assert!(
            text.contains("<p>&quot;&#39;&amp;&lt;script&gt;</p>"),
            "{text}"
        );
    }

    #[test]
    fn no_page_is_kept_framed_or_scripted() {
        let headers = done("Logged out", "").headers().clone();
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("default-src 'none'"));
        assert!(policy.contains("frame-ancestors 'none'"));
    }
}
