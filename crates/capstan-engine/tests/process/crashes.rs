//! Thousands of simulated runs with slow logs, lost answers, dead workers and crashing engines.

use std::collections::{HashMap, HashSet, VecDeque};

use capstan_contract::TaskCodec;
use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::RenewStatus;
use capstan_domain::id::{AttemptId, TaskId, WorkerId};
use capstan_domain::matching::{Reach, StreamKey};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::command::{FinishAttempt, ReportedOutcome};
use capstan_domain::task::event::Join;
use capstan_domain::task::{Command, Event, Task, TaskState};
use capstan_engine::process::{CallId, ClassSettled, Effect, Loaded, Process, Settled, task_key};
use capstan_engine::protocol::{Answer, Request};
use capstan_envelope::Codec as _;
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::commands::{
    Birth, accept, ack, begin, cancel, claim, finish, finish_with, finish_with_children, finish_with_wake,
    finish_with_watches, input, news, question, thread,
};
use crate::invariants::{Seen, hold};
use crate::world::{World, attempts, execute, first, load, memory, start, successor};

/// The error of an attempt that was stopped before a renewal.
const NEVER_BEGUN: &str = "stopped before the worker began";

/// A small generator, so that a seed reproduces a whole run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A worker with its own view of its attempts, right or wrong.
#[derive(Default)]
struct Worker {
    id: Option<WorkerId>,
    held: Vec<AttemptId>,
    poll: Option<CallId>,
    renewal: Option<CallId>,
}

