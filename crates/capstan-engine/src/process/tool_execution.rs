//! Carrying out approved tool calls: by an HTTP endpoint of the workspace, or by a worker that declares the tool.
//!
//! A try is claimed with an event before it begins, so that of all engines and workers only one is at it. Whoever finds a
//! claim that passed without a result begins the next try, under the same idempotency key; after the last the outcome is
//! unknown, and the agent is told so.

use std::collections::BTreeMap;
use std::sync::Arc;

use capstan_contract::lease::{ClaimedToolCall, ToolClaim};
use capstan_domain::id::{ToolCallId, WorkerId};
use capstan_domain::matching::StreamKey;
use capstan_domain::task::command::{EndToolCall, StartToolCall};
use capstan_domain::task::event::{ToolExecutor, ToolOutcome};
use capstan_domain::task::state::{ToolCall, ToolCallState};
use capstan_domain::task::tool_call::TRIES_MAX;
use capstan_domain::task::{Command, Event, Task};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::effect::{CallId, Effect, Order};
use super::tracked::{Tracked, later};
use super::{Process, Settled};
use crate::protocol::Answer;

/// How long a claim outlives the call it is for, in milliseconds.
const CLAIM_MARGIN_MS: i64 = 15_000;
/// How long a worker may take for one call, in milliseconds.
const WORKER_CLAIM_MS: i64 = 120_000;
/// The pause after the first failed try, in milliseconds; doubles with every further one.
const RETRY_MS: i64 = 1_000;
/// Longest poll, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

/// A call to an HTTP endpoint of a workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolRequest {
    /// The task.
    pub key: Arc<StreamKey>,
    /// The call; also the idempotency key.
    pub tool_call_id: ToolCallId,
    /// The number of the try.
    pub try_no: u32,
    /// Where it is posted to.
    pub url: String,
    /// Headers as configured: values may name variables of the environment.
    pub headers: BTreeMap<String, String>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u32,
    /// What is posted.
    pub body: Value,
}

/// What became of a call to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolAnswer {
    /// The endpoint answered.
    Answered {
        /// The exit code it gave.
        exit_code: Option<i32>,
        /// What the tool wrote.
        stdout: String,
        /// What it complained about.
        stderr: String,
        /// What went wrong.
        error: Option<String>,
    },
    /// It did not, or could not do it now: another try may help.
    Failed {
        /// What went wrong.
        error: String,
        /// True when it may have been done all the same.
        is_unknown: bool,
    },
}

/// What this engine does for a task's approved call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum ToolWork {
    #[default]
    Idle,
    /// The endpoint is being called.
    Calling { tool_call_id: ToolCallId, try_no: u32 },
    /// The try failed.
    Failed { tool_call_id: ToolCallId, try_no: u32, retry_at: DateTime<Utc>, error: String, is_unknown: bool },
    /// The outcome is to be recorded.
    Ended(Box<EndToolCall>),
}

/// What is to be done next for a call.
pub(super) enum Step {
    Start(StartToolCall),
    End(Box<EndToolCall>),
}

/// A worker that waits for calls.
#[derive(Debug)]
pub(super) struct ToolPoll {
    worker_id: WorkerId,
    until: DateTime<Utc>,
    is_under_way: bool,
}

fn given_up(call: &ToolCall, error: &str, now: DateTime<Utc>) -> EndToolCall {
    let (try_no, worker_id, outcome) = match &call.state {
        ToolCallState::Executing { try_no, worker_id, .. } => (*try_no, *worker_id, ToolOutcome::Unknown),
        _ => (0, None, ToolOutcome::Error),
    };
    EndToolCall {
        tool_call_id: call.deferred.tool_call_id,
        try_no,
        worker_id,
        outcome,
        exit_code: None,
        stdout: String::new(),
        stderr: String::new(),
        error: Some(error.to_owned()),
        at: now,
    }
}

