//! The schedules of a workspace, their next tick and the outcome of the last one.

use capstan_contract::catalogue::ScheduleCodec;
use capstan_contract::schema::NamedSchema;
use capstan_domain::id::{AgentId, ScheduleId, TaskId};
use capstan_domain::schedule::event::{Event, PauseCause, ScheduleCreated, SkipReason};
use capstan_domain::schedule::{Definition, Next, State};
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored, shown_in, shown_of};

/// A schedule as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ScheduleRow {
    id: ScheduleId,
    workspace: String,
    agent_id: AgentId,
    agent_key: String,
    agent_name: String,
    #[serde(flatten)]
    definition: Definition,
    active: bool,
    paused: Option<Paused>,
    /// The next instant the expression matches.
    next_tick: Option<DateTime<Utc>>,
    /// The next tick plus jitter.
    next_run_at: Option<DateTime<Utc>>,
    last_run_at: Option<DateTime<Utc>>,
    last_task_id: Option<TaskId>,
    last_skip: Option<Skip>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

/// Cause and time of a pause.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Paused {
    cause: PauseCause,
    reason: Option<String>,
    at: DateTime<Utc>,
}

/// The reason of ticks that passed while the system was down.
const MISSED: &str = "missed";

fn skip_reasons() -> Vec<&'static str> {
    use SkipReason::{AgentGone, AgentInactive, PreviousOpen, TaskRefused};
    let reasons = [PreviousOpen, AgentGone, AgentInactive, TaskRefused].map(SkipReason::as_str);
    reasons.into_iter().chain([MISSED]).collect()
}

/// The latest ticks that created no task.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SkippedTick")]
struct Skip {
    #[schemars(extend("enum" = skip_reasons()))]
    reason: String,
    detail: Option<String>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    count: u64,
    at: DateTime<Utc>,
}

/// What a schedule shows that its state lacks.
#[serde_with::skip_serializing_none]
#[derive(Serialize, Deserialize)]
struct Shown {
    agent_key: String,
    agent_name: String,
    paused: Option<Paused>,
    last_run_at: Option<DateTime<Utc>>,
    last_skip: Option<Skip>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ScheduleRow {
    fn waits_for(&mut self, next: Option<Next>) {
        self.next_tick = next.map(|next| next.tick);
        self.next_run_at = next.map(|next| next.run_at);
    }
}

impl Model for ScheduleRow {
    const VERSION: i32 = 1;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("agent_id", CellType::Uuid, |row| Cell::Uuid(Some(row.agent_id.0))),
        Column::changing("source_view_id", CellType::Text, |row| {
            Cell::text_or_null(row.definition.source_view_id.as_deref())
        }),
        Column::changing("active", CellType::Flag, |row| Cell::Flag(Some(row.active))),
        Column::changing("next_run_at", CellType::Time, |row| Cell::Time(row.next_run_at)),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<ScheduleRow>("schedule"));
    const IS_CARRIED: bool = true;
    type Event<'a> = &'a Event;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.extend(fact.recorded.commit.stream.id().parse::<Uuid>());
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let mut row = match (row, fact.event) {
            (_, Event::Created(created)) => begin(created),
            (_, Event::Deleted(_)) => return None,
            (row, _) => row?,
        };
        match fact.event {
            Event::Created(_) | Event::Deleted(_) => {}
            Event::Changed(changed) => {
                row.definition = changed.definition.clone();
                row.waits_for(changed.next);
            }
            Event::Paused(paused) => {
                row.active = false;
                row.paused =
                    Some(Paused { cause: paused.cause, reason: paused.reason.clone(), at: paused.at });
                row.waits_for(None);
            }
            Event::Resumed(resumed) => {
                row.active = true;
                row.paused = None;
                row.waits_for(resumed.next);
            }
            Event::Triggered(triggered) => {
                row.last_run_at = Some(triggered.at);
                row.last_task_id = Some(triggered.task_id);
            }
            Event::TickFired(fired) => {
                row.last_run_at = Some(fired.at);
                row.last_task_id = Some(fired.task_id);
                row.waits_for(fired.next);
            }
            Event::TickSkipped(skipped) => {
                row.last_skip = Some(Skip {
                    reason: skipped.reason.as_str().to_owned(),
                    detail: skipped.detail.clone(),
                    from: skipped.tick,
                    to: skipped.tick,
                    count: 1,
                    at: skipped.at,
                });
                row.waits_for(skipped.next);
            }
            Event::TicksMissed(missed) => {
                row.last_skip = Some(Skip {
                    reason: MISSED.to_owned(),
                    detail: None,
                    from: missed.from,
                    to: missed.to,
                    count: missed.count,
                    at: missed.at,
                });
                row.waits_for(missed.next);
            }
        }
        row.updated_at = fact.occurred_at();
        row.version = fact.version();
        Some(row)
    }

    fn carried_key(stream: &StreamId, _: &Carried) -> Option<Uuid> {
        stream.id().parse().ok().filter(|_| stream.category() == ScheduleCodec::CATEGORY)
    }

    fn shown(doc: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        shown_of::<Shown>(doc).map(Some)
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let state: State = serde_json::from_str(carried.state.get())?;
        let Some((schedule, shown)) = state.zip(shown_in(carried)?) else { return Ok(None) };
        let Shown { agent_key, agent_name, paused, last_run_at, last_skip, created_at, updated_at } = shown;
        let mut row = Self {
            id: schedule.schedule_id,
            workspace: schedule.workspace.clone(),
            agent_id: schedule.agent_id,
            agent_key,
            agent_name,
            definition: schedule.definition,
            active: schedule.active,
            paused,
            next_tick: None,
            next_run_at: None,
            last_run_at,
            last_task_id: schedule.last_task_id,
            last_skip,
            created_at,
            updated_at,
            version: recorded.commit.version,
        };
        row.waits_for(schedule.next);
        Ok(Some((schedule.workspace, row)))
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

fn begin(created: &ScheduleCreated) -> ScheduleRow {
    ScheduleRow {
        id: created.schedule_id,
        workspace: created.workspace.clone(),
        agent_id: created.agent_id,
        agent_key: created.agent_key.clone(),
        agent_name: created.agent_name.clone(),
        definition: created.definition.clone(),
        active: created.active,
        paused: None,
        next_tick: created.next.map(|next| next.tick),
        next_run_at: created.next.map(|next| next.run_at),
        last_run_at: None,
        last_task_id: None,
        last_skip: None,
        created_at: created.created_at,
        updated_at: created.created_at,
        version: 1,
    }
}
