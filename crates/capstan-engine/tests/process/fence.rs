//! The fence of an attempt: its worker executes it once its lease was renewed. Each message of the protocol is lost, late and
//! doubled in turn; an attempt is executed at most once, and what it was told is lost by none.

use std::collections::BTreeMap;

use capstan_contract::lease::{LeasedAttempt, RenewStatus};
use capstan_domain::id::{AttemptId, InputId, WorkerId};
use capstan_domain::matching::StreamKey;
use capstan_domain::task::command::ReportedOutcome::Ok;
use capstan_domain::task::command::{SubmitInput, SubmitTaskInput};
use capstan_domain::task::{Command, TaskState};
use uuid::Uuid;

use crate::bench::Bench;
use crate::commands::{Birth, begin, cancel, finish};
use crate::world::{GRACE_MS, LEASE_MS};

/// A message between a worker and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    LeaseAnswer,
    Renewal,
    RenewalAnswer,
    Report,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Lost,
    /// It arrives when the lease is over.
    Late,
    Doubled,
}

/// A worker as docs/worker-protocol.md describes it, whose first message of one kind meets a fault.
struct Worker {
    id: WorkerId,
    bench: Bench,
    key: StreamKey,
    fault: Option<(Message, Fault)>,
    /// Leases it has heard of, and how often it executed them.
    executed: BTreeMap<u64, u32>,
    prompts: Vec<String>,
}

impl Worker {
    /// Passes a message on as often as it arrives, after its delay.
    fn arrives(&mut self, message: Message) -> u32 {
        let Some((_, fault)) = self.fault.take_if(|(faulty, _)| *faulty == message) else { return 1 };
        match fault {
            Fault::Lost => 0,
            Fault::Late => {
                self.bench.pass_ms(LEASE_MS + 1);
                1
            }
            Fault::Doubled => 2,
        }
    }

    /// Leases and executes until the task is done.
    fn work(&mut self) {
        for _ in 0..5 {
            let leased = self.bench.lease_now(self.id, 1);
            for attempt in leased {
                for _ in 0..self.arrives(Message::LeaseAnswer) {
                    self.take(&attempt);
                }
            }
            if self.bench.world.state(&self.key) == TaskState::Done {
                return;
            }
            self.bench.pass_ms(LEASE_MS + 1);
        }
        panic!("the task is not done but {:?}", self.bench.world.state(&self.key));
    }

    fn take(&mut self, leased: &LeasedAttempt) {
        // The same attempt again is no other one.
        if self.executed.contains_key(&leased.epoch) {
            return;
        }
        self.executed.insert(leased.epoch, 0);
        for _ in 0..3 {
            if self.renewal(&leased.attempt_id) {
                return self.execute(leased);
            }
        }
    }

    /// Sends a renewal; true when the worker hears that it holds the lease.
    fn renewal(&mut self, attempt_id: &AttemptId) -> bool {
        let mut is_held = false;
        for _ in 0..self.arrives(Message::Renewal) {
            let call = self.bench.renew(self.id, &[attempt_id], 0);
            let answers = self.bench.renewed(call);
            // A worker counts its lease from the moment it asked.
            let asked_at = self.bench.now;
            for _ in 0..self.arrives(Message::RenewalAnswer) {
                let is_over = (self.bench.now - asked_at).num_milliseconds() >= LEASE_MS;
                is_held |= answers[0].status == RenewStatus::Ok && !is_over;
            }
        }
        is_held
    }

    fn execute(&mut self, leased: &LeasedAttempt) {
        *self.executed.entry(leased.epoch).or_default() += 1;
        self.prompts.push(leased.prompt.clone());
        for _ in 0..self.arrives(Message::Report) {
            let (end, now) = (finish(&leased.attempt_id, Ok), self.bench.now);
            self.bench.report(&self.key, &end.at(now));
        }
    }
}

#[test]
fn an_attempt_is_executed_at_most_once_whatever_happens_to_the_messages() {
    for message in [Message::LeaseAnswer, Message::Renewal, Message::RenewalAnswer, Message::Report] {
        for fault in [Fault::Lost, Fault::Late, Fault::Doubled] {
            let mut bench = Bench::new();
            let key = bench.accept(&Birth::default());
            let id = bench.worker();
            let mut worker = Worker {
                id,
                bench,
                key,
                fault: Some((message, fault)),
                executed: BTreeMap::new(),
                prompts: Vec::new(),
            };
            worker.work();
            let case = format!("{message:?} {fault:?}");
            assert!(worker.fault.is_none(), "{case}: it met the fault");
            assert!(worker.executed.values().all(|times| *times <= 1), "{case}: {:?}", worker.executed);
            assert!(worker.prompts.iter().all(|prompt| prompt == "do it"), "{case}: {:?}", worker.prompts);
            // Only a report that did not arrive in time makes another attempt do the work again.
            let again = message == Message::Report && fault != Fault::Doubled;
            assert_eq!(worker.prompts.len(), if again { 2 } else { 1 }, "{case}");
            let task = worker.bench.world.task(&worker.key);
            assert!(task.runs.last().unwrap().delivered, "{case}");
        }
    }
}

