//! Execution classes: how many attempts may live, and the health of each class.
//!
//! Failures are counted here, from the ends of attempts in the log; the consequence of too many is decided by the class
//! itself and recorded. A new leader counts from zero: at worst it gives a failing class as many more tries as its
//! threshold allows. Only errors and time-outs count. Lost and cancelled attempts and rate limits do not depend on the
//! class.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use capstan_contract::ClassCodec;
use capstan_decider::fold;
use capstan_domain::Requested;
use capstan_domain::class::{Class, Command, Health, State};
use capstan_domain::id::derived;
use capstan_domain::matching::WaitingReason;
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::event::{AttemptEnded, AttemptOutcome};
use capstan_envelope::{Codec as _, CodecError, Recorded};
use chrono::{DateTime, Utc};

use super::effect::{ClassKey, ClassOrder, Effect};
use super::outcome::ClassSettled;
use super::retry::{after_failure, parked};
use super::shared::Shared;

/// The classes with settings, or with failures.
#[derive(Debug, Default)]
pub(super) struct Classes {
    known: HashMap<ClassKey, KnownClass>,
    timers: BinaryHeap<Reverse<(DateTime<Utc>, ClassKey)>>,
}

/// A change of health that the attempts call for and that is not recorded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Degrade { failures: u32, at: DateTime<Utc> },
    Recover,
}

#[derive(Debug, Default)]
struct KnownClass {
    version: u64,
    state: State,
    /// Failures in a row, as this engine has seen them.
    failures: u32,
    verdict: Option<Verdict>,
    is_under_way: bool,
    not_before: Option<DateTime<Utc>>,
    tries: u32,
}

impl Classes {
    /// Takes a class as a snapshot or an order has it.
    pub(super) fn replace(&mut self, key: &ClassKey, version: u64, state: State, shared: &mut Shared) {
        self.known.entry(key.clone()).or_default().replace(version, state);
        self.apply(key, shared);
    }

    /// Takes a commit of a class from the log.
    pub(super) fn commit(
        &mut self,
        key: &ClassKey,
        recorded: &Recorded,
        shared: &mut Shared,
    ) -> Result<(), CodecError> {
        let events = ClassCodec::decode(&recorded.commit)?;
        let known = self.known.entry(key.clone()).or_default();
        if recorded.commit.version > known.version {
            let state = fold::<Class>(known.state.clone(), &events);
            known.replace(recorded.commit.version, state);
        }
        self.apply(key, shared);
        Ok(())
    }

    /// Takes the outcome of a command to a class.
    pub(super) fn settled(
        &mut self,
        order: &ClassOrder,
        outcome: ClassSettled,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let Some(known) = self.known.get_mut(&order.key) else { return };
        known.is_under_way = false;
        match outcome {
            ClassSettled::Decided { version, state } => {
                // A verdict that changed nothing is no longer true.
                known.verdict = None;
                known.not_before = Some(parked(now));
                known.replace(version, state);
            }
            ClassSettled::Failed { is_retryable } => {
                known.tries = known.tries.saturating_add(1);
                known.not_before = Some(after_failure(now, known.tries, is_retryable));
            }
        }
        self.apply(&order.key, shared);
    }

    /// Counts the end of an attempt of the class.
    pub(super) fn attempt_ended(
        &mut self,
        key: &ClassKey,
        ended: &AttemptEnded,
        shared: &mut Shared,
        now: DateTime<Utc>,
    ) {
        let is_failure = match (ended.outcome, ended.error_class) {
            (AttemptOutcome::Ok, _) => false,
            (AttemptOutcome::Error, Some(ErrorClass::RateLimited))
            | (AttemptOutcome::Lost | AttemptOutcome::Cancelled, _) => return,
            (AttemptOutcome::Error | AttemptOutcome::Timeout, _) => true,
        };
        if !is_failure && !self.known.contains_key(key) {
            return;
        }
        self.known.entry(key.clone()).or_default().count(is_failure, now);
        self.apply(key, shared);
    }

