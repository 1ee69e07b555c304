//! `/api-docs/openapi.json`: what the JSON API takes and gives, for programs that generate or check calls.
//!
//! The routes' [table] is written by hand beside them, so that it says which permission each needs, and in which words; a test holds it
//! to the routes there are. Answers are told by their shape, not field by field: whoever calls sees the fields.

mod table;

use axum::{
    http::header,
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use table::{Answer, Described, Field, ROUTES};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The description. It tells nothing of what is stored, so anyone may read it.
pub(crate) async fn show() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, DOCUMENT.as_str()).into_response()
}

fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = format!("/api/v1{}", route.path);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[route.method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Redress admin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the admin's pages do, for programs. Who asks is a bearer token: a personal token, or that of a log-in \
                            (POST /api/v1/sessions). Refusals are RFC 9457 problems; programs look at `code`. Lists are read page by \
                            page: send `next` as the parameter that begins a page, until it is null.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Problem": {
                    "type": "object",
                    "description": "A refusal. Some codes bring more members.",
                    "required": ["type", "title", "status", "detail", "code"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string", "description": "For people."},
                        "code": {"type": "string", "description": "For programs."},
                    },
                },
                "Page": {
                    "type": "object",
                    "required": ["items", "next"],
                    "properties": {
                        "items": {"type": "array", "items": {"type": "object"}},
                        "next": {"type": ["string", "null"], "description": "Where the next page begins; null on the last."},
                    },
                },
            },
        },
    })
}

fn operation(route: &Described) -> Value {
    let mut parameters: Vec<Value> = of_path(route.path)
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.extend(route.query.iter().map(|(name, what)| {
        json!({"name": name, "in": "query", "description": what, "schema": {"type": "string"}})
    }));
    let (status, answer) = answer(route.answer);
    let problem = json!({
        "description": "A refusal.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    let mut operation = json!({
        "tags": [route.path.split('/').nth(1)],
        "summary": route.what,
        "parameters": parameters,
        "responses": {status: answer, "default": problem},
    });
    if let Some(permission) = route.permission {
        operation["x-permission"] = json!(permission);
        operation["description"] = json!(format!("Needs the permission `{permission}`."));
    }
    if route.is_open {
        operation["security"] = json!([]);
    }
    if !route.body.is_empty() {
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": body(route.body)}}});
    }
    operation
}

/// Names between braces.
fn of_path(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn body(fields: &[Field]) -> Value {
    let required: Vec<&str> = fields
        .iter()
        .filter_map(|field| field.is_needed.then_some(field.name))
        .collect();
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = field.kind.schema();
            schema["description"] = json!(field.what);
            (field.name.to_owned(), schema)
        })
        .collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

fn answer(answer: Answer) -> (&'static str, Value) {
    let json_of = |what: &str, schema: Value| json!({"description": what, "content": {"application/json": {"schema": schema}}});
    let object = || json!({"type": "object"});
    match answer {
        Answer::Page => (
            "200",
            json_of("A page.", json!({"$ref": "#/components/schemas/Page"})),
        ),
        Answer::Whole => ("200", json_of("What was asked for.", object())),
        Answer::Made => ("201", json_of("What was made.", object())),
        Answer::Taken => (
            "202",
            json_of(
                "It was taken, and will be done: what it is to be known by.",
                object(),
            ),
        ),
        Answer::Nothing => ("204", json!({"description": "Done."})),
        Answer::Text(kind) => (
            "200",
            json!({"description": "All that matches, sent while it is read.", "content": {kind: {"schema": {"type": "string"}}}}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Methods and paths of the API as the routes have them.
    fn routes() -> BTreeSet<(&'static str, &'static str)> {
        let text = include_str!("../routes.rs");
        let (_, api) = text
            .split_once("fn json() -> Router<App>")
            .expect("the API");
        let mut found = BTreeSet::new();
        for route in api.split(".route(").skip(1) {
            let path = route.split('"').nth(1).expect("a path");
            for method in ["get", "post", "put", "patch", "delete"] {
                if route.contains(&format!("{method}(")) {
                    found.insert((method, path));
                }
            }
        }
        found
    }

    /// Meant to catch a route that is added, moved or taken away without its description.
    #[test]
    fn every_route_of_the_api_is_described_and_nothing_else() {
        let described: Vec<_> = ROUTES.iter().map(|it| (it.method, it.path)).collect();
        let as_set: BTreeSet<_> = described.iter().copied().collect();
        assert_eq!(as_set.len(), described.len(), "one is described twice");
        assert_eq!(as_set, routes());
    }

    #[test]
    fn what_a_body_needs_is_told() {
        let document = document();
        let stop = &document["paths"]["/api/v1/transactions/{gid}/stop"]["post"];
        assert_eq!(stop["x-permission"], "transaction.stop");
        assert_eq!(stop["parameters"][0]["name"], "gid");
        let body = &stop["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body["required"], json!(["reason"]));
        let log_in = &document["paths"]["/api/v1/sessions"]["post"];
        assert_eq!(log_in["security"], json!([]));
    }
}
