//! Execution classes: how many attempts may live, and whether the class is well.
//!
//! Failures are counted here, from the ends of attempts as the log tells them; what follows from too many is decided by
//! the class itself and recorded. A new leader counts from zero: at worst it gives a failing class as many more tries
//! as its threshold says. Only what the work did counts: errors and time-outs. Lost and cancelled attempts and rate limits
//! say nothing of the class.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use capstan_contract::ClassCodec;
use capstan_decider::fold;
use capstan_domain::class::{Class, Command, Degrade, Health, Probe, Recover, State};
use capstan_domain::id::derived;
use capstan_domain::matching::{Matching, WaitingReason};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::event::{AttemptEnded, AttemptOutcome};
use capstan_envelope::{Codec, CodecError, Recorded, StreamId};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::effect::Effect;
use super::tracked::{backoff, later};
use super::{PARKED_MS, Process};

/// Which class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassKey {
    /// Its workspace.
    pub workspace: Arc<str>,
    /// Its key inside the workspace.
    pub instance_key: Arc<str>,
}

/// A command to a class.
#[derive(Clone, Debug)]
pub struct ClassOrder {
    /// Which class.
    pub key: ClassKey,
    /// The same for the same intention, whoever has it and however often.
    pub command_id: Uuid,
    /// The command's name in commit metadata.
    pub name: &'static str,
    /// The command.
    pub command: Command,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// What became of a command to a class.
#[derive(Debug)]
pub enum ClassSettled {
    /// The class took it.
    Decided {
        /// Its version now.
        version: u64,
        /// The class now.
        state: State,
    },
    /// It could not be recorded; its fate may be unknown.
    Failed {
        /// True when a repeat may succeed.
        is_retryable: bool,
    },
}

/// What the attempts say and is not recorded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Degrade { failures: u32, at: DateTime<Utc> },
    Recover,
}

#[derive(Debug, Default)]
struct Known {
    version: u64,
    state: State,
    /// Failures in a row, as this engine has seen them.
    failures: u32,
    verdict: Option<Verdict>,
    is_under_way: bool,
    not_before: Option<DateTime<Utc>>,
    tries: u32,
}

/// The classes somebody spoke of, or that failed.
#[derive(Debug, Default)]
pub(super) struct Classes {
    known: HashMap<ClassKey, Known>,
    rings: BinaryHeap<Reverse<(DateTime<Utc>, ClassKey)>>,
}

