//! How much has each agent spent, and each workspace on each day?

use capstan_contract::DomainEvent;
use capstan_domain::id::AgentId;
use capstan_domain::task::Event;
use capstan_domain::task::event::BudgetScope;
use capstan_domain::usage::Usage;
use capstan_envelope::Recorded;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::Model;

/// The model.
#[derive(Debug)]
pub(crate) struct Spending;

/// One account as reads show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SpendingRow {
    workspace: String,
    /// Over all its time; absent for a day of the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_id: Option<AgentId>,
    /// In UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    day: Option<NaiveDate>,
    usage: Usage,
    /// The limit people were warned about last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warned_limit_usd: Option<f64>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Whose account: both are told apart by their beginning, which no workspace's name contains.
fn agent_key(workspace: &str, agent_id: AgentId) -> String {
    format!("agent/{workspace}/{agent_id}")
}

fn day_key(workspace: &str, day: NaiveDate) -> String {
    format!("day/{workspace}/{day}")
}

impl Model for Spending {
    const NAME: &'static str = "spending";
    const VERSION: i32 = 1;
    const SCHEMA: &'static str = include_str!("../../../../projections/spending/schema.sql");
    const COLUMNS: &'static [Column] = &[
        Column::fixed("agent_id", CellType::Uuid),
        Column::fixed("day", CellType::Text),
        Column::fixed("created_at", CellType::Time),
    ];
    // An account is older than the stream that adds to it.
    const STARTS_EMPTY: bool = false;
    type Key = String;
    type Row = SpendingRow;

    fn keys(recorded: &Recorded, event: &DomainEvent, keys: &mut Vec<String>) {
        let DomainEvent::Task(event) = event else { return };
        let workspace = recorded.commit.stream.workspace().as_str();
        let Some((agent_id, at)) = charged(event) else { return };
        keys.extend(agent_id.map(|agent_id| agent_key(workspace, agent_id)));
        keys.extend(at.map(|at| day_key(workspace, at.date_naive())));
    }

    fn apply(row: Option<SpendingRow>, key: &String, fact: &Fact<'_>) -> Option<SpendingRow> {
        let DomainEvent::Task(event) = fact.event else { return row };
        let Some((agent_id, at)) = charged(event) else { return row };
        let is_agent = key.starts_with("agent/");
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
        match event {
            Event::UsageRecorded(used) => row.usage.add(&used.usage),
            Event::BudgetWarned(warned) => row.warned_limit_usd = Some(warned.limit_usd),
            _ => {}
        }
        Some(row)
    }

    fn cells(row: &SpendingRow) -> Vec<Cell<'_>> {
        let day = row.day.map(|day| day.to_string());
        vec![
            Cell::Uuid(row.agent_id.map(|agent| agent.0)),
            Cell::Text(day.map(Into::into)),
            Cell::Time(Some(row.created_at)),
        ]
    }
}

/// The agent and the day an event concerns.
fn charged(event: &Event) -> Option<(Option<AgentId>, Option<DateTime<Utc>>)> {
    match event {
        Event::UsageRecorded(used) => Some((used.agent_id, Some(used.at))),
        Event::BudgetWarned(warned) => match warned.scope {
            BudgetScope::Task => None,
            BudgetScope::Agent => Some((warned.agent_id, None)),
            BudgetScope::Workspace => Some((None, Some(warned.at))),
        },
        _ => None,
    }
}
