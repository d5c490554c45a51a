//! The description of the API: made of the routes themselves.

use serde_json::{Map, Value, json};

use super::route::{PARTITIONED, Route, Shape, route};
use super::{Answer, table};

const GROUP: &str = "description";

pub(super) fn routes() -> Vec<Route> {
    vec![route("GET", "/openapi.json", GROUP, "This description.", |_, _, _| Ok(Answer::Json(describe())))]
}

/// What is served, as OpenAPI 3.1 has it.
pub(super) fn describe() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in table::routes() {
        let entry = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        if let Some(methods) = entry.as_object_mut() {
            methods.insert(route.method.to_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Admin API of pulsewire's embedded broker",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The admin calls of Apache Pulsar 4.0 that clients and their tests use, with the same paths, statuses and bodies.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": { "Error": {
            "type": "object",
            "properties": { "reason": { "type": "string" } },
            "required": ["reason"],
        } } },
    })
}

fn operation(route: &Route) -> Value {
    let places = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = places.map(|name| {
        let kind = match name {
            "domain" => json!({ "type": "string", "enum": ["persistent", "non-persistent"] }),
            _ => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": kind })
    });
    let in_query = route.query.iter().map(|(name, shape, about)| {
        json!({ "name": name, "in": "query", "required": false, "schema": schema(*shape), "description": about })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let failed = json!({
        "description": "Why not.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let mut done = json!({ "description": "Done." });
    if route.answer != Shape::None {
        let kind = match route.answer {
            Shape::Bytes => "application/octet-stream",
            Shape::Text => "text/plain",
            _ => "application/json",
        };
        done["content"] = json!({ kind: { "schema": schema(route.answer) } });
    }
    let status = if route.answer == Shape::None { "204" } else { "200" };
    let words = |c: char| !c.is_ascii_alphanumeric();
    let name: String = route.path.split(words).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    let mut operation = json!({
        "operationId": format!("{}_{name}", route.method.to_lowercase()),
        "tags": [route.group],
        "summary": route.summary,
        "parameters": parameters,
        "responses": { status: done, "default": failed },
    });
    if route.body != Shape::None {
        let mut content = json!({ "application/json": { "schema": schema(route.body) } });
        if route.body == Shape::Partitions {
            content[PARTITIONED] = json!({ "schema": {
                "type": "object",
                "properties": {
                    "partitions": schema(Shape::Number),
                    "properties": { "type": ["object", "null"], "additionalProperties": schema(Shape::Text) },
                },
                "required": ["partitions"],
            } });
        }
        operation["requestBody"] = json!({ "content": content });
    }
    operation
}

fn schema(shape: Shape) -> Value {
    match shape {
        Shape::None => json!({}),
        Shape::Text => json!({ "type": "string" }),
        Shape::Number | Shape::Partitions => json!({ "type": "integer", "format": "int64" }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Object => json!({ "type": ["object", "array", "string", "number", "boolean", "null"] }),
        Shape::List => json!({ "type": "array", "items": {} }),
        Shape::Bytes => json!({ "type": "string", "contentEncoding": "binary" }),
    }
}
