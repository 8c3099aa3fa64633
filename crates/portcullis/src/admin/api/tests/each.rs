//! What holds of each operation of the table, and so of the next one that is added to it.

use axum::http::Method;
use portcullis_ledger::Page;
use serde_json::Map;

use super::super::operation::{Operation, operations};
use super::super::{PREFIX, openapi};
use super::*;

/// Texts that are more than text to SQL, to a path, to a log or to a terminal.
const SHAPES: [&str; 12] = [
    "x' OR '1'='1",
    "\"; DROP TABLE keys; --",
    "\\'; SELECT pg_sleep(9); --",
    "$1",
    "%_*",
    "../../keys",
    "a/b",
    "a\r\n{\"level\":\"INFO\"}",
    "\u{1b}[2J",
    "\u{202e}txet",
    "\u{0}",
    "-1",
];

#[tokio::test]
async fn who_may_not_call_the_api_may_call_none_of_its_operations() {
    let (tested, other) = (
        Tested::new().await,
        Tested::with_scope("portcullis:other").await,
    );
    for (operation, peer) in operations().iter().zip(1..) {
        let bearer =
            |token: &str| asks(operation).header("authorization", format!("Bearer {token}"));
        let in_query = format!("{}?access_token={ADMIN}", path(operation, "x"));
        for (request, told) in [
            (asks(operation), "missing_credential"),
            (bearer(OTHER), "invalid_credential"),
            (bearer(&"x".repeat(20_000)), "invalid_credential"),
            (asks(operation).uri(in_query), "missing_credential"),
            (
                bearer(ADMIN).header("origin", "http://localhost"),
                "origin_forbidden",
            ),
            (bearer(ADMIN).header("origin", "null"), "origin_forbidden"),
        ] {
            let answer = tested
                .is_asked_by(peer, request, sample_body(operation))
                .await;
            assert_refused(operation, &answer, told);
        }
        let request = bearer(ADMIN);
        let answer = other
            .is_asked_by(peer, request, sample_body(operation))
            .await;
        assert_refused(operation, &answer, "insufficient_scope");
    }
    for tested in [tested, other] {
        tested.has_changed_nothing().await;
    }
}

