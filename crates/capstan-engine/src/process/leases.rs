//! Leases: their deadlines, which renewals move and nobody records, and the renewals that wait for news.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use capstan_contract::command::Renewal;
use capstan_contract::lease::{RenewAnswer, RenewStatus, WAIT_MS_MAX};
use capstan_domain::id::{AttemptId, InputId, WorkerId};
use capstan_domain::matching::{Reach, StreamKey};
use capstan_domain::millis::Millis;
use capstan_domain::slab::{Keyed, Slab};
use capstan_domain::span::later;
use capstan_domain::task::command::{ExpireLease, ReleaseAttempt, ReleaseCause, StartAttempt};
use capstan_domain::task::{Command, Event, TaskState};
use chrono::{DateTime, Utc};

use super::effect::CallId;
use super::facts::{InputFacts, LiveFacts, TaskFacts};
use super::shared::Shared;
use crate::protocol::Answer;

/// Time after the first renewal at which an attempt without a report is recorded as started, in milliseconds. The reports of
/// shorter ones tell it.
const START_AFTER_MS: i64 = 1_000;

/// The leases of live attempts.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Slab<Lease>,
    /// True from the moment this engine leads; leases it finds before may have been renewed.
    leads: bool,
    /// Renewals that wait for news.
    waiting: HashMap<CallId, Vec<Renewed>>,
    poll_ends: BinaryHeap<Reverse<(DateTime<Utc>, CallId)>>,
}

/// The lease of a live attempt, as far as it is not recorded.
#[derive(Debug)]
struct Lease {
    /// The number of the task.
    task: u32,
    epoch: u32,
    worker_id: Arc<WorkerId>,
    /// The instant it ends unless renewed.
    until: Millis,
    /// The instant at which its start is to be recorded. Set with the first renewal that is not told to stop: from
    /// there on it may be executed.
    start_at: Option<Millis>,
    /// True when another engine gave it, which may have answered a renewal.
    is_found: bool,
    /// The newest input that was reported to the worker.
    reported_seq: u32,
    /// True when the worker last heard that the task waits.
    reported_waiting: bool,
    /// Nothing to note when absent.
    notes: Option<Box<Notes>>,
}

/// What the state of the task forgets and the worker needs, and the renewals that wait for it.
#[derive(Debug, Default)]
struct Notes {
    cancel_reason: Option<String>,
    /// Inputs that answered a question of the live attempt.
    answers: Vec<InputId>,
    /// Renewals that wait for news.
    watchers: Vec<CallId>,
}

impl Keyed for Lease {
    type Key = u32;

    fn key(&self) -> &u32 {
        &self.task
    }
}

/// An attempt of a renewal.
#[derive(Debug)]
struct Renewed {
    key: StreamKey,
    attempt_id: AttemptId,
    /// False when the caller may not ask about it.
    is_own: bool,
}

/// The answer to a renewal of one attempt.
#[derive(Debug)]
struct LeaseNews {
    answer: RenewAnswer,
    /// True when the answer should not wait.
    is_urgent: bool,
    /// The newest input it reports.
    seq: u32,
}

impl Leases {
    /// The end of the task's lease, or before it the instant at which its start is to be recorded. One that is to stop
    /// and was not renewed ends at once: its worker has nothing to report.
    pub(super) fn due(&self, task: u32, facts: &TaskFacts) -> Option<DateTime<Utc>> {
        let live = facts.live.as_ref()?;
        let lease = self.held.find(&task)?;
        if live.is_stopping {
            return lease.is_unexecuted(live).then_some(DateTime::<Utc>::MIN_UTC);
        }
        Some(lease.start_due(live).map_or(lease.until, |at| at.min(lease.until)).time())
    }

