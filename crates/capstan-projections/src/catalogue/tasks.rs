//! The tasks and their state: one small row for each, which holds the state that decisions and the engine need, and one
//! for its acceptance, written once.

mod object;
mod payload;
mod shown;

use std::sync::Arc;

use capstan_contract::TaskCodec;
use capstan_contract::query::WaitingReason;
use capstan_contract::schema::NamedSchema;
use capstan_decider::Decider;
use capstan_domain::id::TaskId;
use capstan_domain::task::event::TaskAccepted;
use capstan_domain::task::{Event, StoredProgress, Task, TaskDecider, TaskState};
use capstan_envelope::{
    AppliedKeys, Carried, Codec as _, CommitHash, Position, Recorded, StreamHead, StreamId,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

pub use self::object::TaskObject;
use self::object::waiting_reason;
use self::shown::Shown;
use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Answer, Aside, Model, Stored, Sum, hour};
use crate::search;

/// The table with the acceptances of tasks.
pub(crate) const ACCEPTANCES: &str = "acceptances";

/// The column of that table with the position of the commit an acceptance was read from: that of the acceptance, or one that carried it
/// forward. The index of texts follows it. It depends on what the log still had, so it counts for no digest.
pub(crate) const PLACED_AT: &str = "position";

/// A task at one of its commits.
#[derive(Clone, Debug)]
pub(crate) struct TaskRow {
    /// Position and version of its stream.
    pub(crate) head: StreamHead,
    /// The decider's state.
    pub(crate) task: Box<Task>,
    shown: Shown,
    /// The acceptance, until it is written.
    new: Option<NewAcceptance>,
}

/// An acceptance that is not written yet.
#[derive(Clone, Debug)]
struct NewAcceptance {
    accepted: Arc<TaskAccepted>,
    /// Number of its commit in the log.
    sequence: u64,
}

impl NewAcceptance {
    fn of(task: &Task, recorded: &Recorded) -> Self {
        Self { accepted: Arc::clone(&task.accepted), sequence: recorded.position.sequence() }
    }
}

/// The document of a task's row. Position and version are columns, the acceptance is in the other table.
#[derive(Serialize)]
struct Written<'a> {
    hash: CommitHash,
    progress: StoredProgress<'a>,
    shown: &'a Shown,
    /// Last, and the document last in the row: of what is equal there Postgres records nothing.
    #[serde(skip_serializing_if = "AppliedKeys::is_empty")]
    applied: &'a AppliedKeys,
}

#[derive(Deserialize)]
struct Read<'a> {
    hash: CommitHash,
    #[serde(default)]
    applied: AppliedKeys,
    #[serde(borrow)]
    progress: &'a RawValue,
    shown: Shown,
}

impl Serialize for TaskRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { head: StreamHead { hash, applied, .. }, task, shown, .. } = self;
        Written { hash: *hash, progress: task.stored_progress(), shown, applied }.serialize(serializer)
    }
}

/// Bytes of an acceptance up to which the part that the engine starts with is not stored beside it.
const SHORT_BYTES: usize = 1024;

/// The part of that document that loading the stream needs.
#[derive(Deserialize)]
struct ReadState<'a> {
    hash: CommitHash,
    #[serde(default)]
    applied: AppliedKeys,
    #[serde(borrow)]
    progress: &'a RawValue,
}

/// The head of a task's stream and the JSON form of the decider's state. The acceptance in the second document may be a
/// reduced one.
pub(crate) fn state_of(id: Uuid, stored: &Stored<'_>) -> serde_json::Result<(StreamHead, Box<RawValue>)> {
    let ReadState { hash, applied, progress } = serde_json::from_str(stored.doc)?;
    let position = Position::new(stored.sequence, hash);
    let state = Task::json_of(TaskId(id), present(stored.aside)?, progress.get());
    Ok((StreamHead { position, version: stored.version, hash, applied }, RawValue::from_string(state)?))
}

