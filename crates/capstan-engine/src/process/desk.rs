//! Requests: workers that want attempts, renewals that wait for news, questions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::{RegisteredWorker, RenewAnswer};
use capstan_domain::id::{AttemptId, WorkerId};
use capstan_domain::matching::{Reach, StreamKey};
use capstan_domain::task::command::Lease;
use capstan_domain::task::{Command, Task};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::effect::{CallId, Effect, Order};
use super::leased::leased;
use super::tracked::{Told, later};
use super::workers::Workers;
use super::{Process, ProcessConfig};
use crate::protocol::{Answer, Request};

/// Longest poll, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;
/// Most attempts one answer gives out.
const ATTEMPTS_MAX: u32 = 1_000;
/// Most bytes of attempts in one answer, below what a stock server carries in one message.
const ANSWER_BYTES_MAX: usize = 768 * 1024;

/// Who waits for what.
#[derive(Debug)]
pub(super) struct Desk {
    workers: Workers,
    asks: BTreeMap<CallId, Ask>,
    /// Asks that have nothing under way, oldest first.
    idle: BTreeSet<CallId>,
    watches: HashMap<CallId, Watch>,
    poll_ends: BinaryHeap<Reverse<(DateTime<Utc>, CallId)>>,
    /// Something changed that may let an idle ask be served.
    news: bool,
    /// When a delayed run becomes available.
    retry_at: Option<DateTime<Utc>>,
    paused_until: Option<DateTime<Utc>>,
    sweep_at: DateTime<Utc>,
}

#[derive(Debug)]
struct Ask {
    worker_id: WorkerId,
    max: usize,
    until: DateTime<Utc>,
    under_way: usize,
    leased: Vec<Box<RawValue>>,
}

#[derive(Debug)]
struct Watch {
    /// Each with whether it is the caller's to ask about.
    attempts: Vec<(StreamKey, AttemptId, bool)>,
}

impl Desk {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            workers: Workers::default(),
            asks: BTreeMap::new(),
            idle: BTreeSet::new(),
            watches: HashMap::new(),
            poll_ends: BinaryHeap::new(),
            news: false,
            retry_at: None,
            paused_until: None,
            sweep_at: now,
        }
    }

    pub(super) fn has_news(&mut self) {
        self.news = true;
    }

    pub(super) fn pause_until(&mut self, until: DateTime<Utc>) {
        self.paused_until = Some(until);
    }

    pub(super) fn next_due(&self) -> DateTime<Utc> {
        let poll = self.poll_ends.peek().map(|Reverse((at, _))| *at);
        let retry =
            [self.paused_until, self.retry_at].into_iter().flatten().filter(|_| !self.idle.is_empty());
        poll.into_iter().chain(retry).fold(self.sweep_at, DateTime::min)
    }

    /// Notes that a worker is there; false when it is not known.
    pub(super) fn is_known(&mut self, worker_id: WorkerId, now: DateTime<Utc>) -> bool {
        let worker = self.workers.get_mut(worker_id);
        worker.map(|worker| worker.last_seen_at = now).is_some()
    }

    /// The tools a worker carries out.
    pub(super) fn tools_of(&self, worker_id: WorkerId) -> Option<&[String]> {
        self.workers.get(worker_id).map(|worker| worker.offer.capabilities.tools.as_slice())
    }

    pub(super) fn count_attempt(&mut self, worker_id: WorkerId, begins: bool) {
        if let Some(worker) = self.workers.get_mut(worker_id) {
            worker.attempts =
                if begins { worker.attempts.saturating_add(1) } else { worker.attempts.saturating_sub(1) };
        }
    }
}

/// The attempt an order to lease has given to the worker that asked, if it has.
pub(super) fn given(order: &Order, task: &Task) -> Option<Box<RawValue>> {
    let Command::Lease(lease) = &order.command else { return None };
    let live = task.working_attempt()?;
    let is_ours =
        live.worker_id == lease.worker_id && live.run_id == lease.run_id && live.leased_at == lease.at;
    is_ours.then(|| leased(task, live)).flatten()
}

impl Process {
    /// Takes a request; the answer comes as an effect, now or later. `fresh` becomes the id of what is new.
    pub fn ask(&mut self, call: CallId, request: Request, fresh: Uuid, now: DateTime<Utc>) {
        match request {
            Request::Register { worker, reach } => self.register(call, worker, reach, WorkerId(fresh), now),
            Request::Lease { worker_id, reach, .. } | Request::Drain { worker_id, reach }
                if !self.desk.workers.is_reached(worker_id, &reach) =>
            {
                self.answer(call, Answer::UnknownWorker);
            }
            Request::Lease { worker_id, max, wait_ms, .. } => {
                self.ask_for_work(call, worker_id, max, wait_ms, now);
            }
            Request::HangUp { worker_id } => {
                self.end_polls(worker_id);
                self.answer(call, Answer::HungUp);
            }
            Request::Renew { worker_id, renewals, wait_ms, reach } => {
                self.renew(call, worker_id, &renewals, wait_ms, &reach, now);
            }
            Request::Drain { worker_id, .. } => self.drain(call, worker_id, now),
            Request::Why { workspace, task_id } => {
                let reasons = self.matching.why(&StreamKey::new(&workspace, task_id), now);
                self.answer(call, Answer::Why(reasons));
            }
            Request::ClaimToolCall { worker_id, wait_ms } => {
                self.ask_for_tool_call(call, worker_id, wait_ms, now);
            }
            Request::Watchers(keys) => self.ask_watchers(call, keys, now),
            Request::Workers => {
                let views = self.desk.workers.views(now, self.config.lease_ms);
                self.answer(call, Answer::Workers(views));
            }
        }
    }

