//! The execution classes that are configured or have failed, and their health.

use capstan_contract::catalogue::ClassCodec;
use capstan_contract::schema::NamedSchema;
use capstan_decider::Decider;
use capstan_domain::class::{Class, Event, Health, State};
use capstan_domain::id::derived;
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored, shown_in, shown_of};

/// An execution class as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ClassRow {
    instance_key: String,
    workspace: String,
    /// Attempts at a time; absent means the server's default.
    desired_dispatch_concurrency: Option<u32>,
    failed_attempt_threshold: u32,
    active: bool,
    #[serde(flatten)]
    health: Health,
    /// Pauses since it last recovered.
    pauses: u32,
    is_configured: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

/// What a class shows that its state lacks.
#[derive(Serialize, Deserialize)]
struct Shown {
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The id of a class: instance keys are unique within a workspace only.
pub(crate) fn class_id(workspace: &str, instance_key: &str) -> Uuid {
    derived(&["class", workspace, instance_key])
}

impl Model for ClassRow {
    const VERSION: i32 = 1;
    const COLUMNS: &'static [Column<Self>] =
        &[Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at)))];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<ClassRow>("class"));
    const IS_CARRIED: bool = true;
    type Event<'a> = &'a Event;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        let stream = &fact.recorded.commit.stream;
        keys.push(class_id(stream.workspace().as_str(), stream.id()));
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let created_at = row.as_ref().map_or_else(|| fact.occurred_at(), |row| row.created_at);
        let state = Class::evolve(row.map(state).unwrap_or_default(), fact.event);
        Some(row_of(&state, Shown { created_at, updated_at: fact.occurred_at() }, fact.recorded))
    }

    fn carried_key(stream: &StreamId, _: &Carried) -> Option<Uuid> {
        (stream.category() == ClassCodec::CATEGORY)
            .then(|| class_id(stream.workspace().as_str(), stream.id()))
    }

    fn shown(doc: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        shown_of::<Shown>(doc).map(Some)
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let state = serde_json::from_str(carried.state.get())?;
        let row = shown_in(carried)?.map(|shown| row_of(&state, shown, recorded));
        Ok(row.map(|row| (row.workspace.clone(), row)))
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

fn row_of(state: &State, Shown { created_at, updated_at }: Shown, recorded: &Recorded) -> ClassRow {
    let stream = &recorded.commit.stream;
    ClassRow {
        instance_key: stream.id().to_owned(),
        workspace: stream.workspace().as_str().to_owned(),
        desired_dispatch_concurrency: state.desired_dispatch_concurrency,
        failed_attempt_threshold: state.failed_attempt_threshold,
        active: state.active,
        health: state.health,
        pauses: state.pauses,
        is_configured: state.is_configured,
        created_at,
        updated_at,
        version: recorded.commit.version,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the state replaces the row")]
fn state(row: ClassRow) -> State {
    State {
        desired_dispatch_concurrency: row.desired_dispatch_concurrency,
        failed_attempt_threshold: row.failed_attempt_threshold,
        active: row.active,
        health: row.health,
        pauses: row.pauses,
        is_configured: row.is_configured,
    }
}