/// The acceptance of a task, which must be there.
pub(crate) fn read_acceptance(task_id: Uuid, doc: Option<&str>) -> serde_json::Result<Arc<TaskAccepted>> {
    TaskAccepted::of_stored(TaskId(task_id), present(doc)?).map(Arc::new)
}

fn present(acceptance: Option<&str>) -> serde_json::Result<&str> {
    use serde::de::Error;
    acceptance.ok_or_else(|| serde_json::Error::custom("the acceptance of the task is missing"))
}

/// The stored form of an acceptance that is to be written.
fn stored_json(accepted: &TaskAccepted) -> String {
    accepted
        .stored_json()
        .unwrap_or_else(|_| unreachable!("an acceptance that was decoded serializes as JSON"))
}

/// The part of an acceptance that the engine starts with; none of one that is short itself, which it then reads whole.
fn reduced_json(accepted: &TaskAccepted) -> Option<String> {
    (stored_json(accepted).len() > SHORT_BYTES).then(|| stored_json(&accepted.reduced()))
}

impl TaskRow {
    /// The position of the row of a task whose label, labels or message were changed after its acceptance. Others have none, so that
    /// they are not indexed again with every commit.
    fn reworded_at(&self) -> Option<i64> {
        let changes = &self.task.progress.changes;
        let is_reworded = changes.labels.is_some() || changes.payload.is_some();
        is_reworded.then_some(self.head.position.sequence() as i64)
    }

    /// A row as its table holds it.
    pub(crate) fn from_stored(id: Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        let Read { hash, applied, progress, shown } = serde_json::from_str(stored.doc)?;
        let task = Task::of_parts(read_acceptance(id, stored.aside)?, progress.get())?;
        let position = Position::new(stored.sequence, hash);
        let head = StreamHead { position, version: stored.version, hash, applied };
        Ok(Self { head, task: Box::new(task), shown, new: None })
    }

    /// The object the API returns.
    pub(crate) fn object(&self) -> TaskObject {
        TaskObject::from_row(self)
    }

    /// True when the engine follows the task although it is over: it still holds a lease, has subtasks to create or
    /// wait for, or a parent to notify.
    fn is_unsettled(&self) -> bool {
        self.task.state.is_terminal() && !self.task.is_at_rest()
    }
}

