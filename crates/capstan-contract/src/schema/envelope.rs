//! The schema of a commit in the log, as the envelope crate writes it.

use capstan_envelope::{CommitId, Metadata, Position};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::schema::schema_of;

/// One decision as it is stored: 1 to n events of one stream, in one message.
#[derive(Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
#[expect(dead_code, reason = "only its schema is used; the envelope crate has the type that is written")]
struct Commit {
    /// Identity: the id of the command that caused it, the same over every try.
    commit_id: CommitId,
    /// The stream it extends, `<workspace>/<category>/<id>`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,128}/[A-Za-z0-9_-]{1,128}/[A-Za-z0-9_-]{1,128}$"))]
    stream: String,
    /// Its number within the stream, from 1.
    #[schemars(range(min = 1))]
    version: u64,
    /// Position of the stream's commit before this one; `0` for the first.
    previous: Position,
    /// SHA-256 of the stored bytes of the stream's commit before this one; zeros for the first.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    previous_hash: String,
    /// Metadata: actor, times, cause.
    metadata: Metadata,
    /// The facts, in order.
    #[schemars(length(min = 1))]
    events: Vec<Event>,
}

/// One fact.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Event {
    /// Its wire name.
    #[schemars(regex(pattern = r"^[a-z]+(-[a-z]+)*$"))]
    name: String,
    /// Version of its data's shape, from 1.
    #[schemars(range(min = 1))]
    version: u16,
    /// Its fields, as `events/<category>/<name>.v<version>.schema.json` says.
    data: Map<String, Value>,
}

pub(crate) fn schema() -> Value {
    schema_of::<Commit>("envelope")
}
