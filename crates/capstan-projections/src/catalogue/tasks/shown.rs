//! What reads show of a task beyond its state: times, texts and sums that no decision needs.

use capstan_domain::task::event::{AgendaItem, AttemptOutcome, DropReason, Event};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The part of a task's object that its state lacks.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    #[serde(skip_serializing_if = "crate::model::is_default")]
    pub(super) usage: Usage,
    pub(super) wake_reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) wake_agenda: Vec<AgendaItem>,
    pub(super) dropped_reason: Option<DropReason>,
    pub(super) error: Option<String>,
    pub(super) queued_at: Option<DateTime<Utc>>,
    pub(super) dispatched_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) updated_at: DateTime<Utc>,
}

impl Shown {
    /// Changes what an event concerns. `is_running`: the state of the task before it.
    pub(super) fn change(&mut self, event: &Event, is_running: bool) {
        match event {
            Event::RunRequested(e) => {
                self.requeue(e.queued_at);
                self.finished_at = None;
                self.error = None;
                self.dropped_reason = None;
                self.clear_wake();
            }
            Event::AttemptLeased(e) => self.dispatched_at = Some(e.leased_at),
            Event::AttemptEnded(e) => {
                // As in the decider: a lost attempt returns its run to the queue.
                if e.outcome == AttemptOutcome::Lost && is_running {
                    self.requeue(e.ended_at);
                }
            }
            Event::RetryScheduled(e) => self.requeue(e.available_at),
            Event::TaskSlept(e) => {
                self.queued_at = None;
                self.dispatched_at = None;
                self.wake_reason.clone_from(&e.reason);
                self.wake_agenda.clone_from(&e.agenda);
            }
            Event::TaskDone(e) => self.end(e.at),
            Event::TaskFailed(e) => {
                self.error = Some(e.error.clone());
                self.end(e.at);
            }
            Event::TaskCancelled(e) => self.end(e.at),
            Event::TaskDropped(e) => {
                self.dropped_reason = Some(e.reason);
                self.end(e.at);
            }
            Event::BlockerOpened(_) => {
                self.queued_at = None;
                self.clear_wake();
            }
            Event::UsageRecorded(e) => self.usage.add(&e.usage),
            // The state has what these change, or the task's object does not show it.
            Event::TaskAccepted(_)
            | Event::TaskContinued(_)
            | Event::TaskArchived(_)
            | Event::TaskUnarchived(_)
            | Event::TaskReprioritised(_)
            | Event::TaskBudgetSet(_)
            | Event::TaskLabelled(_)
            | Event::TaskDeadlineSet(_)
            | Event::TaskRoutingSet(_)
            | Event::TaskPayloadSet(_)
            | Event::AttemptStarted(_)
            | Event::AttemptCancelRequested(_)
            | Event::RunEnded(_)
            | Event::BlockerUpdated(_)
            | Event::BlockerVoted(_)
            | Event::BlockerClosed(_)
            | Event::InputAccepted(_)
            | Event::InputClaimed(_)
            | Event::InputReturned(_)
            | Event::InputDeferred(_)
            | Event::InputConsumed(_)
            | Event::OutputProduced(_)
            | Event::OutputRowsAppended(_)
            | Event::OutputFinalized(_)
            | Event::OutputStatusChanged(_)
            | Event::OutputArchived(_)
            | Event::ToolCallDeferred(_)
            | Event::ToolCallAllowed(_)
            | Event::ToolCallDecided(_)
            | Event::ToolExecutionStarted(_)
            | Event::ToolExecutionEnded(_)
            | Event::SubtasksSpawned(_)
            | Event::SubtaskEnded(_)
            | Event::ParentTold(_)
            | Event::WatchArmed(_)
            | Event::WatchFired(_)
            | Event::WatchDisarmed(_)
            | Event::BudgetWarned(_)
            | Event::BudgetExceeded(_) => {}
        }
    }

    fn requeue(&mut self, at: DateTime<Utc>) {
        self.queued_at = Some(at);
        self.dispatched_at = None;
    }

    fn end(&mut self, at: DateTime<Utc>) {
        self.finished_at = Some(at);
        self.clear_wake();
    }

    fn clear_wake(&mut self) {
        self.wake_reason = None;
        self.wake_agenda.clear();
    }
}
