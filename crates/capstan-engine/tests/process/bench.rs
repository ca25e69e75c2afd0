//! A process under test: effects are executed at once.

use std::collections::HashMap;

use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::{LeasedAttempt, RenewAnswer};
use capstan_domain::Requested;
use capstan_domain::id::{AttemptId, TaskId, WorkerId};
use capstan_domain::matching::{Reach, StreamKey};
use capstan_domain::task::{Command, Event, Rejection};
use capstan_engine::process::{CallId, Effect, Loaded, Process, Settled, ToolRequest, task_key};
use capstan_engine::protocol::{Answer, Request};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::commands::{Birth, accept};
use crate::world::{World, attempts, execute, first, load, memory, start, successor};

/// A process whose effects are executed at once, and a clock that the test moves.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) process: Process,
    pub(crate) now: DateTime<Utc>,
    pub(crate) answers: HashMap<CallId, Answer>,
    /// True while every order fails instead of being executed.
    pub(crate) failing: bool,
    /// True while every creation of a child is refused.
    pub(crate) refusing_creation: bool,
    /// A task that cannot be loaded, nor is in memory.
    pub(crate) unreadable: Option<StreamKey>,
    /// Calls of endpoints under way.
    pub(crate) calls: Vec<ToolRequest>,
    seen: usize,
    ids: u128,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
            process: first(),
            now: start(),
            answers: HashMap::new(),
            failing: false,
            refusing_creation: false,
            unreadable: None,
            calls: Vec::new(),
            seen: 0,
            ids: 0,
        }
    }

    pub(crate) fn fresh(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// Sends a command of a caller.
    pub(crate) fn send(&mut self, key: &StreamKey, command: &Requested<Command>) -> Vec<Event> {
        let id = self.fresh();
        let events = self.world.send(key, id, command).unwrap();
        self.settle();
        events
    }

    /// Sends a report of a worker; one that comes when its lease is over changes nothing.
    pub(crate) fn report(&mut self, key: &StreamKey, command: &Requested<Command>) {
        let id = self.fresh();
        let sent = self.world.send(key, id, command);
        assert!(matches!(sent, Ok(_) | Err(Rejection::LeaseLost { .. })), "{sent:?}");
        self.settle();
    }

    pub(crate) fn accept(&mut self, birth: &Birth) -> StreamKey {
        let key = StreamKey::new("dev", TaskId(self.fresh()));
        let command = accept(birth, &key, self.now);
        self.send(&key, &command);
        key
    }

    pub(crate) fn settle(&mut self) {
        loop {
            for (number, recorded) in self.world.log.iter().enumerate().skip(self.seen) {
                // Every third was forgotten, and is loaded.
                let is_known = !number.is_multiple_of(3)
                    && self
                        .unreadable
                        .as_ref()
                        .is_none_or(|key| task_key(&recorded.commit.stream).as_ref() != Some(key));
                let memory = memory(&self.world, recorded).filter(|_| is_known);
                self.process.commit(recorded, memory, self.now).unwrap();
            }
            self.seen = self.world.log.len();
            let effects = self.process.turn(usize::MAX, self.now);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Answer(call, answer) => {
                        assert!(self.answers.insert(call, answer).is_none(), "{call:?} was answered twice");
                    }
                    Effect::Execute(order) if self.failing => {
                        let failed = Settled::Failed { is_retryable: true };
                        self.process.settled(&order, &failed, self.now);
                    }
                    Effect::Execute(order)
                        if self.refusing_creation && matches!(order.command.command, Command::Accept(_)) =>
                    {
                        self.process.settled(&order, &Settled::Refused, self.now);
                    }
                    Effect::Execute(order) => {
                        let settled = execute(&mut self.world, &order);
                        self.process.settled(&order, &settled, self.now);
                    }
                    Effect::OrderClass(order) => {
                        let settled = self.world.send_to_class(&order);
                        self.process.class_settled(&order, settled, self.now);
                    }
                    Effect::CallTool(request) => self.calls.push(*request),
                    Effect::Load(key) if self.unreadable.as_ref() == Some(&key) => {
                        self.process.loaded(&key, &Loaded::Failed { is_retryable: false }, self.now);
                    }
                    Effect::Load(key) => {
                        let loaded = load(&self.world, &key);
                        self.process.loaded(&key, &loaded, self.now);
                    }
                    Effect::Tick(_) | Effect::CheckAgent(_) | Effect::LoadSchedule(_) => {
                        panic!("this world has no schedules")
                    }
                }
            }
        }
    }

    /// Lets time pass, and fires every timer on the way.
    pub(crate) fn pass_ms(&mut self, ms: i64) {
        let until = self.now + Duration::milliseconds(ms);
        while self.now < until {
            self.now = self.process.next_due().max(self.now + Duration::milliseconds(1)).min(until);
            self.settle();
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> CallId {
        let fresh = self.fresh();
        let call = CallId(fresh.as_u128() as u64);
        self.process.request(call, request, fresh, self.now);
        self.settle();
        call
    }

    pub(crate) fn worker(&mut self) -> WorkerId {
        self.worker_within(Reach::All)
    }

    pub(crate) fn worker_within(&mut self, reach: Reach) -> WorkerId {
        let worker = RegisterWorker { name: "w".into(), slots: 4, ..RegisterWorker::default() };
        let call = self.ask(Request::Register { worker, reach });
        match self.answers.remove(&call) {
            Some(Answer::Registered(registered)) => registered.worker_id,
            other => panic!("not registered but {other:?}"),
        }
    }

    pub(crate) fn lease(&mut self, worker_id: WorkerId, max: u32, wait_ms: u64) -> CallId {
        self.ask(Request::Lease { worker_id, max, wait_ms, reach: Reach::All })
    }

    /// The attempts a call was answered with; panics when it was not answered yet.
    pub(crate) fn leased(&mut self, call: CallId) -> Vec<LeasedAttempt> {
        match self.answers.remove(&call) {
            Some(answer) => attempts(&answer),
            None => panic!("{call:?} is not answered"),
        }
    }

    pub(crate) fn lease_now(&mut self, worker_id: WorkerId, max: u32) -> Vec<LeasedAttempt> {
        let call = self.lease(worker_id, max, 0);
        self.leased(call)
    }

    pub(crate) fn renew(&mut self, worker_id: WorkerId, attempts: &[&AttemptId], wait_ms: u64) -> CallId {
        let renewals =
            attempts.iter().map(|id| Renewal { attempt_id: (*id).clone(), epoch: id.epoch }).collect();
        self.ask(Request::Renew { worker_id, renewals, wait_ms, reach: Reach::All })
    }

    pub(crate) fn renewed(&mut self, call: CallId) -> Vec<RenewAnswer> {
        match self.answers.remove(&call) {
            Some(Answer::Renewed(answers)) => answers,
            other => panic!("not renewed but {other:?}"),
        }
    }

    pub(crate) fn is_answered(&self, call: CallId) -> bool {
        self.answers.contains_key(&call)
    }

    /// Another engine takes over from a read model that is `lag` commits behind, and executes the orders that are due.
    pub(crate) fn fail_over(&mut self, lag: usize) {
        for effect in self.succeed(lag) {
            let Effect::Execute(order) = effect else { panic!("nothing else is due: {effect:?}") };
            let settled = execute(&mut self.world, &order);
            self.process.settled(&order, &settled, self.now);
        }
        self.settle();
    }

    /// Another engine takes over, and executes what is due.
    pub(crate) fn take_over(&mut self) {
        for effect in self.succeed(0) {
            if let Effect::Execute(order) = effect {
                let settled = execute(&mut self.world, &order);
                self.process.settled(&order, &settled, self.now);
            }
        }
        self.settle();
    }

    fn succeed(&mut self, lag: usize) -> Vec<Effect> {
        let (process, waiting) = successor(&self.world, lag, self.now);
        self.process = process;
        self.calls.clear();
        self.seen = self.world.log.len();
        self.answers.clear();
        waiting
    }
}