    /// The command that ends a lease that was not renewed, or records the start of an attempt that has not reported yet, at
    /// the instant that is due.
    pub(super) fn due_command(
        &self,
        (task, key): (u32, &StreamKey),
        facts: &TaskFacts,
        now: DateTime<Utc>,
    ) -> Option<Command> {
        let live = facts.live.as_ref()?;
        let lease = self.held.find(&task)?;
        let attempt_id = lease.attempt_id(key);
        if live.is_stopping {
            let cause = ReleaseCause::NeverRenewed;
            let is_over = lease.is_unexecuted(live);
            return is_over.then_some(Command::ReleaseAttempt(ReleaseAttempt { attempt_id, cause }));
        }
        if lease.until.time() <= now {
            let reason = "the worker has not renewed its lease".to_owned();
            return Some(Command::ExpireLease(ExpireLease { attempt_id, reason }));
        }
        let is_due = lease.start_due(live).is_some_and(|at| at.time() <= now);
        is_due.then_some(Command::Start(StartAttempt { attempt_id }))
    }

    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.poll_ends.peek().map(|Reverse((at, _))| *at)
    }

    /// Brings the unrecorded part of the lease in line with the task, and answers the renewals that waited for it. A
    /// lease seen for the first time gets a full period from now.
    pub(super) fn observe(&mut self, key: &StreamKey, shared: &mut Shared, now: DateTime<Utc>) {
        let Some(task) = shared.tasks.number(key) else { return };
        let facts = shared.tasks.facts(key);
        let live = facts.and_then(|facts| Some((facts.epoch, Arc::clone(&facts.live.as_ref()?.worker_id))));
        let held = self.held.find(&task).map(|lease| lease.epoch);
        let mut calls = Vec::new();
        if held != live.as_ref().map(|(epoch, _)| *epoch) {
            if let Some(ended) = self.held.remove(&task) {
                shared.workers.count_attempt(*ended.worker_id, false);
                calls.extend(ended.notes.into_iter().flat_map(|notes| notes.watchers));
            }
            if let Some((epoch, worker_id)) = live {
                shared.workers.count_attempt(*worker_id, true);
                let until = Millis::since(later(now, shared.config.lease_ms));
                let is_found = !self.leads;
                self.held.insert(Lease { is_found, ..Lease::new(task, epoch, worker_id, until) });
            }
        }
        self.call_if_urgent(key, calls, shared);
    }

    /// Begins to lead: gives every lease a full period from now.
    pub(super) fn lead(&mut self, shared: &Shared, now: DateTime<Utc>) {
        self.leads = true;
        let until = Millis::since(later(now, shared.config.lease_ms));
        self.held.iter_mut().for_each(|lease| lease.until = lease.until.max(until));
    }

    /// Keeps what the events of a commit say and the state forgets.
    pub(super) fn follow(&mut self, key: &StreamKey, events: &[Event], shared: &mut Shared) {
        if let Some(lease) = shared.tasks.number(key).and_then(|task| self.held.find_mut(&task)) {
            lease.note(events);
            self.call_if_urgent(key, Vec::new(), shared);
        }
    }

    /// Answers these calls, and the renewals of the lease when they are not to wait any longer.
    fn call_if_urgent(&mut self, key: &StreamKey, mut calls: Vec<CallId>, shared: &mut Shared) {
        if let Some(lease) = shared.tasks.number(key).and_then(|task| self.held.find(&task))
            && lease.news(key, shared.tasks.facts(key)).is_urgent
        {
            calls.extend_from_slice(lease.watchers());
        }
        for call in calls {
            self.answer(call, shared);
        }
    }

    /// Extends leases. Answers at once when there is news or `wait_ms` is 0, otherwise when news comes.
    pub(super) fn renew(
        &mut self,
        call: CallId,
        (worker_id, reach): (WorkerId, &Reach),
        renewals: &[Renewal],
        wait_ms: u64,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        // A worker this engine does not know may still hold attempts an earlier engine gave it.
        if let Some(worker) = shared.workers.get_mut(worker_id)
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
            let held = shared.tasks.number(&key).and_then(|task| self.held.find_mut(&task));
            if let Some(lease) = held.filter(|lease| is_own && lease.is_of(&attempt_id)) {
                let news = lease.news(&key, shared.tasks.facts(&key));
                is_urgent |= news.is_urgent;
                lease.until = Millis::since(later(now, shared.config.lease_ms));
                lease.notes.get_or_insert_default().watchers.push(call);
                if lease.start_at.is_none() && news.answer.status == RenewStatus::Ok {
                    lease.start_at = Some(Millis::since(later(now, START_AFTER_MS)));
                    shared.tasks.touch(&key);
                }
            } else {
                is_urgent = true;
            }
            attempts.push(Renewed { key, attempt_id, is_own });
        }
        self.waiting.insert(call, attempts);
        if is_urgent {
            self.answer(call, shared);
        } else {
            self.poll_ends.push(Reverse((later(now, wait_ms.min(WAIT_MS_MAX) as i64), call)));
        }
    }

    /// Answers the renewals whose wait is over.
    pub(super) fn turn(&mut self, shared: &mut Shared, now: DateTime<Utc>) {
        while self.poll_ends.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, call))) = self.poll_ends.pop() else { break };
            self.answer(call, shared);
        }
    }

    fn answer(&mut self, call: CallId, shared: &mut Shared) {
        let Some(attempts) = self.waiting.remove(&call) else { return };
        let mut answers = Vec::with_capacity(attempts.len());
        for Renewed { key, attempt_id, is_own } in attempts {
            let held = shared.tasks.number(&key).and_then(|task| self.held.find_mut(&task));
            let Some(lease) = held.filter(|lease| is_own && lease.is_of(&attempt_id)) else {
                answers.push(lost(attempt_id));
                continue;
            };
            let news = lease.news(&key, shared.tasks.facts(&key));
            lease.no_longer_watched_by(call);
            lease.reported_seq = news.seq;
            lease.reported_waiting = news.answer.waiting;
            answers.push(news.answer);
        }
        shared.answer(call, Answer::Renewed(answers));
    }
}