impl Tracked {
    /// What is due for the task's approved call, and when.
    pub(super) fn tool_step(
        &self,
        timeout_ms: Option<u32>,
        now: DateTime<Utc>,
    ) -> Option<(DateTime<Utc>, Step)> {
        const AT_ONCE: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;
        if let ToolWork::Ended(end) = &self.tool {
            return Some((AT_ONCE, Step::End(end.clone())));
        }
        let task = self.task.as_deref()?;
        if task.state.is_terminal() {
            // Nothing is begun any more; what was begun is reported.
            let ToolWork::Failed { tool_call_id, error, .. } = &self.tool else { return None };
            let call = task.tool_calls.get(tool_call_id)?;
            return Some((AT_ONCE, Step::End(Box::new(given_up(call, error, now)))));
        }
        let call = task.executing_call()?;
        let tool_call_id = call.deferred.tool_call_id;
        let next = |due, try_no, has_failed| {
            let Some(timeout_ms) = timeout_ms else {
                let gone = "the workspace registers no endpoint for the tool any more, or has disabled it";
                return (due, Step::End(Box::new(given_up(call, gone, now))));
            };
            let until = later(now, i64::from(timeout_ms) + CLAIM_MARGIN_MS);
            let start = StartToolCall { tool_call_id, try_no, worker_id: None, has_failed, until, at: now };
            (due, Step::Start(start))
        };
        match &call.state {
            ToolCallState::Approved { executor: ToolExecutor::Http, .. } => Some(next(AT_ONCE, 1, false)),
            ToolCallState::Executing { executor, try_no, until, .. } => match &self.tool {
                ToolWork::Calling { tool_call_id: id, try_no: no }
                    if (*id, *no) == (tool_call_id, *try_no) =>
                {
                    None
                }
                ToolWork::Failed { tool_call_id: id, try_no: no, retry_at, error, is_unknown }
                    if (*id, *no) == (tool_call_id, *try_no) =>
                {
                    if *try_no < TRIES_MAX {
                        return Some(next(*retry_at, try_no + 1, true));
                    }
                    let outcome = if *is_unknown { ToolOutcome::Unknown } else { ToolOutcome::Error };
                    let end = EndToolCall { outcome, ..given_up(call, error, now) };
                    Some((AT_ONCE, Step::End(Box::new(end))))
                }
                _ if *try_no >= TRIES_MAX => {
                    let lost = "every try was lost on the way";
                    Some((*until, Step::End(Box::new(given_up(call, lost, now)))))
                }
                _ if *executor == ToolExecutor::Http => Some(next(*until, try_no + 1, false)),
                // Offered to the workers that ask.
                _ => None,
            },
            _ => None,
        }
    }

    /// When something is due for the task's approved call.
    pub(super) fn tool_due(&self) -> Option<DateTime<Utc>> {
        // The endpoint decides what is done, not when.
        self.tool_step(Some(0), DateTime::<Utc>::MIN_UTC).map(|(due, _)| due)
    }
}

impl Process {
    /// How long the endpoint of the task's approved call may take; none when there is no such endpoint, or the tool was
    /// disabled since.
    pub(super) fn tool_timeout_ms(&self, key: &StreamKey) -> Option<u32> {
        let task = self.tasks.get(key)?.task.as_deref()?;
        let tool = &task.executing_call()?.deferred.tool;
        let settings = self.budgets.workspaces.get(&key.workspace)?.settings()?;
        let endpoint = settings.tools.get(tool).filter(|_| !settings.disabled_tools.contains(tool));
        endpoint.map(|tool| tool.timeout_ms)
    }

    /// Takes note of an order about a tool call that was answered. A claim of this engine's own begins the call.
    pub(super) fn tool_ordered(&mut self, order: &Order, outcome: &Settled, now: DateTime<Utc>) {
        let Settled::Decided { events, state, .. } = outcome else {
            if matches!(outcome, Settled::Refused)
                && let (Command::EndToolCall(_), Some(tracked)) =
                    (&order.command, self.tasks.get_mut(&order.key))
            {
                tracked.tool = ToolWork::Idle;
            }
            return self.tool_poll_settled(order.ask, None, now);
        };
        match &order.command {
            Command::EndToolCall(_) => {
                if let Some(tracked) = self.tasks.get_mut(&order.key) {
                    tracked.tool = ToolWork::Idle;
                }
            }
            Command::StartToolCall(start) => {
                let is_ours = |event: &Event| {
                    matches!(event, Event::ToolExecutionStarted(started)
                        if (started.try_no, started.worker_id, started.at)
                            == (start.try_no, start.worker_id, start.at))
                };
                let claimed = events.iter().any(is_ours).then_some(state.as_deref()).flatten();
                match (start.worker_id, claimed) {
                    (None, Some(task)) => self.call_tool(order, start, task),
                    (Some(_), task) => {
                        let call = task.and_then(|task| claimed_call(&order.key, start, task));
                        self.tool_poll_settled(order.ask, call, now);
                    }
                    (None, None) => {}
                }
            }
            _ => {}
        }
    }

