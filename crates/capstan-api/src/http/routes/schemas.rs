//! `/schemas/{name}`: the JSON Schemas of commands, events and worker answers, by wire name.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderName, header};
use capstan_contract::CATALOGUE;
use capstan_contract::command::body_schemas;
use capstan_contract::lease::ANSWERS;
use capstan_contract::schema::NamedSchema;
use serde_json::{Value, json};

use crate::problem::Problem;

pub(super) async fn names() -> Json<Value> {
    fn of<'a>(list: impl IntoIterator<Item = &'a NamedSchema>) -> Vec<&'a str> {
        list.into_iter().map(|named| named.name).collect()
    }
    let events: Vec<_> = CATALOGUE.iter().map(|event| event.name).collect();
    Json(json!({ "commands": of(body_schemas()), "events": events, "answers": of(ANSWERS) }))
}

pub(super) async fn one(
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), Problem> {
    let named = body_schemas().chain(ANSWERS).find(|named| named.name == name).map(|named| (named.schema)());
    let schema = named
        .or_else(|| CATALOGUE.iter().find(|event| event.name == name).map(|event| (event.schema)()))
        .ok_or_else(|| Problem::not_found("schema"))?;
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], Json(schema)))
}
