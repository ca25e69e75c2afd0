//! The spending of each agent, and of each workspace by day.

use capstan_contract::AgentCodec;
use capstan_contract::account::AgentAccount;
use capstan_contract::schema::NamedSchema;
use capstan_domain::id::AgentId;
use capstan_domain::task::event::BudgetScope;
use capstan_domain::usage::Usage;
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::cell::{Cell, CellType, Column};
use crate::events::task_events;
use crate::fact::Fact;
use crate::model::{Model, Stored};

/// One account.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SpendingRow {
    workspace: String,
    /// Agent of an account without end; absent for a day of the workspace.
    agent_id: Option<AgentId>,
    /// Day in UTC; absent for an agent.
    day: Option<NaiveDate>,
    usage: Usage,
    /// The limit of the latest warning.
    warned_limit_usd: Option<f64>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Begin of the keys of agents' accounts. No workspace name contains the slash.
pub(crate) const AGENT_PREFIX: &str = "agent/";

/// Key of an agent's account.
fn agent_key(workspace: &str, agent_id: AgentId) -> String {
    format!("{AGENT_PREFIX}{workspace}/{agent_id}")
}

/// The key of the account of the agent with this stream.
pub(crate) fn account_of(stream: &StreamId) -> Option<String> {
    let agent_id = stream.id().parse().ok().filter(|_| stream.category() == AgentCodec::CATEGORY)?;
    Some(agent_key(stream.workspace().as_str(), agent_id))
}

fn day_key(workspace: &str, day: NaiveDate) -> String {
    format!("day/{workspace}/{day}")
}

task_events! {
    /// Events that change an account.
    SpendingEvent reads {
        UsageRecorded, BudgetWarned,
    } ignores {
        TaskAccepted, RunRequested, AttemptLeased, AttemptStarted, AttemptCancelRequested, AttemptEnded,
        RetryScheduled, RunEnded, TaskContinued, TaskSlept, TaskDone, TaskFailed, TaskCancelled,
        TaskDropped, TaskArchived, TaskUnarchived, TaskReprioritised, TaskBudgetSet, TaskLabelled,
        TaskDeadlineSet, TaskRoutingSet, TaskPayloadSet, BlockerOpened, BlockerUpdated, BlockerVoted,
        BlockerClosed, InputAccepted, InputClaimed, InputReturned, InputDeferred, InputConsumed,
        OutputProduced, OutputRowsAppended, OutputFinalized, OutputStatusChanged, OutputArchived,
        ToolCallDeferred, ToolCallAllowed, ToolCallDecided, ToolExecutionStarted, ToolExecutionEnded,
        SubtasksSpawned, SubtaskEnded, ParentTold, WatchArmed, WatchFired, WatchDisarmed, BudgetExceeded,
    }
}

impl Model for SpendingRow {
    const VERSION: i32 = 2;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("agent_id", CellType::Uuid, |row| Cell::Uuid(row.agent_id.map(|agent| agent.0))),
        Column::fixed("day", CellType::Text, |row| Cell::Text(row.day.map(|day| day.to_string().into()))),
        // Of an account that is carried forward it is older than the first report a reader knows.
        Column::changing("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
    ];
    // An account is older than the stream that adds to it.
    const STARTS_EMPTY: bool = false;
    const SPANS_STREAMS: bool = true;
    const ANSWER: Option<NamedSchema> = None;
    type Event<'a> = SpendingEvent<'a>;
    type Key = String;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<String>) {
        let workspace = fact.workspace();
        let Some((agent_id, at)) = charged(fact.event) else { return };
        keys.extend(agent_id.map(|agent_id| agent_key(workspace, agent_id)));
        keys.extend(at.map(|at| day_key(workspace, at.date_naive())));
    }

    fn apply(row: Option<Self>, key: &String, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let Some((agent_id, at)) = charged(fact.event) else { return row };
        let is_agent = key.starts_with(AGENT_PREFIX);
        let mut row = row.unwrap_or_else(|| SpendingRow {
            workspace: fact.workspace().to_owned(),
            agent_id: agent_id.filter(|_| is_agent),
            day: at.filter(|_| !is_agent).map(|at| at.date_naive()),
            usage: Usage::default(),
            warned_limit_usd: None,
            created_at: fact.occurred_at(),
            updated_at: fact.occurred_at(),
        });
        row.updated_at = fact.occurred_at();
        match fact.event {
            SpendingEvent::UsageRecorded(used) => row.usage.add(&used.usage),
            SpendingEvent::BudgetWarned(warned) => row.warned_limit_usd = Some(warned.limit_usd),
        }
        Some(row)
    }

    fn carried_key(stream: &StreamId, carried: &Carried) -> Option<String> {
        carried.spent.as_ref().and_then(|_| account_of(stream))
    }

    fn holds(carried: &Carried, last: u64) -> bool {
        carried.spent.as_ref().is_some_and(|spent| spent.holds(last))
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let stream = &recorded.commit.stream;
        let Some(spent) = &carried.spent else { return Ok(None) };
        let AgentAccount { usage, warned_limit_usd, created_at, updated_at } =
            serde_json::from_str(spent.account.get())?;
        let (workspace, agent_id) = (stream.workspace().as_str().to_owned(), stream.id().parse().ok());
        let row = Self {
            workspace: workspace.clone(),
            agent_id,
            day: None,
            usage,
            warned_limit_usd,
            created_at,
            updated_at,
        };
        Ok(Some((workspace, row)))
    }

    fn read(_: &String, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

/// The agent and the day an event concerns.
fn charged(event: SpendingEvent<'_>) -> Option<(Option<AgentId>, Option<DateTime<Utc>>)> {
    match event {
        SpendingEvent::UsageRecorded(used) => Some((used.agent_id, Some(used.at))),
        SpendingEvent::BudgetWarned(warned) => match warned.scope {
            BudgetScope::Task => None,
            BudgetScope::Agent => Some((warned.agent_id, None)),
            BudgetScope::Workspace => Some((None, Some(warned.at))),
        },
    }
}