struct Life {
    chance: Chance,
    world: World,
    process: Process,
    now: DateTime<Utc>,
    /// Commits the engine has seen.
    seen: usize,
    /// Effects asked for and not done.
    under_way: VecDeque<Effect>,
    workers: Vec<Worker>,
    registering: HashMap<CallId, usize>,
    given: HashSet<AttemptId>,
    /// Attempts of which a renewal was answered `ok`, whether the answer arrived or not.
    renewed: HashSet<AttemptId>,
    keys: Vec<StreamKey>,
    ids: u128,
    /// No more trouble from here on.
    is_calm: bool,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            world: World::new(),
            process: first(),
            now: start(),
            seen: 0,
            under_way: VecDeque::new(),
            workers: (0..3).map(|_| Worker::default()).collect(),
            registering: HashMap::new(),
            given: HashSet::new(),
            renewed: HashSet::new(),
            keys: Vec::new(),
            ids: 0,
            is_calm: false,
        }
    }

    fn fresh(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn step(&mut self) {
        match self.chance.below(18) {
            0 | 1 => self.accept(),
            2 => self.disturb(),
            3..=5 => self.worker_acts(),
            6..=8 => self.worker_calls(),
            9..=11 => self.do_one(),
            12..=14 => self.deliver(),
            15 => self.now += Duration::milliseconds(self.chance.below(4_000) as i64),
            16 if self.chance.one_in(6) => {
                self.now += Duration::milliseconds(self.chance.below(90_000) as i64);
            }
            17 if self.chance.one_in(8) => self.crash(),
            _ => {}
        }
        self.turn();
    }

    fn turn(&mut self) {
        for effect in self.process.turn(usize::MAX, self.now) {
            match effect {
                Effect::Answer(call, answer) => self.answered(call, &answer),
                other => self.under_way.push_back(other),
            }
        }
    }

    fn accept(&mut self) {
        if self.is_calm || self.keys.len() > 14 {
            return;
        }
        let workspace = ["dev", "ops"][self.chance.below(2)];
        let key = StreamKey::new(workspace, TaskId(self.fresh()));
        let birth = Birth {
            session: format!("s{}", self.chance.below(3)),
            message: "do it".into(),
            priority: ["low", "normal", "urgent"][self.chance.below(3)],
            max_attempts: 3,
            timeout_ms: self.chance.one_in(2).then_some(20_000),
            queue_ttl_ms: self.chance.one_in(6).then_some(60_000),
            delay_ms: self.chance.one_in(4).then_some(5_000),
            deadline_ms: self.chance.one_in(6).then_some(120_000),
            ..Birth::default()
        };
        let id = self.fresh();
        self.world.send(&key, id, &accept(&birth, &key, self.now)).unwrap();
        self.keys.push(key);
    }

    /// A caller cancels a task or adds an input, or an external event occurs, perhaps repeatedly.
    fn disturb(&mut self) {
        if self.is_calm || self.keys.is_empty() {
            return;
        }
        let key = self.keys[self.chance.below(self.keys.len())].clone();
        let id = self.fresh();
        let command = match self.chance.below(4) {
            0 => cancel(&key, self.now),
            1 => news("t-1", ["mail", "reply", "bill"][self.chance.below(3)], self.now),
            _ => input(&key, id.as_u128(), self.now),
        };
        let _ = self.world.send(&key, id, &command);
    }

    /// A worker works on something it believes to hold.
    fn worker_acts(&mut self) {
        let index = self.chance.below(self.workers.len());
        if !self.is_calm && self.chance.one_in(12) {
            // It dies, and forgets everything.
            self.workers[index] = Worker::default();
            return;
        }
        if self.workers[index].held.is_empty() {
            return;
        }
        let at = self.chance.below(self.workers[index].held.len());
        let attempt = self.workers[index].held[at].clone();
        let key = StreamKey::new(&attempt.workspace, attempt.task);
        let now = self.now;
        let command = match self.chance.below(if self.is_calm { 2 } else { 8 }) {
            0 => begin(&attempt, now),
            // No more watches, so that everything comes to an end.
            1 if self.is_calm => finish_with_watches(&attempt, Vec::new(), now),
            1 => finish(&attempt, ReportedOutcome::Ok).at(now),
            2 => finish_with_wake(&attempt).at(now),
            3 => question(&attempt, now),
            5 => finish_with_watches(&attempt, vec![thread("t-1")], now),
            6 => return self.hear(&key, &attempt),
            4 if self.world.tasks.len() < 40 => {
                let children = 1 + self.chance.below(2);
                let join = [Join::None, Join::All, Join::Any][self.chance.below(3)];
                finish_with_children(&attempt, children, join, now)
            }
            _ => {
                let error_class = Some(ErrorClass::Retryable);
                let failed = FinishAttempt { error_class, ..FinishAttempt::new(ReportedOutcome::Error) };
                finish_with(&attempt, failed).at(now)
            }
        };
        let is_end = matches!(command.command, Command::Finish { .. });
        let id = self.fresh();
        let refused = self.world.send(&key, id, &command).is_err();
        if is_end || refused {
            self.workers[index].held.remove(at);
        }
    }

    /// The live agent claims an input, and mostly acknowledges it.
    fn hear(&mut self, key: &StreamKey, attempt: &AttemptId) {
        let id = self.fresh();
        let Ok(claimed) = self.world.send(key, id, &claim(attempt, self.now)) else { return };
        let taken = claimed.iter().find_map(|event| match event {
            Event::InputClaimed(claimed) => {
                self.world.task(key).inbox.numbered(claimed.seq).map(|input| input.input_id)
            }
            _ => None,
        });
        if let Some(input) = taken.filter(|_| !self.chance.one_in(3)) {
            let id = self.fresh();
            let _ = self.world.send(key, id, &ack(attempt, input, self.now));
        }
    }

    fn worker_calls(&mut self) {
        let index = self.chance.below(self.workers.len());
        let fresh = self.fresh();
        let call = CallId(fresh.as_u128() as u64);
        let worker = &mut self.workers[index];
        let request = match worker.id {
            None => {
                self.registering.insert(call, index);
                let worker =
                    RegisterWorker { name: index.to_string(), slots: 4, ..RegisterWorker::default() };
                Request::Register { worker, reach: Reach::All }
            }
            Some(worker_id) if worker.renewal.is_none() && !worker.held.is_empty() => {
                worker.renewal = Some(call);
                let renewals = worker
                    .held
                    .iter()
                    .map(|id| Renewal { attempt_id: id.clone(), epoch: id.epoch })
                    .collect();
                Request::Renew { worker_id, renewals, wait_ms: 3_000, reach: Reach::All }
            }
            Some(worker_id) if worker.poll.is_none() && worker.held.len() < 4 => {
                worker.poll = Some(call);
                Request::Lease {
                    worker_id,
                    max: 4 - worker.held.len() as u32,
                    wait_ms: 5_000,
                    reach: Reach::All,
                }
            }
            Some(_) => return,
        };
        self.process.request(call, request, fresh, self.now);
    }

    fn answered(&mut self, call: CallId, answer: &Answer) {
        if let Answer::Leased(_) = answer {
            for attempt in attempts(answer) {
                assert!(
                    self.given.insert(attempt.attempt_id.clone()),
                    "{} was given twice",
                    attempt.attempt_id
                );
            }
        }
        if let Answer::Renewed(answers) = answer {
            let ok = answers.iter().filter(|told| told.status == RenewStatus::Ok);
            self.renewed.extend(ok.map(|told| told.attempt_id.clone()));
        }
        if let Some(index) = self.registering.remove(&call) {
            if let Answer::Registered(registered) = answer {
                self.workers[index].id = Some(registered.worker_id);
            }
            return;
        }
        // Answers to the dead get lost.
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.poll == Some(call)) {
            worker.poll = None;
            match answer {
                Answer::UnknownWorker => worker.id = None,
                leased => worker.held.extend(attempts(leased).into_iter().map(|attempt| attempt.attempt_id)),
            }
        } else if let Some(worker) = self.workers.iter_mut().find(|worker| worker.renewal == Some(call)) {
            worker.renewal = None;
            let Answer::Renewed(answers) = answer else { panic!("not renewed but {answer:?}") };
            for told in answers.iter().filter(|told| told.status != RenewStatus::Ok) {
                worker.held.retain(|held| *held != told.attempt_id);
            }
        }
    }

    /// Executes one effect, not always the oldest, not always successfully.
    fn do_one(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let at = self.chance.below(self.under_way.len());
        let Some(effect) = self.under_way.remove(at) else { return };
        let trouble = if self.is_calm { 9 } else { self.chance.below(10) };
        let failed = Settled::Failed { is_retryable: true };
        match effect {
            Effect::Execute(order) => {
                let settled = match trouble {
                    0 => failed,
                    1 => {
                        // Recorded, but the answer got lost.
                        let _ = execute(&mut self.world, &order);
                        failed
                    }
                    _ => execute(&mut self.world, &order),
                };
                self.process.settled(&order, &settled, self.now);
            }
            Effect::Load(key) => {
                let loaded = if trouble == 0 {
                    Loaded::Failed { is_retryable: true }
                } else {
                    load(&self.world, &key)
                };
                self.process.loaded(&key, &loaded, self.now);
            }
            Effect::CallTool(request) => panic!("no workspace has tools here: {request:?}"),
            Effect::OrderClass(order) => {
                let settled = match trouble {
                    0 => ClassSettled::Failed { is_retryable: true },
                    _ => self.world.send_to_class(&order),
                };
                self.process.class_settled(&order, settled, self.now);
            }
            Effect::Answer(..) => {}
            Effect::Tick(_) | Effect::CheckAgent(_) | Effect::LoadSchedule(_) => {
                panic!("this world has no schedules")
            }
        }
    }

    /// Delivers the log to the engine: late, and sometimes again.
    fn deliver(&mut self) {
        if !self.is_calm && self.seen > 0 && self.chance.one_in(5) {
            let old = self.chance.below(self.seen);
            let recorded = &self.world.log[old];
            let memory = memory(&self.world, recorded).filter(|_| self.chance.one_in(2));
            self.process.commit(recorded, memory, self.now).unwrap();
        }
        let new = self.world.log.len() - self.seen;
        let take = if self.is_calm { new } else { self.chance.below(new + 1) };
        for recorded in &self.world.log[self.seen..self.seen + take] {
            let memory = memory(&self.world, recorded).filter(|_| self.chance.one_in(2));
            self.process.commit(recorded, memory, self.now).unwrap();
        }
        self.seen += take;
    }

    /// The engine crashes; its orders under way arrive or not. The next one begins some commits back.
    fn crash(&mut self) {
        if self.is_calm {
            return;
        }
        for effect in std::mem::take(&mut self.under_way) {
            if let Effect::Execute(order) = effect
                && self.chance.one_in(2)
            {
                let _ = execute(&mut self.world, &order);
            }
        }
        self.registering.clear();
        for worker in &mut self.workers {
            worker.poll = None;
            worker.renewal = None;
        }
        let lag = self.chance.below(self.world.log.len() + 1);
        let (process, waiting) = successor(&self.world, lag, self.now);
        self.process = process;
        self.under_way = waiting.into();
        self.seen = self.world.log.len();
    }

    /// Without new trouble, everything ends that can end.
    fn calm_down(&mut self, seed: u64) {
        self.is_calm = true;
        for round in 0..4_000 {
            self.deliver();
            self.worker_calls();
            self.worker_acts();
            while !self.under_way.is_empty() {
                self.do_one();
                self.turn();
            }
            self.turn();
            self.now += Duration::milliseconds(400);
            let is_quiet = self.world.tasks.keys().all(|key| {
                let task = self.world.task(key);
                let waits = task.blocker.as_ref().is_some_and(|blocker| blocker.opened.join.is_none());
                task.live.is_none() && (self.is_settled(task) || waits)
            });
            if is_quiet && self.under_way.is_empty() && self.seen == self.world.log.len() {
                return;
            }
            assert!(
                round < 3_999,
                "seed {seed}: tasks are forgotten: {:#?} {} {}",
                self.unfinished(),
                self.under_way.len(),
                self.seen == self.world.log.len()
            );
        }
    }

    /// True when the task is over and everybody of its family knows, as far as they are over themselves.
    fn is_settled(&self, task: &Task) -> bool {
        let unheard = task.open_subtasks().any(|subtask| {
            let key = StreamKey::new(&task.accepted.workspace, subtask.task_id);
            !self.world.tasks.get(&key).is_some_and(|(_, child)| {
                child.as_deref().is_some_and(|child| child.state == TaskState::Waiting)
            })
        });
        let waits_for_family = task.state == TaskState::Waiting
            && task.blocker.as_ref().is_some_and(|blocker| blocker.opened.join.is_some());
        let is_over = task.state.is_terminal() || waits_for_family;
        if task.state == TaskState::Cancelled && task.open_subtasks().next().is_some() {
            return false;
        }
        is_over && !unheard && !task.must_tell_parent()
    }

    /// The number of attempts that were stopped before a renewal. Panics when one of them was answered `ok`, ever.
    fn never_begun(&self) -> usize {
        let events = self.world.log.iter().filter(|recorded| task_key(&recorded.commit.stream).is_some());
        let events = events.flat_map(|recorded| TaskCodec::decode(&recorded.commit).unwrap());
        let never_begun: Vec<_> = events
            .filter_map(|event| match event {
                Event::AttemptEnded(ended) if ended.error.as_deref() == Some(NEVER_BEGUN) => {
                    Some(ended.attempt_id)
                }
                _ => None,
            })
            .collect();
        for attempt in &never_begun {
            assert!(!self.renewed.contains(attempt), "{attempt} was renewed and ended as never begun");
        }
        never_begun.len()
    }

    fn unfinished(&self) -> Vec<(&StreamKey, TaskState, bool)> {
        let open = |key: &&StreamKey| {
            let task = self.world.task(key);
            task.live.is_some() || !task.state.is_terminal()
        };
        self.world
            .tasks
            .keys()
            .filter(open)
            .map(|key| (key, self.world.state(key), self.world.task(key).live.is_some()))
            .collect()
    }
}

#[test]
fn no_crash_leads_to_two_live_attempts_of_a_session_or_a_forgotten_task() {
    let seeds = std::env::var("CAPSTAN_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let (mut leases, mut never_begun, mut seen) = (0, 0, Seen::default());
    for seed in 0..seeds {
        let mut life = Life::new(seed);
        for _ in 0..250 {
            life.step();
        }
        life.calm_down(seed);
        leases += life.world.leases.len();
        never_begun += life.never_begun();
        hold(&life.world, &mut seen);
    }
    let Seen { consumed, fired, spawned } = seen;
    assert!(consumed > 0 && fired > 0 && spawned > 0, "nothing to prove: {consumed} {fired} {spawned}");
    assert!(never_begun > 0, "no attempt was stopped before its first renewal");
    assert!(leases as u64 > seeds, "the lives were too quiet to prove anything: {leases} leases");
}
