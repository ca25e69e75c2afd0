//! What the process remembers of one task.

use std::sync::Arc;

use capstan_contract::lease::{RenewAnswer, RenewStatus};
use capstan_domain::id::{AttemptId, InputId, WorkerId};
use capstan_domain::matching::StreamKey;
use capstan_domain::task::budget::Spending;
use capstan_domain::task::command::ExpireLease;
use capstan_domain::task::deadline::timers;
use capstan_domain::task::event::{InputOutcome, QueueMode};
use capstan_domain::task::state::Input;
use capstan_domain::task::{Command, Event, State, TaskState};
use chrono::{DateTime, Duration, Utc};

use super::family::Kin;
use super::tool_execution::{Step, ToolWork};
use super::{CallId, Order};

/// First pause after a failed order, in milliseconds; doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS: i64 = 100;
const PAUSE_MS_MAX: i64 = 10_000;

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) key: Arc<StreamKey>,
    /// Commits folded into `task`.
    pub(super) version: u64,
    pub(super) task: State,
    pub(super) lease: Option<Lease>,
    /// The newest commit heard of; ahead of `version` when some were missed.
    pub(super) heard: u64,
    /// Orders and loads under way.
    pub(super) under_way: u32,
    /// Leases among them, the one to be repeated included.
    pub(super) leases: u32,
    /// A lease whose fate is unknown. Its task stays reserved until a repeat is answered: given to nobody else, and
    /// no other task of its session either.
    pub(super) retry: Option<Box<Order>>,
    /// A lease that was refused: perhaps it, or an earlier try of it, is what made the view stale.
    pub(super) refused: Option<Box<Order>>,
    /// An order was refused: this view of the task is stale.
    pub(super) is_doubtful: bool,
    /// After a failure: nothing before this instant.
    pub(super) not_before: Option<DateTime<Utc>>,
    pub(super) failures: u32,
    /// The spent budget that binds the task.
    pub(super) over: Option<Spending>,
    /// A warning to be recorded.
    pub(super) warn: Option<Spending>,
    /// The task's own budget is spent, with everything below it.
    pub(super) is_tree_over: bool,
    /// What this engine does for an approved tool call.
    pub(super) tool: ToolWork,
    /// What it knows of its family.
    pub(super) kin: Kin,
    /// The instant the timer heap will bring this task up.
    pub(super) rings_at: Option<DateTime<Utc>>,
}

/// The lease of a live attempt, as far as it is not recorded.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) attempt_id: AttemptId,
    pub(super) worker_id: WorkerId,
    /// When it ends unless renewed.
    pub(super) until: DateTime<Utc>,
    pub(super) cancel_reason: Option<String>,
    /// Inputs that answered a question before it was asked.
    pub(super) answers: Vec<InputId>,
    /// The newest input the worker was told of.
    pub(super) told_seq: u32,
    /// Whether the worker was told that the task waits.
    pub(super) told_waiting: bool,
    /// Renewals that wait for news.
    pub(super) watchers: Vec<CallId>,
}

/// What a new state meant for the lease.
#[derive(Debug, Default)]
pub(super) struct LeaseChange {
    pub(super) ended: Option<Lease>,
    pub(super) began: Option<WorkerId>,
}

impl Tracked {
    pub(super) fn new(key: Arc<StreamKey>) -> Self {
        Self {
            key,
            version: 0,
            task: None,
            lease: None,
            heard: 0,
            under_way: 0,
            leases: 0,
            retry: None,
            refused: None,
            is_doubtful: false,
            not_before: None,
            failures: 0,
            over: None,
            warn: None,
            is_tree_over: false,
            tool: ToolWork::Idle,
            kin: Kin::default(),
            rings_at: None,
        }
    }

