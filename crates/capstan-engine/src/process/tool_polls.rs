//! Workers that wait for approved calls of the tools they declare.
//!
//! A worker's try is claimed with an event too, so that of all workers only one executes it. A claim that passed without
//! a result is offered to the next worker that asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use capstan_contract::lease::{ClaimedToolCall, WAIT_MS_MAX};
use capstan_domain::id::{TaskId, WorkerId};
use capstan_domain::matching::{Reach, StreamKey, WorkerOffer};
use capstan_domain::span::later;
use capstan_domain::task::Command;
use capstan_domain::task::command::StartToolCall;
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
/// Calls whose tools are looked up among the disabled ones in one turn.
const LOOKED_UP_MAX: usize = 64;

/// The calls that wait for workers, and the workers that wait for calls.
#[derive(Debug, Default)]
pub(super) struct ToolPolls {
    /// Tasks with an approved call that a worker is to execute.
    offered: BTreeMap<StreamKey, Offered>,
    /// Those whose call may be claimed, by its tool.
    free: HashMap<Box<str>, BTreeSet<StreamKey>>,
    /// Those whose call may be claimed once an earlier claim has passed, by its end.
    claims: BTreeSet<(DateTime<Utc>, StreamKey)>,
    /// The task whose call was the last to be looked up among the disabled ones.
    looked_up: Option<StreamKey>,
    polls: BTreeMap<CallId, ToolPoll>,
}

/// An approved call that a worker is to execute.
#[derive(Debug)]
struct Offered {
    tool: Box<str>,
    /// The end of the claim after which another worker may try.
    until: Option<DateTime<Utc>>,
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
        self.forget(key);
        let Some(call) = facts.filter(|facts| waits(facts)).and_then(TaskFacts::call) else { return };
        let until = match call.claim() {
            None => {
                self.release(&call.tool, key.clone());
                None
            }
            Some((try_no, until)) if try_no < TRIES_MAX => {
                self.claims.insert((until, key.clone()));
                Some(until)
            }
            Some(_) => None,
        };
        self.offered.insert(key.clone(), Offered { tool: call.tool.clone(), until });
    }

    /// True for a task whose call is offered to workers.
    pub(super) fn offers(&self, key: &StreamKey) -> bool {
        self.offered.contains_key(key)
    }

    fn release(&mut self, tool: &str, key: StreamKey) {
        self.free.entry(tool.into()).or_default().insert(key);
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
        while self.claims.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, key)) = self.claims.pop_first() else { break };
            let Some(offered) = self.offered.get_mut(&key) else { continue };
            offered.until = None;
            let tool = offered.tool.clone();
            self.release(&tool, key);
        }
        self.end_disabled_calls(shared, now);
        let idle: Vec<_> =
            self.polls.iter().filter(|(_, poll)| !poll.is_under_way).map(|(id, _)| *id).collect();
        for call in idle {
            let Some(poll) = self.polls.get_mut(&call) else { continue };
            let offer = shared.workers.get(poll.worker_id).map(|worker| &worker.offer);
            let next = offer.and_then(|offer| next_call(&self.free, offer, shared, now));
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

    /// Ends calls of disabled tools instead of offering them: those that come next in the order of the tasks.
    fn end_disabled_calls(&mut self, shared: &mut Shared, now: DateTime<Utc>) {
        let after = self.looked_up.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<_> = self.offered.range((after, Bound::Unbounded)).take(LOOKED_UP_MAX).collect();
        let mut ends = Vec::new();
        for (key, Offered { tool, .. }) in &next {
            let Some(settings) = shared.workspaces.settings(&key.workspace) else { continue };
            let Some(call) = idle_call(key, &shared.tasks, now).filter(|_| is_disabled(settings, tool))
            else {
                continue;
            };
            if call.claim().is_none_or(|(_, until)| until <= now) {
                ends.push(((*key).clone(), call.given_up("the workspace has disabled the tool")));
            }
        }
        if next.len() == LOOKED_UP_MAX {
            self.looked_up = next.last().map(|(key, _)| (*key).clone());
        }
        for (key, end) in ends {
            shared.order(&key, Command::EndToolCall(Box::new(end)), None, now);
        }
    }

    /// The instant a poll ends, or a claim that another worker might take over passes.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        let ends = self.polls.values().filter(|poll| !poll.is_under_way).map(|poll| poll.until);
        let passes = self.claims.first().filter(|_| !self.polls.is_empty()).map(|(until, _)| *until);
        ends.chain(passes).min()
    }

    /// Forgets the call of a task.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        let Some(Offered { tool, until }) = self.offered.remove(key) else { return };
        if let Some(until) = until {
            self.claims.remove(&(until, key.clone()));
        }
        if let Some(free) = self.free.get_mut(&tool) {
            free.remove(key);
            if free.is_empty() {
                self.free.remove(&tool);
            }
        }
    }
}

/// The task's call, when nothing is under way about the task, nothing about it is in doubt, and no pause after a failure lasts.
fn idle_call<'a>(key: &StreamKey, tasks: &'a Tasks, now: DateTime<Utc>) -> Option<&'a CallFacts> {
    let tracked = tasks.get(key).filter(|tracked| tracked.is_idle() && !tracked.is_stale())?;
    tracked.facts().filter(|_| tracked.after_pause(now) <= now)?.call()
}

/// The first call that a worker may claim.
fn next_call(
    free: &HashMap<Box<str>, BTreeSet<StreamKey>>,
    offer: &WorkerOffer,
    shared: &Shared,
    now: DateTime<Utc>,
) -> Option<(StreamKey, StartToolCall)> {
    offer.capabilities.tools.iter().find_map(|tool| {
        let (key, call) = reached(free.get(tool.as_str())?, &offer.reach, shared, now)?;
        let start = StartToolCall {
            tool_call_id: call.tool_call_id,
            try_no: call.claim().map_or(1, |(try_no, _)| try_no + 1),
            worker_id: Some(offer.worker_id),
            has_failed: false,
            until: later(now, WORKER_CLAIM_MS),
        };
        Some((key.clone(), start))
    })
}

/// The first of these tasks that is in a reached workspace which has not disabled the tool, and whose call may be claimed
/// now; with its call.
fn reached<'a>(
    keys: &'a BTreeSet<StreamKey>,
    reach: &Reach,
    shared: &'a Shared,
    now: DateTime<Utc>,
) -> Option<(&'a StreamKey, &'a CallFacts)> {
    let idle = |key: &'a StreamKey| {
        let call = idle_call(key, &shared.tasks, now)?;
        let settings = shared.workspaces.settings(&key.workspace);
        let is_off = settings.is_some_and(|settings| is_disabled(settings, &call.tool));
        (!is_off).then_some((key, call))
    };
    match reach {
        Reach::All => keys.iter().find_map(idle),
        Reach::Only(workspaces) => workspaces.iter().find_map(|workspace| {
            let first = StreamKey::new(workspace, TaskId(uuid::Uuid::nil()));
            keys.range(&first..).take_while(|key| key.workspace == first.workspace).find_map(idle)
        }),
    }
}