    pub(super) fn answer(&mut self, call: CallId, answer: Answer) {
        self.effects.push(Effect::Answer(call, answer));
    }

    fn register(
        &mut self,
        call: CallId,
        worker: RegisterWorker,
        reach: Reach,
        worker_id: WorkerId,
        now: DateTime<Utc>,
    ) {
        let offer = self.desk.workers.register(worker_id, worker, reach, now);
        self.matching.enrol(offer);
        let ProcessConfig { lease_ms, renew_every_ms, .. } = self.config;
        self.answer(call, Answer::Registered(RegisteredWorker { worker_id, lease_ms, renew_every_ms }));
    }

    fn ask_for_work(
        &mut self,
        call: CallId,
        worker_id: WorkerId,
        max: u32,
        wait_ms: u64,
        now: DateTime<Utc>,
    ) {
        let Some(worker) = self.desk.workers.get_mut(worker_id) else {
            return self.answer(call, Answer::UnknownWorker);
        };
        worker.last_seen_at = now;
        if worker.is_draining || max == 0 {
            return self.answer(call, Answer::Leased(Vec::new()));
        }
        self.matching.enrol(worker.offer.clone());
        let until = later(now, wait_ms.min(WAIT_MS_MAX) as i64);
        let max = max.min(ATTEMPTS_MAX) as usize;
        self.desk.asks.insert(call, Ask { worker_id, max, until, under_way: 0, leased: Vec::new() });
        self.desk.idle.insert(call);
        self.offer_work(call, now);
        self.desk.poll_ends.push(Reverse((until, call)));
    }

    /// Picks for one waiting worker and orders the leases.
    fn offer_work(&mut self, call: CallId, now: DateTime<Utc>) {
        let Some(ask) = self.desk.asks.get(&call) else { return };
        let Some(worker) = self.desk.workers.get(ask.worker_id) else { return };
        let (worker_id, max) = (ask.worker_id, ask.max);
        if !worker.owed.is_empty() {
            return self.answer_ask(call);
        }
        if self.desk.paused_until.is_some_and(|until| until > now) {
            return;
        }
        let picks = self.matching.pick(&worker.offer, max, now);
        if picks.is_empty() {
            return;
        }
        let worker_name = worker.registered.name.clone();
        let mut under_way = 0;
        for pick in picks {
            let key = Arc::new(pick.key());
            let lease = Command::Lease(Lease {
                run_id: pick.run_id,
                worker_id,
                worker_name: worker_name.clone(),
                lease_ms: self.config.lease_ms,
                at: now,
            });
            if self.order(&key, lease, Some(call), now) {
                under_way += 1;
            } else {
                self.matching.unreserve(&key);
            }
        }
        if let Some(ask) = self.desk.asks.get_mut(&call).filter(|_| under_way > 0) {
            ask.under_way = under_way;
            self.desk.idle.remove(&call);
        }
    }

    /// Keeps an attempt for a worker whose request was answered before the lease could be recorded.
    pub(super) fn owe(&mut self, worker_id: WorkerId, attempt: Box<RawValue>) {
        if let Some(worker) = self.desk.workers.get_mut(worker_id) {
            worker.owed.push_back(attempt);
            self.desk.has_news();
        }
    }

    /// Takes the outcome of one lease of an ask, and answers when it was the last.
    pub(super) fn lease_settled(&mut self, call: CallId, leased: Option<Box<RawValue>>, now: DateTime<Utc>) {
        let Some(ask) = self.desk.asks.get_mut(&call) else { return };
        ask.under_way = ask.under_way.saturating_sub(1);
        ask.leased.extend(leased);
        if ask.under_way > 0 {
            return;
        }
        if ask.leased.is_empty() && ask.until > now {
            self.desk.idle.insert(call);
            self.desk.has_news();
            return;
        }
        self.answer_ask(call);
    }

    fn answer_ask(&mut self, call: CallId) {
        self.desk.idle.remove(&call);
        let Some(ask) = self.desk.asks.remove(&call) else { return };
        let Some(worker) = self.desk.workers.get_mut(ask.worker_id) else {
            return self.answer(call, Answer::UnknownWorker);
        };
        // What does not fit into one message waits for the worker's next request.
        worker.owed.extend(ask.leased);
        let mut bytes = 0;
        let mut attempts = Vec::with_capacity(worker.owed.len());
        while let Some(attempt) = worker.owed.pop_front() {
            bytes += attempt.get().len();
            if bytes > ANSWER_BYTES_MAX && !attempts.is_empty() {
                worker.owed.push_front(attempt);
                break;
            }
            attempts.push(attempt);
        }
        metrics::counter!("capstan_engine_leases_total").increment(attempts.len() as u64);
        self.answer(call, Answer::Leased(attempts));
    }

