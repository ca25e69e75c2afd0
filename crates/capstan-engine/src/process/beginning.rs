//! The snapshots and the past that a new leader begins with.

use std::sync::Arc;

use capstan_domain::id::AgentId;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::Event;
use capstan_domain::{agent, class, schedule, workspace};
use capstan_envelope::Position;
use capstan_eventlog::Spent;
use chrono::{DateTime, Utc};

use super::effect::{ClassKey, ScheduleKey};
use super::{Process, ReducedTask};

impl Process {
    /// Takes a task as a snapshot has it, or a fold of the log's beginning; commits after it follow.
    pub fn begin_with(&mut self, key: &StreamKey, task: &ReducedTask, now: DateTime<Utc>) {
        self.replace(key, task.version, &task.state, &[], now);
        self.shared.tasks.follow(key, task.version);
    }

    /// Takes a commit of the past and the task as it was then. Its end is not counted: that was a leader's before.
    pub(crate) fn recall(
        &mut self,
        key: &StreamKey,
        position: Position,
        events: &[Event],
        task: &ReducedTask,
        now: DateTime<Utc>,
    ) {
        self.begin_with(key, task, now);
        self.budgets.book(key, position, events, &mut self.shared);
        self.watching.reach(position);
        self.tidy_touched();
    }

    /// Takes a commit of the past of a task that was at rest and let go of: it is loaded if it was set in motion again.
    pub(crate) fn recall_unknown(
        &mut self,
        key: &StreamKey,
        position: Position,
        version: u64,
        events: &[Event],
    ) {
        self.shared.tasks.hear(key, version);
        if events.iter().any(Event::sets_in_motion) {
            self.shared.load(key, version);
        }
        self.budgets.book(key, position, events, &mut self.shared);
        self.watching.reach(position);
        self.tidy_touched();
    }

    /// The number and version of a task in memory. The number is another's once the task is let go of.
    pub(crate) fn place(&self, key: &StreamKey) -> Option<(u32, u64)> {
        self.shared.tasks.place(key)
    }

    /// Begins to lead: every lease gets a full period from now, however long the beginning took.
    pub fn lead(&mut self, now: DateTime<Utc>) {
        self.leases.lead(&self.shared, now);
    }

    /// Takes a schedule as a snapshot has it; commits after it follow.
    pub fn begin_with_schedule(&mut self, key: ScheduleKey, version: u64, state: schedule::State) {
        self.schedules.replace(&Arc::new(key), version, state);
    }

    /// Takes a class as a snapshot has it; commits after it follow.
    pub fn begin_with_class(&mut self, key: &ClassKey, version: u64, state: class::State) {
        self.classes.replace(key, version, state, &mut self.shared);
    }

    /// Takes the ledger as the read models have it at `position`; reports after it follow with the log.
    pub fn begin_with_spending(&mut self, position: Position, spent: Vec<Spent>) {
        self.budgets.load(position, spent);
        self.tidy_touched();
    }

    /// Takes an agent as a snapshot has it.
    pub fn begin_with_agent(&mut self, workspace: &str, agent_id: AgentId, state: agent::State) {
        self.budgets.replace_agent((workspace.into(), agent_id), state);
        self.tidy_touched();
    }

    /// Takes a workspace as a snapshot has it.
    pub fn begin_with_workspace(&mut self, workspace: &str, state: workspace::State) {
        let workspace: Arc<str> = workspace.into();
        self.shared.workspaces.replace(Arc::clone(&workspace), state);
        self.budgets.set_day_limit(&workspace, &self.shared);
        self.tidy_touched();
    }
}