impl Known {
    /// When the class wants something.
    fn due(&self) -> Option<DateTime<Utc>> {
        let due = match (self.verdict, self.state.health) {
            _ if self.is_under_way => return None,
            (Some(_), _) => DateTime::<Utc>::MIN_UTC,
            (None, Health::Degraded { until, .. }) => until,
            (None, Health::Healthy | Health::HalfOpen) => return None,
        };
        Some(self.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    fn command(&self, now: DateTime<Utc>) -> Option<(&'static str, Command)> {
        match (self.verdict, self.state.health) {
            (Some(Verdict::Degrade { failures, .. }), _) => {
                Some(("degrade-class", Command::Degrade(Degrade { failures, at: now })))
            }
            (Some(Verdict::Recover), _) => Some(("recover-class", Command::Recover(Recover { at: now }))),
            (None, Health::Degraded { until, .. }) => {
                Some(("probe-class", Command::Probe(Probe { until, at: now })))
            }
            (None, Health::Healthy | Health::HalfOpen) => None,
        }
    }

    /// Why nothing of the class is given out, when nothing is.
    fn hold(&self) -> Option<WaitingReason> {
        if !self.state.active {
            return Some(WaitingReason::ClassInactive);
        }
        match (self.verdict, self.state.health) {
            // Until it is recorded nothing more is given out either: a probe is one try, not as many as fit in between.
            (Some(Verdict::Degrade { at, .. }), _) => Some(WaitingReason::ClassDegraded { until: at }),
            (_, Health::Degraded { until, .. }) => Some(WaitingReason::ClassDegraded { until }),
            (_, Health::Healthy | Health::HalfOpen) => None,
        }
    }

    /// How many attempts may live.
    fn limit(&self) -> Option<u32> {
        match self.state.health {
            Health::HalfOpen => Some(1),
            Health::Healthy | Health::Degraded { .. } => self.state.desired_dispatch_concurrency,
        }
    }

    /// Takes note of how an attempt of the class ended.
    fn judge(&mut self, is_failure: bool, now: DateTime<Utc>) {
        if self.verdict.is_some() {
            return;
        }
        match (self.state.health, is_failure) {
            // What began before the pause says nothing new.
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

    fn take(&mut self, version: u64, state: State) {
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

impl Classes {
    /// When [`Process::ring_classes`] has something to do.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.rings.peek().map(|Reverse((at, _))| *at)
    }

    /// Brings matching and the timer in line with the class.
    fn follow(&mut self, key: &ClassKey, matching: &mut Matching) {
        let Some(known) = self.known.get(key) else { return };
        matching.set_class_limit(&key.workspace, &key.instance_key, known.limit());
        matching.hold_class(&key.workspace, &key.instance_key, known.hold());
        if let Some(due) = known.due() {
            self.rings.push(Reverse((due, key.clone())));
        }
    }
}

impl Process {
    /// Takes a class as a snapshot has it; commits after it follow.
    pub fn begin_with_class(&mut self, key: &ClassKey, version: u64, state: State) {
        self.classes.known.entry(key.clone()).or_default().take(version, state);
        self.classes.follow(key, &mut self.matching);
    }

    /// Takes a commit of a class from the log.
    pub(super) fn class_commit(&mut self, key: &ClassKey, recorded: &Recorded) -> Result<(), CodecError> {
        let events = recorded.commit.events.iter().map(ClassCodec::decode).collect::<Result<Vec<_>, _>>()?;
        let known = self.classes.known.entry(key.clone()).or_default();
        if recorded.commit.version > known.version {
            let state = fold::<Class>(known.state.clone(), &events);
            known.take(recorded.commit.version, state);
        }
        self.classes.follow(key, &mut self.matching);
        self.desk.has_news();
        Ok(())
    }

    /// Takes the outcome of a command to a class.
    pub fn class_settled(&mut self, order: &ClassOrder, outcome: ClassSettled, now: DateTime<Utc>) {
        let Some(known) = self.classes.known.get_mut(&order.key) else { return };
        known.is_under_way = false;
        match outcome {
            ClassSettled::Decided { version, state } => {
                // A verdict that changed nothing is no longer true; a timer that did must not ring for ever.
                known.verdict = None;
                known.not_before = Some(later(now, PARKED_MS));
                known.take(version, state);
            }
            ClassSettled::Failed { is_retryable } => {
                known.tries = known.tries.saturating_add(1);
                known.not_before =
                    Some(later(now, if is_retryable { backoff(known.tries) } else { PARKED_MS }));
            }
        }
        self.classes.follow(&order.key, &mut self.matching);
        self.desk.has_news();
    }

    /// Takes note of how an attempt ended.
    #[expect(clippy::needless_pass_by_value, reason = "the key is made for the class")]
    pub(super) fn judge_class(&mut self, key: ClassKey, ended: &AttemptEnded, now: DateTime<Utc>) {
        let is_failure = match (ended.outcome, ended.error_class) {
            (AttemptOutcome::Ok, _) => false,
            (AttemptOutcome::Error, Some(ErrorClass::RateLimited))
            | (AttemptOutcome::Lost | AttemptOutcome::Cancelled, _) => return,
            (AttemptOutcome::Error | AttemptOutcome::Timeout, _) => true,
        };
        if !is_failure && !self.classes.known.contains_key(&key) {
            return;
        }
        self.classes.known.entry(key.clone()).or_default().judge(is_failure, now);
        self.classes.follow(&key, &mut self.matching);
    }

    /// Sends the classes what is due.
    pub(super) fn ring_classes(&mut self, now: DateTime<Utc>) {
        while self.classes.rings.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((at, key))) = self.classes.rings.pop() else { break };
            let Some(known) = self.classes.known.get_mut(&key).filter(|known| known.due() == Some(at)) else {
                continue;
            };
            let Some((name, command)) = known.command(now) else { continue };
            known.is_under_way = true;
            let version = known.version.to_string();
            let command_id = derived(&["engine", name, &key.workspace, &key.instance_key, &version]);
            self.effects.push(Effect::OrderClass(ClassOrder { key, command_id, name, command, at: now }));
        }
    }
}

/// The class a stream holds; `None` for streams of other things.
pub fn class_key(stream: &StreamId) -> Option<ClassKey> {
    (stream.category() == ClassCodec::CATEGORY)
        .then(|| ClassKey { workspace: stream.workspace().as_str().into(), instance_key: stream.id().into() })
}
