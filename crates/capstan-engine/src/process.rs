//! The pure part of the engine: events of the loop go in, effects come out as data.
//!
//! The process receives commits, requests, outcomes of effects and the time; [`Process::turn`] returns the effects. It
//! reads no clock and touches no network, so thousands of crashes can be simulated in a test.
//!
//! It only routes. Each part owns its state and follows the events that concern it: `classes`, `budgets`, `relations`,
//! `tool_execution`, `tool_polls`, `watching`, `schedules`, `leases`, `worker_requests`. They share the state in `shared`,
//! read `facts` about tasks and never the tasks themselves, and push effects.
//!
//! One task has at most one timer; a renewal only moves the deadline in memory, and a timer that fires early is set
//! again. Nothing here costs more than a logarithm per event, except that new work is offered to the waiting workers one
//! after another.

mod beginning;
mod bodies;
mod budgets;
mod classes;
mod commits;
mod config;
mod effect;
mod facts;
mod leases;
mod origin;
mod outcome;
mod reduced;
mod relations;
mod retry;
mod reviews;
mod schedules;
mod shared;
mod tasks;
mod timers;
mod tool_call;
mod tool_execution;
mod tool_places;
mod tool_polls;
mod watching;
mod work;
mod worker_requests;
mod workers;
mod workspaces;

use std::sync::Arc;