impl Notes {
    fn is_empty(&self) -> bool {
        self.cancel_reason.is_none() && self.answers.is_empty() && self.watchers.is_empty()
    }
}

impl Lease {
    fn new(task: u32, epoch: u32, worker_id: Arc<WorkerId>, until: Millis) -> Self {
        Self {
            task,
            epoch,
            worker_id,
            until,
            start_at: None,
            is_found: false,
            reported_seq: 0,
            reported_waiting: false,
            notes: None,
        }
    }

    fn watchers(&self) -> &[CallId] {
        self.notes.as_deref().map_or(&[], |notes| &notes.watchers)
    }

    fn no_longer_watched_by(&mut self, call: CallId) {
        if let Some(notes) = &mut self.notes {
            notes.watchers.retain(|watcher| *watcher != call);
        }
        self.notes.take_if(|notes| notes.is_empty());
    }

    /// The instant at which its start is to be recorded, unless it is.
    fn start_due(&self, live: &LiveFacts) -> Option<Millis> {
        self.start_at.filter(|_| !live.is_started)
    }

    /// True when its worker has certainly not begun: no renewal was ever answered `ok`. One that may be counts as answered,
    /// and an answer that was sent as arrived.
    fn is_unexecuted(&self, live: &LiveFacts) -> bool {
        self.start_at.is_none() && !self.is_found && !live.is_started
    }

    fn attempt_id(&self, key: &StreamKey) -> AttemptId {
        AttemptId { workspace: key.workspace.to_string(), task: key.task_id, epoch: u64::from(self.epoch) }
    }

    /// True when it is the lease of this attempt of the task.
    fn is_of(&self, attempt_id: &AttemptId) -> bool {
        u64::from(self.epoch) == attempt_id.epoch
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            if let Event::AttemptCancelRequested(asked) = event {
                self.notes.get_or_insert_default().cancel_reason = Some(asked.reason.clone());
            }
            if let Event::BlockerClosed(closed) = event
                && let Some(input_id) = closed.input_id
            {
                self.notes.get_or_insert_default().answers.push(input_id);
            }
        }
    }

    /// The answer to the holder now.
    fn news(&self, key: &StreamKey, facts: Option<&TaskFacts>) -> LeaseNews {
        let held = facts.and_then(|facts| Some((facts, facts.live.as_ref()?)));
        let Some((facts, live)) = held.filter(|(facts, _)| facts.epoch == self.epoch) else {
            return LeaseNews { answer: lost(self.attempt_id(key)), is_urgent: true, seq: 0 };
        };
        let mut answer = RenewAnswer {
            attempt_id: self.attempt_id(key),
            status: RenewStatus::Ok,
            reason: None,
            inputs_pending: 0,
            waiting: facts.state == TaskState::Waiting,
            steer: false,
        };
        if live.is_stopping {
            answer.status = RenewStatus::Cancel;
            let reason = self.notes.as_ref().and_then(|notes| notes.cancel_reason.clone());
            answer.reason = reason.or_else(|| Some("cancelled".to_owned()));
            return LeaseNews { answer, is_urgent: true, seq: self.reported_seq };
        }
        let mut seq = self.reported_seq;
        for input in facts.rare().inputs.iter().filter(|input| self.may_take(input)) {
            answer.inputs_pending += 1;
            answer.steer |= input.is_steer;
            seq = seq.max(input.seq);
        }
        // Reported once: a worker that leaves an input where it is must not make the engine answer in a loop.
        let is_urgent = seq > self.reported_seq || (self.reported_waiting && !answer.waiting);
        LeaseNews { answer, is_urgent, seq }
    }

    /// Inputs accepted during a turn stay in the inbox until it ends; only answers to a question reach it.
    fn may_take(&self, input: &InputFacts) -> bool {
        input.is_delivered || self.notes.as_ref().is_some_and(|notes| notes.answers.contains(&input.input_id))
    }
}

fn lost(attempt_id: AttemptId) -> RenewAnswer {
    RenewAnswer {
        attempt_id,
        status: RenewStatus::Lost,
        reason: Some("the lease is gone".to_owned()),
        inputs_pending: 0,
        waiting: false,
        steer: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_small() {
        assert!(size_of::<Option<Lease>>() <= 48, "{} bytes", size_of::<Option<Lease>>());
    }
}
