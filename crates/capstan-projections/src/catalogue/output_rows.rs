//! The rows of outputs, in chunks that are written once: an append costs the same however many rows there are.

use capstan_contract::schema::NamedSchema;
use capstan_domain::id::OutputId;
use capstan_domain::task::state::rows_of;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::cell::Column;
use crate::events::task_events;
use crate::fact::Fact;
use crate::model::{Model, Stored};

/// Most rows of a chunk. A page of a large append reads its own part, not the whole.
const CHUNK_ROWS: usize = 100;

/// Consecutive rows of an output as they came, a JSON array. Reads hide what is secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OutputRowsChunk(Box<RawValue>);

task_events! {
    /// Events that add rows to an output.
    OutputRowsEvent reads {
        OutputProduced, OutputRowsAppended,
    } ignores {
        TaskAccepted, RunRequested, AttemptLeased, AttemptStarted, AttemptCancelRequested, AttemptEnded,
        RetryScheduled, RunEnded, UsageRecorded, TaskContinued, TaskSlept, TaskDone, TaskFailed,
        TaskCancelled, TaskDropped, TaskArchived, TaskUnarchived, TaskReprioritised, TaskBudgetSet,
        TaskLabelled, TaskDeadlineSet, TaskRoutingSet, TaskPayloadSet, BlockerOpened, BlockerUpdated,
        BlockerVoted, BlockerClosed, InputAccepted, InputClaimed, InputReturned, InputDeferred,
        InputConsumed, OutputFinalized, OutputStatusChanged, OutputArchived, ToolCallDeferred,
        ToolCallAllowed, ToolCallDecided, ToolExecutionStarted, ToolExecutionEnded, SubtasksSpawned,
        SubtaskEnded, ParentTold, WatchArmed, WatchFired, WatchDisarmed, BudgetWarned, BudgetExceeded,
    }
}

/// The rows an event adds.
struct Added<'a> {
    output_id: OutputId,
    /// Number of the first of them, from 1.
    first_row: u64,
    rows: &'a [Value],
}

impl<'a> OutputRowsEvent<'a> {
    fn added(self) -> Added<'a> {
        match self {
            Self::OutputProduced(e) => Added { output_id: e.output_id, first_row: 1, rows: rows_of(&e.data) },
            Self::OutputRowsAppended(e) => {
                Added { output_id: e.output_id, first_row: e.first_row, rows: &e.rows }
            }
        }
    }
}

/// The key of the chunk that begins with this row. Keys of one output are in the order of its rows.
pub(crate) fn chunk_key(output_id: OutputId, row: u64) -> String {
    format!("{output_id}/{row:010}")
}

/// Number of the first row of the chunk with this key.
pub(crate) fn first_row(key: &str) -> Option<u64> {
    key.rsplit_once('/')?.1.parse().ok()
}

impl Model for OutputRowsChunk {
    const VERSION: i32 = 1;
    const COLUMNS: &'static [Column<Self>] = &[];
    const ANSWER: Option<NamedSchema> = None;
    const ROWS_ARE_NEW: bool = true;
    type Event<'a> = OutputRowsEvent<'a>;
    type Key = String;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<String>) {
        let Added { output_id, first_row, rows } = fact.event.added();
        let offsets = (0..rows.len() as u64).step_by(CHUNK_ROWS);
        keys.extend(offsets.map(|offset| chunk_key(output_id, first_row.saturating_add(offset))));
    }

    fn apply(row: Option<Self>, key: &String, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let added = fact.event.added();
        let offset = usize::try_from(first_row(key)?.checked_sub(added.first_row)?).ok()?;
        let chunk = added.rows.get(offset..)?.chunks(CHUNK_ROWS).next()?;
        let json = to_raw_value(chunk).unwrap_or_else(|_| unreachable!("JSON values always serialize"));
        row.or(Some(Self(json)))
    }

    fn read(_: &String, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }

    fn settled(&mut self) {
        // No event changes a chunk.
        self.0 = RawValue::NULL.to_owned();
    }
}
