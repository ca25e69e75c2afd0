//! Workers that wait for approved calls of the tools they declare.
//!
//! A worker's try is claimed with an event too, so that of all workers only one executes it. A claim that passed without
//! a result is offered to the next worker that asks.

use std::collections::{BTreeMap, BTreeSet};

use capstan_contract::lease::{ClaimedToolCall, WAIT_MS_MAX};
use capstan_domain::id::WorkerId;
use capstan_domain::matching::{StreamKey, WorkerOffer};
use capstan_domain::span::later;
use capstan_domain::task::Command;
use capstan_domain::task::command::{EndToolCall, StartToolCall};
use capstan_domain::task::event::ToolExecutor;
use capstan_domain::task::tool_call::TRIES_MAX;
use chrono::{DateTime, Utc};

use super::effect::CallId;
use super::facts::{CallFacts, TaskFacts};
use super::shared::Shared;
use super::tasks::Tasks;
use super::tool_call::is_disabled;
use crate::protocol::Answer;

/// Longest duration of one call by a worker, in milliseconds.
const WORKER_CLAIM_MS: i64 = 120_000;

/// The calls that wait for workers, and the workers that wait for calls.
#[derive(Debug, Default)]
pub(super) struct ToolPolls {
    /// Tasks with an approved call that a worker is to execute.
    offered: BTreeSet<StreamKey>,
    polls: BTreeMap<CallId, ToolPoll>,
}

/// A worker that waits for a call.
#[derive(Debug)]
struct ToolPoll {
    worker_id: WorkerId,
    until: DateTime<Utc>,
    is_under_way: bool,
}

impl ToolPolls {
    /// Takes the request of a worker; answers it when there is a call, at the latest after `wait_ms`.
    pub(super) fn poll(
        &mut self,
        call: CallId,
        worker_id: WorkerId,
        wait_ms: u64,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let Some(worker) = shared.workers.get_mut(worker_id) else {
            return shared.answer(call, Answer::UnknownWorker);
        };
        worker.last_seen_at = now;
        let until = later(now, wait_ms.min(WAIT_MS_MAX) as i64);
        self.polls.insert(call, ToolPoll { worker_id, until, is_under_way: false });
        self.turn(shared, now);
    }

    /// Keeps the list of calls that wait for a worker.
    pub(super) fn observe(&mut self, key: &StreamKey, facts: Option<&TaskFacts>) {
        let waits = |facts: &TaskFacts| {
            let executor = facts.call().and_then(CallFacts::executor);
            !facts.state.is_terminal() && executor == Some(ToolExecutor::Worker)
        };
        if facts.is_some_and(waits) {
            self.offered.insert(key.clone());
        } else {
            self.offered.remove(key);
        }
    }

    /// Takes the outcome of a claim. `claimed`: the call that it has won.
    pub(super) fn settled(
        &mut self,
        request: Option<CallId>,
        claimed: Option<ClaimedToolCall>,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let Some(request) = request else { return };
        let Some(poll) = self.polls.get_mut(&request) else { return };
        poll.is_under_way = false;
        if claimed.is_some() || poll.until <= now {
            self.polls.remove(&request);
            shared.answer(request, Answer::ToolCall(claimed.map(Box::new)));
        }
    }

    /// Orders claims for the workers that wait, and ends polls whose time is over.
    pub(super) fn turn(&mut self, shared: &mut Shared, now: DateTime<Utc>) {
        if self.polls.is_empty() {
            return;
        }
        self.end_disabled_calls(shared, now);
        let idle: Vec<_> =
            self.polls.iter().filter(|(_, poll)| !poll.is_under_way).map(|(id, _)| *id).collect();
        for call in idle {
            let Some(poll) = self.polls.get_mut(&call) else { continue };
            let offer = shared.workers.get(poll.worker_id).map(|worker| &worker.offer);
            let next = offer.and_then(|offer| next_call(&self.offered, offer, &shared.tasks, now));
            if let Some((key, start)) = next
                && shared.order(&key, Command::StartToolCall(start), Some(call), now)
            {
                poll.is_under_way = true;
            } else if poll.until <= now {
                self.polls.remove(&call);
                shared.answer(call, Answer::ToolCall(None));
            }
        }
    }

    /// Ends the calls of disabled tools instead of offering them.
    fn end_disabled_calls(&self, shared: &mut Shared, now: DateTime<Utc>) {
        let ends = self.offered.iter().filter_map(|key| {
            let settings = shared.workspaces.settings(&key.workspace)?;
            let call = idle_call(key, &shared.tasks)?;
            let is_claimed = call.claim().is_some_and(|(_, until)| now < until);
            let is_ended = is_disabled(settings, &call.tool) && !is_claimed;
            is_ended.then(|| (key.clone(), call.given_up("the workspace has disabled the tool")))
        });
        let ends: Vec<(_, EndToolCall)> = ends.collect();
        for (key, end) in ends {
            shared.order(&key, Command::EndToolCall(Box::new(end)), None, now);
        }
    }

    /// The instant a poll ends, or a claim that another worker might take over passes.
    pub(super) fn next_due(&self, tasks: &Tasks) -> Option<DateTime<Utc>> {
        let ends = self.polls.values().filter(|poll| !poll.is_under_way).map(|poll| poll.until);
        let is_waited_for = !self.polls.is_empty();
        let passes = self.offered.iter().filter(|_| is_waited_for).filter_map(|key| {
            let (try_no, until) = tasks.facts(key)?.call()?.claim()?;
            (try_no < TRIES_MAX).then_some(until)
        });
        ends.chain(passes).min()
    }

    /// Forgets a task that is over.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.offered.remove(key);
    }
}

/// The task's call, when nothing is under way about the task.
fn idle_call<'a>(key: &StreamKey, tasks: &'a Tasks) -> Option<&'a CallFacts> {
    tasks.get(key).filter(|tracked| tracked.is_idle())?.facts()?.call()
}

/// The first call that a worker may claim.
fn next_call(
    offered: &BTreeSet<StreamKey>,
    offer: &WorkerOffer,
    tasks: &Tasks,
    now: DateTime<Utc>,
) -> Option<(StreamKey, StartToolCall)> {
    offered.iter().filter(|key| offer.reach.includes(&key.workspace)).find_map(|key| {
        let call = idle_call(key, tasks)?;
        if !offer.capabilities.tools.iter().any(|tool| **tool == *call.tool) {
            return None;
        }
        let try_no = match call.claim() {
            None => 1,
            Some((try_no, until)) if until <= now && try_no < TRIES_MAX => try_no + 1,
            Some(_) => return None,
        };
        let start = StartToolCall {
            tool_call_id: call.tool_call_id,
            try_no,
            worker_id: Some(offer.worker_id),
            has_failed: false,
            until: later(now, WORKER_CLAIM_MS),
        };
        Some((key.clone(), start))
    })
}
