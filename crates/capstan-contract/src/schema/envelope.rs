//! The schema of a commit in the log, as the envelope crate writes it.

use std::collections::BTreeMap;

use capstan_envelope::CommitId;
use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::schema::schema_of;

/// One decision as it is stored: 1 to n events of one stream, in one message. The subject of the message names the stream,
/// its header `Nats-Expected-Last-Subject-Sequence` the sequence of the stream's commit before it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used; the envelope crate has the type that is written")]
struct Commit {
    /// Identity: the id of the command that caused it, the same over every try. Absent where it derives from stream, command
    /// and idempotency key, or, without a key, from the whole commit.
    id: Option<CommitId>,
    /// Its number within the stream, from 1.
    #[schemars(range(min = 1))]
    version: u64,
    /// SHA-256 of the stream's commit before this one, in URL-safe base64: of `<workspace>.<category>.<id>`, a line break and
    /// the stored text. Absent in the first.
    #[schemars(with = "Option<String>", regex(pattern = r"^[0-9A-Za-z_-]{43}$"))]
    link: Option<String>,
    /// Time of the decision, by the clock of the process that took it.
    at: DateTime<Utc>,
    /// Actor that caused it: `client:<name>`, `worker`, `engine` or `system`. An earlier event of the stream names the worker:
    /// the lease of the attempt, or the start of the tool call.
    #[schemars(regex(pattern = r"^(client:.*|worker|engine|system)$"))]
    by: String,
    /// Wire name of the command, for example `accept-agent-command`.
    command: String,
    /// The conversation this belongs to; `id` where absent.
    correlation: Option<Uuid>,
    /// The command or commit that directly caused this one.
    cause: Option<Uuid>,
    /// W3C trace context of the request.
    trace: Option<String>,
    /// The idempotency key, when the caller gave one.
    key: Option<String>,
    /// Keyed hash of what a repeat under the key must have in common, in URL-safe base64.
    fingerprint: Option<String>,
    /// The facts, in order.
    #[schemars(length(min = 1))]
    events: Vec<Event>,
}

/// One fact under its wire name, with `.v<version>` behind it from version 2 on. Its fields are as
/// `events/<category>/<name>.v<version>.schema.json` says.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = one_event)]
#[expect(dead_code, reason = "only its schema is used")]
struct Event(BTreeMap<String, Map<String, Value>>);

fn one_event(schema: &mut Schema) {
    schema.insert("minProperties".to_owned(), json!(1));
    schema.insert("maxProperties".to_owned(), json!(1));
    schema.insert("propertyNames".to_owned(), json!({ "pattern": r"^[a-z]+(-[a-z]+)*(\.v[1-9][0-9]*)?$" }));
}

pub(crate) fn schema() -> Value {
    schema_of::<Commit>("envelope")
}
