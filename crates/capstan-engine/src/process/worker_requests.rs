//! Requests of workers: registration, and lease requests that wait for work.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use capstan_contract::command::RegisterWorker;
use capstan_contract::lease::{ANSWER_BYTES_MAX, RegisteredWorker, WAIT_MS_MAX};
use capstan_domain::id::WorkerId;
use capstan_domain::matching::Reach;
use capstan_domain::span::later;
use capstan_domain::task::Command;
use capstan_domain::task::command::Lease;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::config::ProcessConfig;
use super::effect::{CallId, Order};
use super::shared::Shared;
use crate::metric;
use crate::protocol::Answer;

/// Most attempts in one answer.
const ATTEMPTS_MAX: u32 = 1_000;
/// Most bytes of attempts in one answer, and of an attempt in it. A worker's answer has room for them and for the names of
/// what it must leave out.
pub(super) const LEASED_BYTES_MAX: usize = ANSWER_BYTES_MAX / 4 * 3;
/// No leases for this time after one was not recorded, in milliseconds.
const LEASE_PAUSE_MS: i64 = 250;

/// The lease requests that wait.
#[derive(Debug)]
pub(super) struct WorkerRequests {
    polls: BTreeMap<CallId, Poll>,
    /// Polls that have nothing under way, oldest first.
    idle: BTreeSet<CallId>,
    poll_ends: BinaryHeap<Reverse<(DateTime<Utc>, CallId)>>,
    /// The instant a delayed run becomes available.
    retry_at: Option<DateTime<Utc>>,
    paused_until: Option<DateTime<Utc>>,
    sweep_at: DateTime<Utc>,
}

/// A lease request.
#[derive(Debug)]
struct Poll {
    worker_id: WorkerId,
    max: usize,
    until: DateTime<Utc>,
    under_way: usize,
    leased: Vec<Box<RawValue>>,
}

