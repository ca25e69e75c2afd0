//! `/schemas/{name}`: the JSON Schemas of commands, queries, events and worker answers, by wire name.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderName, header};
use capstan_contract::CATALOGUE;
use capstan_contract::command::body_schemas;
use capstan_contract::lease::ANSWERS;
use capstan_contract::query::QUERIES;
use capstan_contract::schema::NamedSchema;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::problem::Problem;

/// The names of all schemas.
#[derive(Serialize, JsonSchema)]
pub(super) struct SchemaNames {
    /// Bodies of the commands of callers and of the calls of workers.
    commands: Vec<&'static str>,
    /// Queries of a workspace.
    queries: Vec<&'static str>,
    /// Events of the log.
    events: Vec<&'static str>,
    /// Responses to workers.
    answers: Vec<&'static str>,
}

pub(super) async fn names() -> Json<SchemaNames> {
    fn of(list: impl IntoIterator<Item = &'static NamedSchema>) -> Vec<&'static str> {
        list.into_iter().map(|named| named.name).collect()
    }
    let events = CATALOGUE.iter().map(|event| event.name).collect();
    Json(SchemaNames { commands: of(body_schemas()), queries: of(QUERIES), events, answers: of(ANSWERS) })
}

pub(super) async fn one(
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), Problem> {
    let named = body_schemas()
        .chain(QUERIES)
        .chain(ANSWERS)
        .find(|named| named.name == name)
        .map(NamedSchema::schema);
    let schema = named
        .or_else(|| CATALOGUE.iter().find(|event| event.name == name).map(|event| (event.whole_schema)()))
        .ok_or_else(|| Problem::not_found("schema"))?;
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], Json(schema)))
}