/// A task whose attempt a worker holds, and another of its session that waits behind it.
fn two_of_a_session() -> (Bench, StreamKey, StreamKey, WorkerId, AttemptId) {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let next = bench.accept(&Birth::default());
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 4).remove(0).attempt_id;
    assert_eq!(attempt.task, key.task_id);
    (bench, key, next, worker, attempt)
}

fn stop(bench: &mut Bench, key: &StreamKey) {
    let command = cancel(key, bench.now);
    bench.send(key, &command);
}

fn status(bench: &mut Bench, worker: WorkerId, attempt: &AttemptId) -> RenewStatus {
    let call = bench.renew(worker, &[attempt], 0);
    bench.renewed(call)[0].status
}

#[test]
fn an_attempt_that_is_stopped_before_its_first_renewal_frees_its_session_at_once() {
    let (mut bench, key, next, worker, attempt) = two_of_a_session();
    stop(&mut bench, &key);
    assert!(bench.world.task(&key).live.is_none(), "no time passes");
    assert_eq!(bench.lease_now(worker, 4)[0].task_id, next.task_id);
    assert_eq!(status(&mut bench, worker, &attempt), RenewStatus::Lost, "its worker begins nothing");
}

#[test]
fn an_attempt_that_is_interrupted_before_its_first_renewal_is_repeated_at_once_with_the_input() {
    let (mut bench, key, _, worker, attempt) = two_of_a_session();
    let text = SubmitTaskInput::from_text(key.task_id, "and this");
    let input = SubmitTaskInput { queue_mode: Some("interrupt".into()), ..text };
    let submit = SubmitInput::new(InputId(Uuid::from_u128(7_000)), input);
    let now = bench.now;
    bench.send(&key, &Command::SubmitInput(SubmitInput { grace_ms: GRACE_MS, ..submit }).at(now));
    let again = bench.lease_now(worker, 1).remove(0);
    assert_eq!((again.task_id, again.epoch), (key.task_id, attempt.epoch + 1));
    assert!(again.prompt.starts_with("do it") && again.prompt.ends_with("and this"), "{}", again.prompt);
}

#[test]
fn an_attempt_that_was_answered_ok_keeps_its_session_for_the_grace_even_if_nobody_heard_the_answer() {
    let (mut bench, key, next, worker, attempt) = two_of_a_session();
    assert_eq!(status(&mut bench, worker, &attempt), RenewStatus::Ok);
    stop(&mut bench, &key);
    bench.pass_ms(GRACE_MS - 1);
    assert!(bench.lease_now(worker, 4).is_empty(), "its worker may be executing it");
    bench.pass_ms(1);
    assert_eq!(bench.lease_now(worker, 4)[0].task_id, next.task_id);
}

#[test]
fn an_attempt_that_has_reported_keeps_its_session_for_the_grace_whether_it_was_renewed_or_not() {
    let (mut bench, key, _, worker, attempt) = two_of_a_session();
    let now = bench.now;
    bench.send(&key, &begin(&attempt, now));
    stop(&mut bench, &key);
    bench.pass_ms(GRACE_MS - 1);
    assert!(bench.lease_now(worker, 4).is_empty());
}

#[test]
fn a_new_leader_does_not_know_what_was_renewed_and_waits_for_the_grace() {
    for was_renewed in [false, true] {
        let (mut bench, key, _, worker, attempt) = two_of_a_session();
        if was_renewed {
            assert_eq!(status(&mut bench, worker, &attempt), RenewStatus::Ok);
        }
        bench.fail_over(1);
        stop(&mut bench, &key);
        bench.pass_ms(GRACE_MS - 1);
        assert!(bench.world.task(&key).live.is_some(), "another engine may have answered it");
        bench.pass_ms(1);
        assert!(bench.world.task(&key).live.is_none());
    }
}

#[test]
fn a_first_renewal_that_comes_after_the_stop_is_told_to_stop_and_does_not_delay_the_end() {
    let (mut bench, key, next, worker, attempt) = two_of_a_session();
    bench.failing = true;
    stop(&mut bench, &key);
    assert_eq!(status(&mut bench, worker, &attempt), RenewStatus::Cancel);
    bench.failing = false;
    bench.pass_ms(GRACE_MS / 2);
    assert_eq!(bench.lease_now(worker, 4)[0].task_id, next.task_id);
}
