//! Execution of approved tool calls by HTTP endpoints of their workspaces.
//!
//! A try is claimed with an event before it begins, so that of all engines only one executes it. An engine that finds a
//! claim that passed without a result begins the next try, under the same idempotency key; after the last the outcome is
//! unknown, and the agent is informed of that. A try is claimed when the call has a place, see `tool_places`.

use std::collections::HashMap;

use capstan_contract::lease::ClaimedToolCall;
use capstan_domain::id::ToolCallId;
use capstan_domain::matching::StreamKey;
use capstan_domain::span::later;
use capstan_domain::task::Command;
use capstan_domain::task::command::{EndToolCall, StartToolCall};
use capstan_domain::task::event::{ToolExecutor, ToolOutcome};
use capstan_domain::task::tool_call::TRIES_MAX;
use capstan_domain::workspace::Settings;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::effect::{Effect, Order, ToolRequest};
use super::facts::TaskFacts;
use super::outcome::{Settled, ToolAnswer};
use super::shared::Shared;
use super::tool_call::is_disabled;
use super::tool_places::ToolPlaces;

/// Time a claim outlives the call it is for, in milliseconds.
const CLAIM_MARGIN_MS: i64 = 15_000;
/// The pause after the first failed try, in milliseconds; doubles with every further one.
const RETRY_MS: i64 = 1_000;

/// The calls this engine works on.
#[derive(Debug, Default)]
pub(super) struct ToolExecution {
    work: HashMap<StreamKey, ToolWork>,
    places: ToolPlaces,
}

/// The work of this engine on a task's approved call.
#[derive(Clone, Debug, PartialEq)]
enum ToolWork {
    /// The endpoint is being called.
    Calling { tool_call_id: ToolCallId, try_no: u32 },
    /// The try failed.
    Failed { tool_call_id: ToolCallId, try_no: u32, retry_at: DateTime<Utc>, error: String, is_unknown: bool },
    /// The outcome is to be recorded.
    Ended(Box<EndToolCall>),
}

impl ToolExecution {
    /// True while this engine works on a call of the task.
    pub(super) fn is_working(&self, key: &StreamKey) -> bool {
        self.work.contains_key(key)
    }

    /// The instant a command about the task's approved call is due. None while the call waits for a place: whoever is given
    /// one is touched.
    pub(super) fn due(&self, key: &StreamKey, facts: &TaskFacts) -> Option<DateTime<Utc>> {
        // The endpoint changes the command, not the time.
        self.step(key, facts, Some(0), DateTime::<Utc>::MIN_UTC)
            .filter(|(_, command)| !is_claim(command) || !self.places.waits(key))
            .map(|(due, _)| due)
    }

    /// True while the task's call waits for a place.
    pub(super) fn waits(&self, key: &StreamKey) -> bool {
        self.places.waits(key)
    }

    /// Asks for a place for the task's call when it is due to be claimed.
    pub(super) fn ask_for_place(&mut self, key: &StreamKey, shared: &mut Shared, now: DateTime<Utc>) {
        let facts = shared.tasks.facts(key);
        let step = facts.and_then(|facts| self.step(key, facts, Some(0), now));
        if step.is_some_and(|(due, command)| due <= now && is_claim(&command)) {
            self.places.ask(key);
            self.give_places(shared);
        }
    }

    fn give_places(&mut self, shared: &mut Shared) {
        while let Some(key) = self.places.next() {
            shared.tasks.touch(&key);
        }
    }

    fn leave_place(&mut self, key: &StreamKey, shared: &mut Shared) {
        self.places.leave(key);
        self.give_places(shared);
    }

    /// Gives the place of a call back that is not claimed any more, or not now: its task is to be loaded again or pauses after
    /// a failure, and asks again when it goes on. Nothing about the task is under way.
    pub(super) fn tidy(&mut self, key: &StreamKey, shared: &mut Shared) {
        if !self.places.knows(key) || matches!(self.work.get(key), Some(ToolWork::Calling { .. })) {
            return;
        }
        let facts = shared.tasks.facts(key);
        let step = facts.and_then(|facts| self.step(key, facts, Some(0), DateTime::<Utc>::MIN_UTC));
        let is_held_up =
            shared.tasks.get(key).is_none_or(|tracked| tracked.is_stale() || tracked.is_paused());
        let keeps_others_waiting = is_held_up && self.places.holds(key);
        if keeps_others_waiting || !step.is_some_and(|(_, command)| is_claim(&command)) {
            self.leave_place(key, shared);
        }
    }

    /// The command about the task's approved call, when it is due.
    pub(super) fn due_command(
        &self,
        key: &StreamKey,
        facts: &TaskFacts,
        settings: Option<&Settings>,
        now: DateTime<Utc>,
    ) -> Option<Command> {
        let endpoint = facts.call().zip(settings).and_then(|(call, settings)| {
            settings.tools.get(&*call.tool).filter(|_| !is_disabled(settings, &call.tool))
        });
        let (due, command) = self.step(key, facts, endpoint.map(|tool| tool.timeout_ms), now)?;
        (due <= now && (!is_claim(&command) || self.places.holds(key))).then_some(command)
    }