use capstan_contract::TaskCodec;
use capstan_domain::id::WorkerId;
use capstan_domain::matching::{Depth, StreamKey};
use capstan_domain::task::{Command, Task};
use capstan_envelope::{Codec as _, StreamId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use config::ProcessConfig;
pub use effect::{
    AgentCheck, CallId, ClassKey, ClassOrder, Effect, Order, ScheduleKey, TickOrder, ToolRequest,
};
pub use outcome::{ClassSettled, Loaded, ScheduleSettled, Settled, ToolAnswer};
pub use reduced::ReducedTask;

use crate::protocol::{Answer, Request};
use budgets::Budgets;
use classes::Classes;
use leases::Leases;
use relations::Relations;
use schedules::Schedules;
use shared::Shared;
use tool_execution::ToolExecution;
use tool_polls::ToolPolls;
use watching::Watching;
use worker_requests::WorkerRequests;

/// Everything the active engine keeps in memory.
#[derive(Debug)]
pub struct Process {
    shared: Shared,
    leases: Leases,
    classes: Classes,
    budgets: Budgets,
    relations: Relations,
    tool_execution: ToolExecution,
    tool_polls: ToolPolls,
    watching: Watching,
    schedules: Schedules,
    worker_requests: WorkerRequests,
}

/// The task a stream holds; `None` for streams of other categories.
pub fn task_key(stream: &StreamId) -> Option<StreamKey> {
    if stream.category() != TaskCodec::CATEGORY {
        return None;
    }
    Some(StreamKey::new(stream.workspace().as_str(), stream.id().parse().ok()?))
}

impl Process {
    /// An empty process.
    pub fn new(config: ProcessConfig, now: DateTime<Utc>) -> Self {
        Self {
            shared: Shared::new(config),
            leases: Leases::default(),
            classes: Classes::default(),
            budgets: Budgets::new(now),
            relations: Relations::default(),
            tool_execution: ToolExecution::default(),
            tool_polls: ToolPolls::default(),
            watching: Watching::default(),
            schedules: Schedules::default(),
            worker_requests: WorkerRequests::new(now),
        }
    }

    /// Takes a request; the answer comes as an effect, now or later. `fresh` becomes the id of a new worker.
    pub fn request(&mut self, call: CallId, request: Request, fresh: Uuid, now: DateTime<Utc>) {
        let shared = &mut self.shared;
        match request {
            Request::Register { worker, reach } => {
                WorkerRequests::register(call, worker, reach, WorkerId(fresh), shared, now);
            }
            Request::Lease { worker_id, reach, .. }
            | Request::Drain { worker_id, reach }
            | Request::ClaimToolCall { worker_id, reach, .. }
                if !shared.workers.is_reached(worker_id, &reach) =>
            {
                shared.answer(call, Answer::UnknownWorker);
            }
            Request::Lease { worker_id, max, wait_ms, .. } => {
                self.worker_requests.poll(call, (worker_id, max), wait_ms, shared, now);
            }
            Request::EndPolls { worker_id } => {
                self.worker_requests.end_polls(worker_id, shared);
                shared.answer(call, Answer::PollsEnded);
            }
            Request::Renew { worker_id, renewals, wait_ms, reach } => {
                self.leases.renew(call, (worker_id, &reach), &renewals, wait_ms, shared, now);
            }
            Request::Drain { worker_id, .. } => self.worker_requests.drain(call, worker_id, shared, now),
            Request::Why { workspace, task_id } => {
                let reasons = shared.matching.why(&StreamKey::new(&workspace, task_id), now);
                shared.answer(call, Answer::Why(reasons));
            }
            Request::ClaimToolCall { worker_id, wait_ms, .. } => {
                self.tool_polls.poll(call, worker_id, wait_ms, shared, now);
            }
            Request::Watchers(keys) => self.watching.ask(call, keys, now),
            Request::Workers => {
                let views = shared.workers.views(now, shared.config.lease_ms);
                shared.answer(call, Answer::Workers(views));
            }
        }
    }

    /// Takes the outcome of an order.
    pub fn settled(&mut self, order: &Order, outcome: &Settled, now: DateTime<Utc>) {
        match &order.follow_up {
            Some((owner, follow_up)) => {
                let relative = (owner, follow_up);
                self.relations.settled(relative, &order.key, outcome, &mut self.shared, now);
                if let (Settled::Decided { version, state, events }, effect::FollowUp::CreateChild(_)) =
                    (outcome, follow_up)
                {
                    self.replace(&order.key, *version, state, events, now);
                }
            }
            None => self.order_settled(order, outcome, now),
        }
        self.tidy_touched();
    }

    fn order_settled(&mut self, order: &Order, outcome: &Settled, now: DateTime<Utc>) {
        let Some(tracked) = self.shared.tasks.get_mut(&order.key) else { return };
        tracked.work_mut().end();
        if order.is_about_tools() {
            self.tool_settled(order, outcome, now);
        }
        let is_warning = matches!(order.command.command, Command::WarnBudget(_));
        if is_warning && !matches!(outcome, Settled::Failed { .. }) {
            self.budgets.warning_settled(&order.key);
        }
        let Some(tracked) = self.shared.tasks.get_mut(&order.key) else { return };
        tracked.settled(order, outcome, is_warning, now);
        self.shared.tasks.touch(&order.key);
        let mut attempt = None;
        match outcome {
            Settled::Decided { version, state, events } => {
                attempt = state.as_deref().and_then(|task| bodies::leased_attempt(order, task));
                self.replace(&order.key, *version, state, events, now);
            }
            Settled::Failed { .. } if order.is_lease() => self.worker_requests.pause(now),
            Settled::Failed { .. } | Settled::Refused => {}
        }
        if order.is_lease() {
            self.worker_requests.lease_settled(order, attempt, &mut self.shared, now);
        }
    }

    fn tool_settled(&mut self, order: &Order, outcome: &Settled, now: DateTime<Utc>) {
        let shared = &mut self.shared;
        let Command::StartToolCall(start) = &order.command.command else {
            return self.tool_execution.settled(order, outcome, None, shared);
        };
        let claimed = bodies::claimed_call(order, start, outcome);
        match start.worker_id {
            None => self.tool_execution.settled(order, outcome, claimed.as_ref(), shared),
            Some(_) => self.tool_polls.settled(order.request, claimed, shared, now),
        }
    }

    /// Takes the outcome of a load.
    pub fn loaded(&mut self, key: &StreamKey, outcome: &Loaded, now: DateTime<Utc>) {
        let Some(tracked) = self.shared.tasks.get_mut(key) else { return };
        let refused = tracked.loaded(outcome, now);
        let is_leasing = tracked.is_leasing();
        if let Loaded::State { version, state } = outcome {
            if let (Some(order), Some(task)) = (&refused, state.as_deref())
                && let Command::Lease(lease) = &order.command.command
                && let Some(attempt) = bodies::leased_attempt(order, task)
            {
                worker_requests::owe(lease.worker_id, attempt, &mut self.shared);
            }
            self.replace(key, *version, state, &[], now);
            match state.as_deref() {
                None => self.relations.missing(key, &mut self.shared),
                Some(task) => self.step(key, task, now),
            }
            if !is_leasing {
                // The pick that led here was refused, and the state in the queue is the one that refused it.
                self.shared.matching.unreserve(key);
                self.shared.may_match = true;
            }
        }
        self.shared.tasks.touch(key);
        self.tidy_touched();
    }

    /// Takes the next step about the task's relations while the whole task is here, unless it waits for something else.
    fn step(&mut self, key: &StreamKey, task: &Task, now: DateTime<Utc>) {
        let Some(tracked) = self.shared.tasks.get(key) else { return };
        if tracked.is_idle() && !tracked.is_stale() && !tracked.has_retry() && tracked.after_pause(now) <= now
        {
            self.relations.turn(key, Some(task), &mut self.shared, now);
        }
    }

    /// Takes the outcome of an order to a schedule, or of a load of one. `tick`: the tick that was ordered.
    pub fn schedule_settled(
        &mut self,
        key: &Arc<ScheduleKey>,
        tick: Option<DateTime<Utc>>,
        outcome: ScheduleSettled,
        now: DateTime<Utc>,
    ) {
        self.schedules.settled(key, tick, outcome, now);
    }

    /// Takes the outcome of a command to a class.
    pub fn class_settled(&mut self, order: &ClassOrder, outcome: ClassSettled, now: DateTime<Utc>) {
        self.classes.settled(order, outcome, &mut self.shared, now);
    }

    /// Takes the outcome of a call to an endpoint.
    pub fn tool_called(&mut self, request: &ToolRequest, answer: ToolAnswer, now: DateTime<Utc>) {
        self.tool_execution.called(request, answer, &mut self.shared, now);
        self.tidy_touched();
    }

    /// Lets time pass: fires what is due, ends polls, matches work with workers. Returns the effects since the last turn.
    /// Of the timers that are due at most `timers_max` fire, the others in later turns: a million at once must not keep
    /// requests waiting.
    pub fn turn(&mut self, timers_max: usize, now: DateTime<Utc>) -> Vec<Effect> {
        self.budgets.turn(&mut self.shared, now);
        self.tidy_touched();
        for _ in 0..timers_max {
            let Some(key) = self.shared.tasks.pop_due(now) else { break };
            self.fire(&key, now);
        }
        self.tidy_touched();
        self.shared.effects.extend(self.schedules.turn(timers_max, now));
        self.shared.effects.extend(self.watching.turn(&self.shared.tasks, now));
        self.shared.effects.extend(self.classes.turn(now));
        self.tool_polls.turn(&mut self.shared, now);
        self.worker_requests.turn(&mut self.shared, now);
        self.leases.turn(&mut self.shared, now);
        std::mem::take(&mut self.shared.effects)
    }

    /// The instant at which [`Process::turn`] should be called although nothing happened, for the timers of tasks and
    /// schedules or anything else.
    pub fn next_due(&self) -> DateTime<Utc> {
        let timers = [self.shared.tasks.next_due(), self.schedules.next_due()];
        timers.into_iter().flatten().fold(self.next_due_without_timers(), DateTime::min)
    }

    /// The same while timers are not to fire.
    pub fn next_due_without_timers(&self) -> DateTime<Utc> {
        let dues = [
            self.watching.next_due(),
            self.classes.next_due(),
            self.budgets.next_due(),
            self.tool_polls.next_due(),
            self.leases.next_due(),
        ];
        dues.into_iter().flatten().fold(self.worker_requests.next_due(), DateTime::min)
    }

    /// True while tasks are to be judged whose shared budgets changed; further turns do so.
    pub(crate) fn is_reviewing(&self) -> bool {
        self.budgets.is_reviewing()
    }

    /// Counts for metrics.
    pub fn depth(&self) -> Depth {
        self.shared.matching.depth()
    }

    /// The number of tasks in memory.
    pub fn tracked(&self) -> usize {
        self.shared.tasks.len()
    }
}