    /// Orders the commands that are due.
    pub(super) fn turn(&mut self, now: DateTime<Utc>) -> Vec<Effect> {
        let mut effects = Vec::new();
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, key))) = self.timers.pop() else { break };
            let Some(known) = self.known.get_mut(&key).filter(|known| known.due() == Some(at)) else {
                continue;
            };
            let Some((name, command)) = known.command() else { continue };
            known.is_under_way = true;
            let command = Requested { command, at: now };
            let version = known.version.to_string();
            let command_id = derived(&["engine", name, &key.workspace, &key.instance_key, &version]);
            effects.push(Effect::OrderClass(ClassOrder { key, command_id, name, command }));
        }
        effects
    }

    /// The instant [`Classes::turn`] has something to do.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Brings matching and the timer in line with the class.
    fn apply(&mut self, key: &ClassKey, shared: &mut Shared) {
        let Some(known) = self.known.get(key) else { return };
        shared.matching.set_class_limit(&key.workspace, &key.instance_key, known.limit());
        shared.matching.hold_class(&key.workspace, &key.instance_key, known.hold());
        shared.may_match = true;
        if let Some(due) = known.due() {
            self.timers.push(Reverse((due, key.clone())));
        }
    }
}

impl KnownClass {
    /// The instant a command is due.
    fn due(&self) -> Option<DateTime<Utc>> {
        let due = match (self.verdict, self.state.health) {
            _ if self.is_under_way => return None,
            (Some(_), _) => DateTime::<Utc>::MIN_UTC,
            (None, Health::Degraded { until, .. }) => until,
            (None, Health::Healthy | Health::HalfOpen) => return None,
        };
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    fn command(&self) -> Option<(&'static str, Command)> {
        match (self.verdict, self.state.health) {
            (Some(Verdict::Degrade { failures, .. }), _) => {
                Some(("degrade-class", Command::Degrade { failures }))
            }
            (Some(Verdict::Recover), _) => Some(("recover-class", Command::Recover)),
            (None, Health::Degraded { until, .. }) => Some(("probe-class", Command::Probe { until })),
            (None, Health::Healthy | Health::HalfOpen) => None,
        }
    }

    /// The reason no run of the class is matched, if none is.
    fn hold(&self) -> Option<WaitingReason> {
        if !self.state.active {
            return Some(WaitingReason::ClassInactive);
        }
        match (self.verdict, self.state.health) {
            // Until it is recorded nothing more is matched either: a probe is one try, not as many as fit in between.
            (Some(Verdict::Degrade { at, .. }), _) => Some(WaitingReason::ClassDegraded { until: at }),
            (Some(Verdict::Recover) | None, Health::Degraded { until, .. }) => {
                Some(WaitingReason::ClassDegraded { until })
            }
            (Some(Verdict::Recover) | None, Health::Healthy | Health::HalfOpen) => None,
        }
    }

    /// The number of attempts that may live.
    fn limit(&self) -> Option<u32> {
        match self.state.health {
            Health::HalfOpen => Some(1),
            Health::Healthy | Health::Degraded { .. } => self.state.desired_dispatch_concurrency,
        }
    }

    fn count(&mut self, is_failure: bool, now: DateTime<Utc>) {
        if self.verdict.is_some() {
            return;
        }
        match (self.state.health, is_failure) {
            // An attempt that began before the pause is no news.
            (Health::Degraded { .. }, _) => {}
            (Health::HalfOpen, false) => self.verdict = Some(Verdict::Recover),
            (Health::Healthy, false) => self.failures = 0,
            (Health::HalfOpen, true) => {
                self.failures = self.failures.saturating_add(1);
                self.verdict = Some(Verdict::Degrade { failures: self.failures, at: now });
            }
            (Health::Healthy, true) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.state.failed_attempt_threshold {
                    self.verdict = Some(Verdict::Degrade { failures: self.failures, at: now });
                }
            }
        }
    }

    fn replace(&mut self, version: u64, state: State) {
        if version <= self.version {
            return;
        }
        if self.state.health != Health::Healthy && state.health == Health::Healthy {
            self.failures = 0;
        }
        self.version = version;
        self.state = state;
        self.verdict = None;
        self.not_before = None;
        self.tries = 0;
    }
}
