//! The fence of an attempt: its worker executes it once its lease was renewed. Each message of the protocol is lost, late and
//! doubled in turn; an attempt is executed at most once, and what it was told is lost by none.

use std::collections::BTreeMap;

use capstan_contract::lease::{LeasedAttempt, RenewStatus};
use capstan_domain::id::{AttemptId, WorkerId};
use capstan_domain::matching::StreamKey;
use capstan_domain::task::TaskState;
use capstan_domain::task::command::ReportedOutcome::Ok;

use crate::bench::Bench;
use crate::commands::{Birth, finish};
use crate::world::LEASE_MS;

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