    /// The next instant at which the task wants something.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        if self.retry.is_some() || self.is_doubtful || self.heard > self.version {
            return Some(self.not_before.unwrap_or(DateTime::<Utc>::MIN_UTC));
        }
        let task = self.task.as_deref()?;
        if self.kin.is_due(task) {
            return Some(self.not_before.unwrap_or(DateTime::<Utc>::MIN_UTC));
        }
        let timer = timers(task).into_iter().map(|timer| timer.due).min();
        let lease = self.lease.as_ref().filter(|_| task.working_attempt().is_some()).map(|lease| lease.until);
        let money = self.budget_command(DateTime::<Utc>::MIN_UTC, 0).map(|_| DateTime::<Utc>::MIN_UTC);
        let due = timer.into_iter().chain(lease).chain(money).chain(self.tool_due()).min()?;
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// True while something about a task that is over is still to be recorded.
    pub(super) fn has_something_to_say(&self) -> bool {
        self.warn.is_some() || self.tool != ToolWork::Idle
    }

    /// The worker that holds the lease.
    pub(super) fn holder(&self) -> Option<capstan_domain::id::WorkerId> {
        self.task.as_deref()?.live.as_ref().map(|live| live.worker_id)
    }

    /// The command that is due first, if one is.
    pub(super) fn due_command(
        &self,
        now: DateTime<Utc>,
        grace_ms: i64,
        tool_timeout_ms: Option<u32>,
    ) -> Option<Command> {
        let task = self.task.as_deref()?;
        let timer = timers(task).into_iter().min_by_key(|timer| timer.due);
        if let Some(timer) = timer.filter(|timer| timer.due <= now) {
            return Some(timer.command(now, grace_ms));
        }
        if let Some(command) = self.budget_command(now, grace_ms) {
            return Some(command);
        }
        if let Some((_, step)) = self.tool_step(tool_timeout_ms, now).filter(|(due, _)| *due <= now) {
            return Some(match step {
                Step::Start(start) => Command::StartToolCall(start),
                Step::End(end) => Command::EndToolCall(end),
            });
        }
        let lease = self.lease.as_ref().filter(|lease| lease.until <= now)?;
        task.working_attempt()?;
        Some(Command::ExpireLease(ExpireLease {
            attempt_id: lease.attempt_id.clone(),
            returned: false,
            reason: "the worker has not renewed its lease".to_owned(),
            at: now,
        }))
    }

    /// Brings the unrecorded part of the lease in line with the task. A lease seen for the first time gets a full
    /// period from now.
    pub(super) fn follow_lease(&mut self, now: DateTime<Utc>, lease_ms: i64) -> LeaseChange {
        let live = self.task.as_deref().and_then(|task| task.live.as_ref());
        let same = |lease: &Lease| live.is_some_and(|live| live.attempt_id == lease.attempt_id);
        if self.lease.as_ref().is_some_and(same) {
            return LeaseChange::default();
        }
        let ended = self.lease.take();
        let began = live.map(|live| live.worker_id);
        self.lease = live.map(|live| Lease {
            attempt_id: live.attempt_id.clone(),
            worker_id: live.worker_id,
            until: later(now, lease_ms),
            cancel_reason: None,
            answers: Vec::new(),
            told_seq: 0,
            told_waiting: false,
            watchers: Vec::new(),
        });
        LeaseChange { ended, began }
    }

    /// Keeps from the events what the state forgets and the worker wants to know.
    pub(super) fn note(&mut self, events: &[Event]) {
        let Some(lease) = &mut self.lease else { return };
        for event in events {
            if let Event::AttemptCancelRequested(asked) = event {
                lease.cancel_reason = Some(asked.reason.clone());
            }
            if let Event::BlockerClosed(closed) = event {
                lease.answers.extend(closed.input_id);
            }
        }
    }

    /// What the holder of `attempt_id` is told now, and whether it is urgent.
    pub(super) fn renewal(&self, attempt_id: &AttemptId) -> Told {
        let held = self.task.as_deref().zip(self.lease.as_ref());
        let Some((task, lease)) = held.filter(|(_, lease)| lease.attempt_id == *attempt_id) else {
            return Told::lost(attempt_id);
        };
        let mut told = Told {
            answer: RenewAnswer {
                attempt_id: attempt_id.clone(),
                status: RenewStatus::Ok,
                reason: None,
                inputs_pending: 0,
                waiting: task.state == TaskState::Waiting,
                steer: false,
            },
            is_urgent: false,
            seq: lease.told_seq,
        };
        if task.working_attempt().is_none() {
            told.answer.status = RenewStatus::Cancel;
            told.answer.reason = lease.cancel_reason.clone().or_else(|| Some("cancelled".to_owned()));
            told.is_urgent = true;
            return told;
        }
        for input in task.pending_inputs().filter(|input| lease.may_take(input)) {
            told.answer.inputs_pending += 1;
            told.answer.steer |= input.queue_mode == QueueMode::Steer;
            told.seq = told.seq.max(input.seq);
        }
        // Told once: a worker that leaves an input where it is must not make the engine answer in a circle.
        told.is_urgent = told.seq > lease.told_seq || (lease.told_waiting && !told.answer.waiting);
        told
    }
}

impl Lease {
    /// Inputs said into a turn stay in the inbox until it ends; only answers to a question reach it.
    fn may_take(&self, input: &Input) -> bool {
        input.outcome == InputOutcome::Delivered || self.answers.contains(&input.input_id)
    }
}

/// What a worker is told of one attempt.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) answer: RenewAnswer,
    pub(super) is_urgent: bool,
    pub(super) seq: u32,
}

impl Told {
    pub(super) fn lost(attempt_id: &AttemptId) -> Self {
        let answer = RenewAnswer {
            attempt_id: attempt_id.clone(),
            status: RenewStatus::Lost,
            reason: Some("the lease is gone".to_owned()),
            inputs_pending: 0,
            waiting: false,
            steer: false,
        };
        Self { answer, is_urgent: true, seq: 0 }
    }
}

/// The pause after so many failures, in milliseconds.
pub(super) fn backoff(failures: u32) -> i64 {
    PAUSE_MS.saturating_mul(1 << failures.min(10)).min(PAUSE_MS_MAX)
}

/// The instant `ms` milliseconds later.
pub(super) fn later(at: DateTime<Utc>, ms: i64) -> DateTime<Utc> {
    Duration::try_milliseconds(ms)
        .and_then(|span| at.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