    fn call_tool(&mut self, order: &Order, start: &StartToolCall, task: &Task) {
        let settings = self.budgets.workspaces.get(&order.key.workspace).and_then(|state| state.settings());
        let Some(call) = task.tool_calls.get(&start.tool_call_id) else { return };
        // Without an endpoint the claim passes, and the step after it gives up.
        let Some(tool) = settings.and_then(|settings| settings.tools.get(&call.deferred.tool)) else {
            return;
        };
        let body = json!({
            "tool": call.deferred.tool,
            "arguments": call.deferred.arguments,
            "workspace": task.accepted.workspace,
            "task_id": task.id(),
            "run_id": call.deferred.run_id,
            "tool_call_id": start.tool_call_id,
        });
        let request = ToolRequest {
            key: Arc::clone(&order.key),
            tool_call_id: start.tool_call_id,
            try_no: start.try_no,
            url: tool.url.clone(),
            headers: tool.headers.clone(),
            timeout_ms: tool.timeout_ms,
            body,
        };
        if let Some(tracked) = self.tasks.get_mut(&order.key) {
            tracked.tool = ToolWork::Calling { tool_call_id: start.tool_call_id, try_no: start.try_no };
            self.effects.push(Effect::CallTool(Box::new(request)));
        }
    }

    /// Takes what became of a call to an endpoint.
    pub fn tool_called(&mut self, request: &ToolRequest, answer: ToolAnswer, now: DateTime<Utc>) {
        let (tool_call_id, try_no) = (request.tool_call_id, request.try_no);
        let Some(tracked) = self.tasks.get_mut(&request.key) else { return };
        if tracked.tool != (ToolWork::Calling { tool_call_id, try_no }) {
            return;
        }
        tracked.tool = match answer {
            ToolAnswer::Answered { exit_code, stdout, stderr, error } => {
                let is_well = error.is_none() && exit_code.is_none_or(|code| code == 0);
                ToolWork::Ended(Box::new(EndToolCall {
                    tool_call_id,
                    try_no,
                    worker_id: None,
                    outcome: if is_well { ToolOutcome::Ok } else { ToolOutcome::Error },
                    exit_code,
                    stdout,
                    stderr,
                    error,
                    at: now,
                }))
            }
            ToolAnswer::Failed { error, is_unknown } => {
                let pause = RETRY_MS.saturating_mul(1 << try_no.saturating_sub(1).min(10));
                ToolWork::Failed { tool_call_id, try_no, retry_at: later(now, pause), error, is_unknown }
            }
        };
        self.tidy(&request.key);
    }

    /// A worker asks for an approved call of a tool it declares.
    pub(super) fn ask_for_tool_call(
        &mut self,
        call: CallId,
        worker_id: WorkerId,
        wait_ms: u64,
        now: DateTime<Utc>,
    ) {
        if !self.desk.is_known(worker_id, now) {
            return self.answer(call, Answer::UnknownWorker);
        }
        let until = later(now, wait_ms.min(WAIT_MS_MAX) as i64);
        self.tool_polls.insert(call, ToolPoll { worker_id, until, is_under_way: false });
        self.serve_tool_polls(now);
    }

    /// Keeps the list of calls that wait for a worker.
    pub(super) fn list_tool_call(&mut self, key: &Arc<StreamKey>) {
        let waits = |task: &Task| {
            let executor = |call: &ToolCall| match call.state {
                ToolCallState::Approved { executor, .. } | ToolCallState::Executing { executor, .. } => {
                    executor == ToolExecutor::Worker
                }
                _ => false,
            };
            !task.state.is_terminal() && task.executing_call().is_some_and(executor)
        };
        let task = self.tasks.get(key).and_then(|tracked| tracked.task.as_deref());
        if task.is_some_and(waits) {
            self.offered.insert(Arc::clone(key));
        } else {
            self.offered.remove(key);
        }
    }

    /// When a poll ends, or a claim that somebody might take over passes.
    pub(super) fn tool_polls_due(&self) -> Option<DateTime<Utc>> {
        let ends = self.tool_polls.values().filter(|poll| !poll.is_under_way).map(|poll| poll.until);
        let is_waited_for = !self.tool_polls.is_empty();
        let passes = self.offered.iter().filter(|_| is_waited_for).filter_map(|key| {
            let task = self.tasks.get(key)?.task.as_deref()?;
            match task.executing_call()?.state {
                ToolCallState::Executing { until, try_no, .. } if try_no < TRIES_MAX => Some(until),
                _ => None,
            }
        });
        ends.chain(passes).min()
    }