impl Model for TaskRow {
    const VERSION: i32 = 10;
    const BOXED: usize = size_of::<Task>() + size_of::<TaskAccepted>();
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("agent_id", CellType::Uuid, |row| Cell::Uuid(Some(row.task.accepted.agent_id.0))),
        Column::changing("state", CellType::Text, |row| Cell::text(row.task.state.as_str())),
        Column::changing("open", CellType::Flag, |row| Cell::Flag(Some(!row.task.state.is_terminal()))),
        Column::changing("unsettled", CellType::Flag, |row| Cell::Flag(Some(row.is_unsettled()))),
        Column::changing("priority", CellType::Text, |row| Cell::text(row.task.priority.as_str())),
        Column::changing("label", CellType::Text, |row| {
            Cell::text_or_null(row.task.accepted.label.as_deref())
        }),
        Column::fixed("parent_task_id", CellType::Uuid, |row| {
            Cell::Uuid(row.task.accepted.parent_task_id.map(|id| id.0))
        }),
        Column::fixed("source_output_id", CellType::Text, |row| {
            Cell::text_or_null(row.task.accepted.source_output_id.as_deref())
        }),
        Column::changing("archived", CellType::Flag, |row| Cell::Flag(Some(row.task.archived_at.is_some()))),
        Column::changing("waiting_reason", CellType::Text, |row| {
            Cell::text_or_null(waiting_reason(&row.task).map(WaitingReason::as_str))
        }),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.task.accepted.accepted_at))),
        Column::changing("updated_at", CellType::Time, |row| Cell::Time(Some(row.shown.updated_at))),
        Column::changing("updated_hour", CellType::BigInt, |row| {
            Cell::BigInt(Some(hour(row.shown.updated_at)))
        }),
        Column::changing("reworded_at", CellType::BigInt, |row| Cell::BigInt(row.reworded_at())),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<TaskObject>("task"));
    const ANSWER_FROM: Option<Answer> = Some(Answer {
        task_id: "id",
        object: |id, _, stored| serde_json::value::to_raw_value(&TaskRow::from_stored(id, stored)?.object()),
    });
    const ASIDE: Option<Aside<Self>> = Some(Aside {
        table: ACCEPTANCES,
        doc: |row| row.new.as_ref().map(|new| stored_json(&new.accepted)),
        columns: &[
            Column::fixed("reduced", CellType::Text, |row| {
                Cell::Text(row.new.as_ref().and_then(|new| reduced_json(&new.accepted)).map(Into::into))
            }),
            Column::fixed(PLACED_AT, CellType::BigInt, |row| {
                Cell::BigInt(row.new.as_ref().map(|new| new.sequence as i64))
            }),
        ],
    });
    const SUMS: &'static [Sum] = &[Sum {
        table: "task_counts",
        of_rows: "counted_tasks",
        columns: &["agent_id", "workspace", "state", "counted"],
    }];
    const TRAILING: &'static [&'static str] = search::TABLES;
    const IS_CARRIED: bool = true;
    type Event<'a> = &'a Event;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, &Event>, keys: &mut Vec<Uuid>) {
        keys.extend(Uuid::parse_str(fact.recorded.commit.stream.id()));
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, &Event>) -> Option<Self> {
        let (mut head, state, mut shown, new) = match row {
            Some(row) => (row.head, Some(row.task), row.shown, row.new),
            None => <(StreamHead, Option<Box<Task>>, Shown, Option<NewAcceptance>)>::default(),
        };
        // Idempotent, so each event of the commit may advance it.
        head.advance(fact.recorded);
        let is_running = state.as_ref().is_some_and(|task| task.state == TaskState::Running);
        shown.change(fact.event, is_running);
        shown.updated_at = fact.occurred_at();
        let task = TaskDecider::evolve(state, fact.event)?;
        let new = if let Event::TaskAccepted(_) = fact.event {
            Some(NewAcceptance::of(&task, fact.recorded))
        } else {
            new
        };
        Some(Self { head, task, shown, new })
    }

    fn carried_key(stream: &StreamId, _: &Carried) -> Option<Uuid> {
        Uuid::parse_str(stream.id()).ok().filter(|_| stream.category() == TaskCodec::CATEGORY)
    }

    fn shown(doc: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        #[derive(Deserialize)]
        struct ReadShown {
            shown: Box<RawValue>,
        }
        serde_json::from_str(doc).map(|ReadShown { shown }| Some(shown))
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let state: Option<Box<Task>> = serde_json::from_str(carried.state.get())?;
        let Some(task) = state else { return Ok(None) };
        let shown = crate::model::shown_in(carried)?.unwrap_or_default();
        let new = Some(NewAcceptance::of(&task, recorded));
        let row = Self { head: StreamHead::carried(recorded, carried), task, shown, new };
        Ok(Some((recorded.commit.stream.workspace().as_str().to_owned(), row)))
    }

    fn replaces_aside(&self, written: Option<&Self>) -> bool {
        // The changes of the command, which stood beside it, stand in it now.
        written.is_none_or(|written| written.task.changes != self.task.changes)
    }

    fn read(key: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        Self::from_stored(*key, stored)
    }

    fn settled(&mut self) {
        self.new = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_acceptance_is_stored_once_and_of_a_long_one_the_part_the_engine_starts_with() {
        let sample = include_str!("../../../../schemas/events/task/task-accepted.v1.sample.json");
        let whole: TaskAccepted = serde_json::from_str(sample).unwrap();
        let short = TaskAccepted { message: "Count the files.".into(), ..whole.reduced() };
        assert_eq!(reduced_json(&short), None);
        let long = TaskAccepted { message: "x".repeat(SHORT_BYTES), ..short };
        let kept = reduced_json(&long).unwrap();
        assert!(kept.len() < SHORT_BYTES, "{kept}");
        let read = read_acceptance(long.task_id.0, Some(&kept)).unwrap();
        assert_eq!(*read, long.reduced());
    }
}