impl WorkerRequests {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            polls: BTreeMap::new(),
            idle: BTreeSet::new(),
            poll_ends: BinaryHeap::new(),
            retry_at: None,
            paused_until: None,
            sweep_at: now,
        }
    }

    pub(super) fn next_due(&self) -> DateTime<Utc> {
        let poll = self.poll_ends.peek().map(|Reverse((at, _))| *at);
        let retry =
            [self.paused_until, self.retry_at].into_iter().flatten().filter(|_| !self.idle.is_empty());
        poll.into_iter().chain(retry).fold(self.sweep_at, DateTime::min)
    }

    pub(super) fn register(
        call: CallId,
        worker: RegisterWorker,
        reach: Reach,
        worker_id: WorkerId,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let offer = shared.workers.register(worker_id, worker, reach, now);
        shared.matching.enrol(offer);
        let ProcessConfig { lease_ms, renew_every_ms, .. } = shared.config;
        shared.answer(call, Answer::Registered(RegisteredWorker { worker_id, lease_ms, renew_every_ms }));
    }

    /// Takes a request for attempts; answers it when there are some, at the latest after `wait_ms`.
    pub(super) fn poll(
        &mut self,
        call: CallId,
        (worker_id, max): (WorkerId, u32),
        wait_ms: u64,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let Some(worker) = shared.workers.get_mut(worker_id) else {
            return shared.answer(call, Answer::UnknownWorker);
        };
        worker.last_seen_at = now;
        if worker.is_draining || max == 0 {
            return shared.answer(call, Answer::Leased(Vec::new()));
        }
        shared.matching.enrol(worker.offer.clone());
        let until = later(now, wait_ms.min(WAIT_MS_MAX) as i64);
        let max = max.min(ATTEMPTS_MAX) as usize;
        self.polls.insert(call, Poll { worker_id, max, until, under_way: 0, leased: Vec::new() });
        self.idle.insert(call);
        self.match_poll(call, shared, now);
        self.poll_ends.push(Reverse((until, call)));
    }

    /// Picks runs for one waiting worker and orders their leases.
    fn match_poll(&mut self, call: CallId, shared: &mut Shared, now: DateTime<Utc>) {
        let Some(poll) = self.polls.get_mut(&call) else { return };
        let Some(worker) = shared.workers.get(poll.worker_id) else { return };
        if !worker.owed.is_empty() {
            return self.answer(call, shared);
        }
        if self.paused_until.is_some_and(|until| until > now) {
            return;
        }
        let picks = shared.matching.pick(&worker.offer, poll.max, now);
        if picks.is_empty() {
            return;
        }
        let (worker_id, worker_name) = (poll.worker_id, worker.registered.name.clone());
        let mut under_way = 0;
        for pick in picks {
            let key = pick.key();
            let lease = Command::Lease(Lease {
                run_id: pick.run_id,
                worker_id,
                worker_name: worker_name.clone(),
                lease_ms: shared.config.lease_ms,
            });
            if shared.order(&key, lease, Some(call), now) {
                under_way += 1;
            } else {
                shared.matching.unreserve(&key);
            }
        }
        if under_way > 0 {
            poll.under_way = under_way;
            self.idle.remove(&call);
        }
    }

    /// Takes the outcome of a lease, with the attempt it gave to the worker.
    pub(super) fn lease_settled(
        &mut self,
        order: &Order,
        attempt: Option<Box<RawValue>>,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        match (order.request, attempt, &order.command.command) {
            (Some(call), attempt, _) => self.poll_settled(call, attempt, shared, now),
            (None, Some(attempt), Command::Lease(lease)) => owe(lease.worker_id, attempt, shared),
            (None, _, _) => {}
        }
    }

    /// Takes the outcome of one lease of a poll, and answers when it was the last.
    fn poll_settled(
        &mut self,
        call: CallId,
        leased: Option<Box<RawValue>>,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let Some(poll) = self.polls.get_mut(&call) else { return };
        poll.under_way = poll.under_way.saturating_sub(1);
        poll.leased.extend(leased);
        if poll.under_way > 0 {
            return;
        }
        if poll.leased.is_empty() && poll.until > now {
            self.idle.insert(call);
            shared.may_match = true;
            return;
        }
        self.answer(call, shared);
    }

    /// Leases nothing for a while: one was not recorded.
    pub(super) fn pause(&mut self, now: DateTime<Utc>) {
        self.paused_until = Some(later(now, LEASE_PAUSE_MS));
    }

    fn answer(&mut self, call: CallId, shared: &mut Shared) {
        self.idle.remove(&call);
        let Some(poll) = self.polls.remove(&call) else { return };
        let Some(worker) = shared.workers.get_mut(poll.worker_id) else {
            return shared.answer(call, Answer::UnknownWorker);
        };
        // What does not fit into one message waits for the worker's next request.
        worker.owed.extend(poll.leased);
        let mut bytes = 0;
        let mut attempts = Vec::with_capacity(worker.owed.len());
        while let Some(attempt) = worker.owed.pop_front() {
            bytes += attempt.get().len();
            if bytes > LEASED_BYTES_MAX && !attempts.is_empty() {
                worker.owed.push_front(attempt);
                break;
            }
            attempts.push(attempt);
        }
        metrics::counter!(metric::LEASES).increment(attempts.len() as u64);
        shared.answer(call, Answer::Leased(attempts));
    }

    /// Gives the worker nothing new.
    pub(super) fn drain(
        &mut self,
        call: CallId,
        worker_id: WorkerId,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let Some(worker) = shared.workers.get_mut(worker_id) else {
            return shared.answer(call, Answer::UnknownWorker);
        };
        worker.is_draining = true;
        worker.last_seen_at = now;
        shared.matching.dismiss(worker_id);
        self.end_polls(worker_id, shared);
        shared.answer(call, Answer::Draining);
    }

    /// Answers the worker's waiting polls with nothing. Work must not be given to a poll whose worker is gone or has
    /// fallen silent; one that lives asks again at once.
    pub(super) fn end_polls(&mut self, worker_id: WorkerId, shared: &mut Shared) {
        let waiting: Vec<_> = self.idle.iter().copied().collect();
        for call in waiting {
            if self.polls.get(&call).is_some_and(|poll| poll.worker_id == worker_id) {
                self.answer(call, shared);
            }
        }
    }

    /// Matches waiting polls with work, ends those whose time is over, and forgets workers that are gone.
    pub(super) fn turn(&mut self, shared: &mut Shared, now: DateTime<Utc>) {
        let is_over = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
        if shared.may_match || is_over(self.retry_at) || is_over(self.paused_until) {
            shared.may_match = false;
            self.paused_until = self.paused_until.filter(|until| *until > now);
            let idle: Vec<_> = self.idle.iter().copied().collect();
            for call in idle {
                self.match_poll(call, shared, now);
            }
            self.retry_at = shared.matching.next_due(now);
        }
        while self.poll_ends.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, call))) = self.poll_ends.pop() else { break };
            if self.idle.contains(&call) {
                self.answer(call, shared);
            }
        }
        if self.sweep_at <= now {
            self.sweep_at = later(now, (shared.config.lease_ms / 3).max(1));
            for silent in shared.workers.sweep(now, shared.config.lease_ms) {
                shared.matching.dismiss(silent);
            }
        }
    }
}

/// Keeps an attempt for a worker whose request was answered before the lease was recorded.
pub(super) fn owe(worker_id: WorkerId, attempt: Box<RawValue>, shared: &mut Shared) {
    if let Some(worker) = shared.workers.get_mut(worker_id) {
        worker.owed.push_back(attempt);
        shared.may_match = true;
    }
}