    fn renew(
        &mut self,
        call: CallId,
        worker_id: WorkerId,
        renewals: &[Renewal],
        wait_ms: u64,
        reach: &Reach,
        now: DateTime<Utc>,
    ) {
        // A worker this engine does not know may still hold attempts an earlier engine gave it.
        if let Some(worker) = self.desk.workers.get_mut(worker_id)
            && reach.covers(&worker.offer.reach)
        {
            worker.last_seen_at = now;
        }
        let mut attempts = Vec::with_capacity(renewals.len());
        let mut is_urgent = wait_ms == 0 || renewals.is_empty();
        for renewal in renewals {
            let attempt_id = renewal.attempt_id.clone();
            let key = StreamKey::new(&attempt_id.workspace, attempt_id.task);
            let is_own = renewal.epoch == attempt_id.epoch && reach.includes(&attempt_id.workspace);
            let held = self.tasks.get_mut(&key).filter(|_| is_own);
            let told = held.map_or_else(
                || Told::lost(&attempt_id),
                |tracked| {
                    let told = tracked.renewal(&attempt_id);
                    if let Some(lease) = tracked.lease.as_mut().filter(|lease| lease.attempt_id == attempt_id)
                    {
                        lease.until = later(now, self.config.lease_ms);
                        lease.watchers.push(call);
                    }
                    told
                },
            );
            is_urgent |= told.is_urgent;
            attempts.push((key, attempt_id, is_own));
        }
        self.desk.watches.insert(call, Watch { attempts });
        if is_urgent {
            self.answer_renewal(call);
        } else {
            let until = later(now, wait_ms.min(WAIT_MS_MAX) as i64);
            self.desk.poll_ends.push(Reverse((until, call)));
        }
    }

    /// Tells a worker how all its attempts stand.
    pub(super) fn answer_renewal(&mut self, call: CallId) {
        let Some(watch) = self.desk.watches.remove(&call) else { return };
        let answers = watch.attempts.into_iter().map(|(key, attempt_id, is_own)| {
            if is_own { self.tell(call, &key, &attempt_id) } else { Told::lost(&attempt_id).answer }
        });
        let answers = answers.collect();
        self.answer(call, Answer::Renewed(answers));
    }

    fn tell(&mut self, call: CallId, key: &StreamKey, attempt_id: &AttemptId) -> RenewAnswer {
        let Some(tracked) = self.tasks.get_mut(key) else { return Told::lost(attempt_id).answer };
        let told = tracked.renewal(attempt_id);
        if let Some(lease) = tracked.lease.as_mut().filter(|lease| lease.attempt_id == *attempt_id) {
            lease.watchers.retain(|watcher| *watcher != call);
            lease.told_seq = told.seq;
            lease.told_waiting = told.answer.waiting;
        }
        told.answer
    }

    fn drain(&mut self, call: CallId, worker_id: WorkerId, now: DateTime<Utc>) {
        let Some(worker) = self.desk.workers.get_mut(worker_id) else {
            return self.answer(call, Answer::UnknownWorker);
        };
        worker.is_draining = true;
        worker.last_seen_at = now;
        self.matching.dismiss(worker_id);
        self.end_polls(worker_id);
        self.answer(call, Answer::Draining);
    }

    /// Answers the worker's waiting polls with nothing. Work must not be given to a poll whose worker is gone or has
    /// fallen silent; one that lives asks again at once.
    pub(super) fn end_polls(&mut self, worker_id: WorkerId) {
        let waiting: Vec<_> = self.desk.idle.iter().copied().collect();
        for ask in waiting {
            if self.desk.asks.get(&ask).is_some_and(|ask| ask.worker_id == worker_id) {
                self.answer_ask(ask);
            }
        }
    }

    /// Ends polls whose time is over, gives out work, and looks after the workers.
    pub(super) fn serve(&mut self, now: DateTime<Utc>) {
        let is_over = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at <= now);
        if self.desk.news || is_over(self.desk.retry_at) || is_over(self.desk.paused_until) {
            self.desk.news = false;
            self.desk.paused_until = self.desk.paused_until.filter(|until| *until > now);
            let idle: Vec<_> = self.desk.idle.iter().copied().collect();
            for call in idle {
                self.offer_work(call, now);
            }
            self.desk.retry_at = self.matching.next_due(now);
        }
        while self.desk.poll_ends.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, call))) = self.desk.poll_ends.pop() else { break };
            if self.desk.idle.contains(&call) {
                self.answer_ask(call);
            }
            self.answer_renewal(call);
        }
        if self.desk.sweep_at <= now {
            self.desk.sweep_at = later(now, (self.config.lease_ms / 3).max(1));
            for deaf in self.desk.workers.sweep(now, self.config.lease_ms) {
                self.matching.dismiss(deaf);
            }
        }
    }
}