    /// The next command about the task's approved call, and the time it is due. `timeout_ms` belongs to the endpoint;
    /// none when there is no such endpoint, or the tool was disabled since.
    fn step(
        &self,
        key: &StreamKey,
        facts: &TaskFacts,
        timeout_ms: Option<u32>,
        now: DateTime<Utc>,
    ) -> Option<(DateTime<Utc>, Command)> {
        const AT_ONCE: DateTime<Utc> = DateTime::<Utc>::MIN_UTC;
        let work = self.work.get(key);
        if let Some(ToolWork::Ended(end)) = work {
            return Some((AT_ONCE, Command::EndToolCall(end.clone())));
        }
        let call = facts.call()?;
        let end = |error: &str| Command::EndToolCall(Box::new(call.given_up(error)));
        if facts.state.is_terminal() {
            // Nothing is begun any more; what was begun is reported.
            return match work {
                Some(ToolWork::Failed { tool_call_id, error, .. }) if *tool_call_id == call.tool_call_id => {
                    Some((AT_ONCE, end(error)))
                }
                Some(ToolWork::Failed { .. } | ToolWork::Calling { .. } | ToolWork::Ended(_)) | None => None,
            };
        }
        let tool_call_id = call.tool_call_id;
        let next = |due, try_no, has_failed| {
            let Some(timeout_ms) = timeout_ms else {
                let gone = "the workspace registers no endpoint for the tool any more, or has disabled it";
                return (due, end(gone));
            };
            let until = later(now, i64::from(timeout_ms) + CLAIM_MARGIN_MS);
            let start = StartToolCall { tool_call_id, try_no, worker_id: None, has_failed, until };
            (due, Command::StartToolCall(start))
        };
        let is_http = call.executor() == Some(ToolExecutor::Http);
        let Some((try_no, until)) = call.claim() else { return is_http.then(|| next(AT_ONCE, 1, false)) };
        match work {
            Some(ToolWork::Calling { tool_call_id: id, try_no: no })
                if (*id, *no) == (tool_call_id, try_no) =>
            {
                None
            }
            Some(ToolWork::Failed { tool_call_id: id, try_no: no, retry_at, error, is_unknown })
                if (*id, *no) == (tool_call_id, try_no) =>
            {
                if try_no < TRIES_MAX {
                    return Some(next(*retry_at, try_no + 1, true));
                }
                let outcome = if *is_unknown { ToolOutcome::Unknown } else { ToolOutcome::Error };
                let end = EndToolCall { outcome, ..call.given_up(error) };
                Some((AT_ONCE, Command::EndToolCall(Box::new(end))))
            }
            Some(ToolWork::Calling { .. } | ToolWork::Failed { .. } | ToolWork::Ended(_)) | None => {
                if try_no >= TRIES_MAX {
                    return Some((until, end("every try was lost")));
                }
                // A lost try of a worker is offered to the workers that ask.
                is_http.then(|| next(until, try_no + 1, false))
            }
        }
    }

    /// Takes the outcome of an order about a tool call. `claimed`: the call that a claim of this engine has won.
    pub(super) fn settled(
        &mut self,
        order: &Order,
        outcome: &Settled,
        claimed: Option<&ClaimedToolCall>,
        shared: &mut Shared,
    ) {
        if let (Command::EndToolCall(_), Settled::Decided { .. } | Settled::Refused) =
            (&order.command.command, outcome)
        {
            self.work.remove(&order.key);
        }
        if let Some(call) = claimed {
            self.call_endpoint(order, call, shared);
        }
        if !matches!(self.work.get(&order.key), Some(ToolWork::Calling { .. })) {
            self.leave_place(&order.key, shared);
        }
    }

    fn call_endpoint(&mut self, order: &Order, call: &ClaimedToolCall, shared: &mut Shared) {
        // Without an endpoint the claim passes, and the step after it gives up.
        let settings = shared.workspaces.settings(&order.key.workspace);
        let Some(tool) = settings.and_then(|settings| settings.tools.get(&call.tool)) else { return };
        let (tool_call_id, try_no) = (call.tool_call_id, call.try_no);
        let request = ToolRequest {
            key: order.key.clone(),
            tool_call_id,
            try_no,
            url: tool.url.clone(),
            headers: tool.headers.clone(),
            timeout_ms: tool.timeout_ms,
            body: json!({
                "tool": call.tool,
                "arguments": call.arguments,
                "workspace": call.workspace,
                "task_id": call.task_id,
                "run_id": call.run_id,
                "tool_call_id": tool_call_id,
            }),
        };
        if shared.tasks.contains(&order.key) {
            self.work.insert(order.key.clone(), ToolWork::Calling { tool_call_id, try_no });
            shared.effects.push(Effect::CallTool(Box::new(request)));
        }
    }

    /// Takes the answer of an endpoint.
    pub(super) fn called(
        &mut self,
        request: &ToolRequest,
        answer: ToolAnswer,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let (tool_call_id, try_no) = (request.tool_call_id, request.try_no);
        let Some(work) = self.work.get_mut(&request.key) else { return };
        if *work != (ToolWork::Calling { tool_call_id, try_no }) {
            return;
        }
        *work = match answer {
            ToolAnswer::Answered { exit_code, stdout, stderr, error } => {
                let is_success = error.is_none() && exit_code.is_none_or(|code| code == 0);
                ToolWork::Ended(Box::new(EndToolCall {
                    tool_call_id,
                    try_no,
                    worker_id: None,
                    outcome: if is_success { ToolOutcome::Ok } else { ToolOutcome::Error },
                    exit_code,
                    stdout,
                    stderr,
                    error,
                }))
            }
            ToolAnswer::Failed { error, is_unknown } => {
                let pause = RETRY_MS.saturating_mul(1 << try_no.saturating_sub(1).min(10));
                ToolWork::Failed { tool_call_id, try_no, retry_at: later(now, pause), error, is_unknown }
            }
        };
        self.leave_place(&request.key, shared);
        shared.tasks.touch(&request.key);
    }

    /// Forgets a task that is over.
    pub(super) fn forget(&mut self, key: &StreamKey, shared: &mut Shared) {
        self.work.remove(key);
        self.leave_place(key, shared);
    }
}

/// True for the command that begins a try.
fn is_claim(command: &Command) -> bool {
    matches!(command, Command::StartToolCall(_))
}
