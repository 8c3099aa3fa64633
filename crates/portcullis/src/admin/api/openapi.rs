//! The OpenAPI document of the API.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::PREFIX;
use super::operation::{Operation, operations};

/// The document (OpenAPI 3.1).
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let path = format!("{PREFIX}{}", operation.path);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            let name = operation.method.as_str().to_ascii_lowercase();
            methods.insert(name, described(&operation, &mut generator));
        }
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis admin API",
            "version": "1",
            "description": "Lists come in pages: pass the `next` of one as `after` of the following. Refusals are `application/problem+json`.",
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// The document as text.
pub(crate) fn text() -> String {
    format!("{:#}\n", document())
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = Vec::new();
    let parts = operation.path.split('/');
    let names = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in names {
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }));
    }
    if let Some(query) = operation.query {
        parameters.extend(in_query(&query(generator), generator));
    }
    let mut success = json!({ "description": "Done" });
    if let Some(answer) = operation.answer {
        success = json!({
            "description": "Done",
            "content": { "application/json": { "schema": answer(generator) } },
        });
    }
    let mut described = json!({
        "summary": operation.summary,
        "responses": {
            (operation.status.to_string()): success,
            "default": {
                "description": "Refused",
                "content": { "application/problem+json": { "schema": problem() } },
            },
        },
    });
    let Some(fields) = described.as_object_mut() else {
        return described;
    };
    if !parameters.is_empty() {
        fields.insert("parameters".into(), parameters.into());
    }
    if let Some(body) = operation.body {
        let content = json!({ "application/json": { "schema": body(generator) } });
        fields.insert(
            "requestBody".into(),
            json!({ "required": true, "content": content }),
        );
    }
    described
}

/// The fields of a type, as parameters. The type itself is not among the document's.
fn in_query(schema: &Schema, generator: &mut SchemaGenerator) -> Vec<Value> {
    let name = schema
        .get("$ref")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let Some(fields) = generator.definitions_mut().remove(name) else {
        return Vec::new();
    };
    let Some(properties) = fields.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let each = properties.iter().map(|(name, property)| {
        let mut property = property.clone();
        let about = property
            .as_object_mut()
            .and_then(|property| property.remove("description"));
        json!({ "name": name, "in": "query", "description": about, "schema": property })
    });
    each.collect()
}

fn problem() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string", "description": "The refusal, where a credential was refused" },
        },
    })
}