#[tokio::test]
async fn a_body_of_another_type_is_refused_by_each_operation_that_takes_one() {
    let tested = Tested::new().await;
    let mut refused = 0;
    for operation in operations() {
        let Some(schema) = schema_of_body(&operation) else {
            continue;
        };
        let good = sample(&schema);
        let (status, answer) = tested.sends_json(&operation, good.to_string()).await;
        assert!(
            ![400, 413, 415].contains(&status),
            "{}: {answer}",
            name(&operation)
        );
        for body in wrong_bodies(&schema) {
            let (status, problem) = tested.sends_json(&operation, body.clone()).await;
            let shown: String = body.chars().take(100).collect();
            assert_eq!(status, 400, "{}: {shown}", name(&operation));
            assert_eq!(problem["status"], 400, "{}: {shown}", name(&operation));
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test]
async fn a_body_that_is_no_json_or_too_long_is_refused_by_each_operation_that_takes_one() {
    let tested = Tested::new().await;
    for operation in operations() {
        let Some(schema) = schema_of_body(&operation) else {
            continue;
        };
        let good = sample(&schema).to_string();
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
        ] {
            let request = with_credential(&operation);
            let request = kind.into_iter().fold(request, |request, kind| {
                request.header("content-type", kind)
            });
            let (status, _) = tested.sends(request, Body::from(good.clone())).await;
            assert_eq!(status, 415, "{}: {kind:?}", name(&operation));
        }
        let long = format!("{}{good}", " ".repeat(64 * 1024));
        let (status, _) = tested.sends_json(&operation, long).await;
        assert_eq!(status, 413, "{}", name(&operation));
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_by_each_operation_that_has_pages() {
    let tested = Tested::new().await;
    let mut lists = 0;
    for operation in operations() {
        let parameters = parameters_of(&operation);
        if !parameters.iter().any(|name| name == "limit") {
            continue;
        }
        lists += 1;
        for limit in [
            "0",
            "-1",
            "1001",
            "65535",
            "65536",
            "99999999999999999999",
            "1.5",
            "1e2",
            "0x10",
            "ten",
            "",
            "%00",
            "1%27",
        ] {
            let (status, problem) = tested
                .asks_with(&operation, &format!("limit={limit}"))
                .await;
            assert_eq!(
                (status, &problem["status"]),
                (400, &json!(400)),
                "{} {limit}",
                name(&operation)
            );
        }
        for limit in ["1", "1000"] {
            let (status, page) = tested
                .asks_with(&operation, &format!("limit={limit}"))
                .await;
            if operation.path.contains('{') {
                assert_eq!(status, 404, "{} {limit}: {page}", name(&operation));
                continue;
            }
            assert_eq!(status, 200, "{} {limit}", name(&operation));
            assert!(page["items"].is_array(), "{} {limit}", name(&operation));
        }
    }
    assert!(lists >= 5, "{lists}");
}

#[tokio::test]
async fn a_parameter_that_is_unknown_or_there_twice_is_refused_by_each_operation() {
    let tested = Tested::new().await;
    for operation in operations() {
        let twice = parameters_of(&operation)
            .into_iter()
            .map(|name| format!("{name}=1&{name}=1"));
        for query in twice.chain(["nosuch=1".into(), "limit[]=1".into(), "=".into()]) {
            let (status, problem) = tested.asks_with(&operation, &query).await;
            assert_eq!(
                (status, &problem["status"]),
                (400, &json!(400)),
                "{} {query}",
                name(&operation)
            );
        }
    }
}

#[tokio::test]
async fn texts_that_would_be_more_than_text_are_text_to_each_operation() {
    let tested = Tested::new().await;
    let many = SHAPES.map(str::to_owned);
    for shape in many.into_iter().chain(["x".repeat(5000)]) {
        for operation in operations() {
            let text = percent(&shape);
            let mut asked: Vec<(String, Value)> = parameters_of(&operation)
                .iter()
                .map(|name| (format!("{name}={text}"), Value::Null))
                .collect();
            if let Some(schema) = schema_of_body(&operation) {
                let bodies = with_each_text(&schema, &shape);
                asked.extend(bodies.into_iter().map(|body| (String::new(), body)));
            }
            asked.push((String::new(), Value::Null));
            for (query, body) in asked {
                let request = with_credential(&operation)
                    .uri(format!("{}?{query}", path(&operation, &shape)).trim_end_matches('?'))
                    .header("content-type", "application/json");
                let (status, problem) = tested.sends(request, Body::from(body.to_string())).await;
                let is_understood = matches!(status.as_u16(), 200..=204 | 400 | 404 | 409 | 414);
                assert!(
                    is_understood,
                    "{} {shape:?}: {status} {problem}",
                    name(&operation)
                );
            }
        }
    }
    // The tables are still there.
    for operation in operations() {
        if operation.method == Method::GET && !operation.path.contains('{') {
            let (status, _) = tested.asks_with(&operation, "").await;
            assert_eq!(status, 200, "{}", name(&operation));
        }
    }
}

impl Tested {
    /// Sends a request from an address of its own, as one that is refused too often is not heard.
    async fn is_asked_by(&self, peer: u8, request: Builder, body: Body) -> (u16, Value) {
        let request = request.header("content-type", "application/json");
        let peer = Peer::at(Ipv4Addr::new(192, 0, 2, peer).into());
        let (status, answer) = self.sends_from(peer, request, body).await;
        (status.as_u16(), answer)
    }

    async fn sends_json(&self, operation: &Operation, body: String) -> (u16, Value) {
        let request = with_credential(operation).header("content-type", "application/json");
        let (status, answer) = self.sends(request, Body::from(body)).await;
        (status.as_u16(), answer)
    }

    async fn asks_with(&self, operation: &Operation, query: &str) -> (u16, Value) {
        let uri = format!("{}?{query}", path(operation, "x"));
        let request = with_credential(operation)
            .uri(uri.trim_end_matches('?'))
            .header("content-type", "application/json");
        let (status, answer) = self.sends(request, sample_body(operation)).await;
        (status.as_u16(), answer)
    }

    async fn has_changed_nothing(&self) {
        let ledger = self.state.ledger();
        let page = || Page::first(9).expect("a page");
        let keys = ledger.list_keys(None, page()).await.expect("read");
        let users = ledger.list_users(page()).await.expect("read");
        let revocations = ledger.revocations_since(0, 9).await.expect("read");
        assert!(keys.items.is_empty() && users.items.is_empty() && revocations.is_empty());
    }
}

fn name(operation: &Operation) -> String {
    format!("{} {}", operation.method, operation.path)
}

/// The operation's path, with `named` for each name in it.
fn path(operation: &Operation, named: &str) -> String {
    let parts = operation.path.split('/').map(|part| {
        if part.starts_with('{') {
            percent(named)
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

fn asks(operation: &Operation) -> Builder {
    Request::builder()
        .method(operation.method.clone())
        .uri(path(operation, "x"))
}

fn with_credential(operation: &Operation) -> Builder {
    asks(operation).header("authorization", format!("Bearer {ADMIN}"))
}

fn assert_refused(operation: &Operation, (status, problem): &(u16, Value), told: &str) {
    let wanted = match told {
        "origin_forbidden" | "insufficient_scope" => 403,
        _ => 401,
    };
    assert_eq!(
        (*status, &problem["code"]),
        (wanted, &json!(told)),
        "{}",
        name(operation)
    );
}

/// What the document says of an operation.
fn described(operation: &Operation) -> Value {
    let method = operation.method.as_str().to_ascii_lowercase();
    openapi::document()["paths"][format!("{PREFIX}{}", operation.path)][method].clone()
}

fn parameters_of(operation: &Operation) -> Vec<String> {
    let parameters = described(operation)["parameters"].clone();
    let parameters = parameters.as_array().into_iter().flatten();
    parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The properties of the body that an operation takes, by their names.
fn schema_of_body(operation: &Operation) -> Option<Map<String, Value>> {
    let body = &described(operation)["requestBody"]["content"]["application/json"]["schema"];
    let schema = resolved(body);
    schema["properties"].as_object().cloned()
}

fn resolved(schema: &Value) -> Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.trim_start_matches('#');
            let document = openapi::document();
            document.pointer(pointer).expect("it is there").clone()
        }
        None => schema.clone(),
    }
}

fn sample_body(operation: &Operation) -> Body {
    schema_of_body(operation).map_or_else(Body::empty, |schema| {
        Body::from(sample(&schema).to_string())
    })
}

/// A body with something of the right type in each place.
fn sample(properties: &Map<String, Value>) -> Value {
    let each = properties.iter();
    Value::Object(
        each.map(|(name, schema)| (name.clone(), sample_of(schema)))
            .collect(),
    )
}

fn sample_of(schema: &Value) -> Value {
    let schema = resolved(schema);
    if let Some(kinds) = schema["oneOf"].as_array() {
        return kinds[0]["const"].clone();
    }
    match types(&schema)[0].as_str() {
        "string" if schema["format"] == "date-time" => json!("2999-01-01T00:00:00Z"),
        "string" => json!("x"),
        "array" => json!([]),
        "boolean" => json!(true),
        other => panic!("give an example of {other}"),
    }
}

/// The types that a place takes.
fn types(schema: &Value) -> Vec<String> {
    let of = &resolved(schema)["type"];
    let texts = of.as_array().cloned().unwrap_or_else(|| vec![of.clone()]);
    texts
        .iter()
        .map(|text| text.as_str().unwrap_or("string").to_owned())
        .collect()
}

/// Bodies of which each has one thing wrong.
fn wrong_bodies(properties: &Map<String, Value>) -> Vec<String> {
    let good = sample(properties);
    let mut bodies: Vec<String> = [
        "",
        "null",
        "true",
        "5",
        "\"x\"",
        "[]",
        "{",
        "{}}",
        "\u{feff}{}",
    ]
    .map(str::to_owned)
    .into();
    bodies.push("[".repeat(10_000));
    bodies.push(format!("{}{}", "{\"a\":".repeat(5000), "}".repeat(5000)));
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string()
    };
    bodies.push(with("nosuch", json!(1)));
    for (name, schema) in properties {
        let taken = types(schema);
        for (kind, value) in [
            ("null", json!(null)),
            ("boolean", json!(true)),
            ("number", json!(-1)),
            ("number", json!(1e300)),
            ("string", json!("nothing of the kind")),
            ("array", json!([["x"]])),
            ("object", json!({"x": {}})),
        ] {
            let is_any_text = schema.get("format").is_none() && schema.get("$ref").is_none();
            let is_taken = taken.iter().any(|taken| taken == kind)
                && match kind {
                    "string" => is_any_text,
                    // It takes texts, and this one has another array in it.
                    "array" => false,
                    _ => true,
                };
            if !is_taken {
                bodies.push(with(name, value));
            }
        }
        // Twice.
        let first = serde_json::to_string(&json!({ name: good[name] })).expect("text");
        let text = good.to_string();
        bodies.push(format!(
            "{},{}",
            first.trim_end_matches('}'),
            text.trim_start_matches('{')
        ));
    }
    bodies
}

/// Bodies with `text` in each place that takes any.
fn with_each_text(properties: &Map<String, Value>, text: &str) -> Vec<Value> {
    let good = sample(properties);
    let mut bodies = Vec::new();
    for (name, schema) in properties {
        let mut body = good.clone();
        body[name] = match types(schema)[0].as_str() {
            "array" => json!([text]),
            _ => json!(text),
        };
        bodies.push(body);
    }
    bodies
}