    /// Gives out what waits for a worker, and ends polls whose time is over.
    pub(super) fn serve_tool_polls(&mut self, now: DateTime<Utc>) {
        if self.tool_polls.is_empty() {
            return;
        }
        self.end_disabled_calls(now);
        let idle: Vec<_> =
            self.tool_polls.iter().filter(|(_, poll)| !poll.is_under_way).map(|(id, _)| *id).collect();
        for call in idle {
            let Some(poll) = self.tool_polls.get(&call) else { continue };
            let (worker_id, until) = (poll.worker_id, poll.until);
            if let Some((key, start)) = self.next_tool_call(worker_id, now)
                && self.order(&key, Command::StartToolCall(start), Some(call), now)
            {
                if let Some(poll) = self.tool_polls.get_mut(&call) {
                    poll.is_under_way = true;
                }
            } else if until <= now {
                self.tool_polls.remove(&call);
                self.answer(call, Answer::ToolCall(None));
            }
        }
    }

    /// Ends the calls nobody may carry out any more, instead of offering them.
    fn end_disabled_calls(&mut self, now: DateTime<Utc>) {
        let ends = self.offered.iter().filter_map(|key| {
            let settings = self.budgets.workspaces.get(&key.workspace)?.settings()?;
            let tracked = self.tasks.get(key).filter(|tracked| tracked.under_way == 0)?;
            let call = tracked.task.as_deref()?.executing_call()?;
            let is_claimed = matches!(call.state, ToolCallState::Executing { until, .. } if now < until);
            let is_ended = settings.disabled_tools.contains(&call.deferred.tool) && !is_claimed;
            let disabled = "the workspace has disabled the tool";
            is_ended.then(|| (Arc::clone(key), Box::new(given_up(call, disabled, now))))
        });
        for (key, end) in ends.collect::<Vec<_>>() {
            self.order(&key, Command::EndToolCall(end), None, now);
        }
    }

    fn next_tool_call(
        &self,
        worker_id: WorkerId,
        now: DateTime<Utc>,
    ) -> Option<(Arc<StreamKey>, StartToolCall)> {
        let offer = self.desk.offer_of(worker_id)?;
        self.offered.iter().filter(|key| offer.reach.includes(&key.workspace)).find_map(|key| {
            let tracked = self.tasks.get(key).filter(|tracked| tracked.under_way == 0)?;
            let call = tracked.task.as_deref()?.executing_call()?;
            if !offer.capabilities.tools.contains(&call.deferred.tool) {
                return None;
            }
            let try_no = match call.state {
                ToolCallState::Approved { .. } => 1,
                ToolCallState::Executing { try_no, until, .. } if until <= now && try_no < TRIES_MAX => {
                    try_no + 1
                }
                _ => return None,
            };
            let start = StartToolCall {
                tool_call_id: call.deferred.tool_call_id,
                try_no,
                worker_id: Some(worker_id),
                has_failed: false,
                until: later(now, WORKER_CLAIM_MS),
                at: now,
            };
            Some((Arc::clone(key), start))
        })
    }

    fn tool_poll_settled(&mut self, ask: Option<CallId>, call: Option<ClaimedToolCall>, now: DateTime<Utc>) {
        let Some(ask) = ask else { return };
        let Some(poll) = self.tool_polls.get_mut(&ask) else { return };
        poll.is_under_way = false;
        if call.is_some() || poll.until <= now {
            self.tool_polls.remove(&ask);
            self.answer(ask, Answer::ToolCall(call.map(Box::new)));
        }
    }
}

fn claimed_call(key: &StreamKey, start: &StartToolCall, task: &Task) -> Option<ClaimedToolCall> {
    let call = task.tool_calls.get(&start.tool_call_id)?;
    let claim = ToolClaim {
        workspace: key.workspace.to_string(),
        task_id: key.task_id,
        tool_call_id: start.tool_call_id,
        try_no: start.try_no,
    };
    Some(ClaimedToolCall {
        claim: claim.to_string(),
        tool_call_id: start.tool_call_id,
        try_no: start.try_no,
        workspace: key.workspace.to_string(),
        task_id: key.task_id,
        run_id: call.deferred.run_id,
        tool: call.deferred.tool.clone(),
        arguments: call.deferred.arguments.clone(),
        until: start.until,
    })
}
