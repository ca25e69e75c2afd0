//! Invariants of every run, read from its log alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use capstan_contract::TaskCodec;
use capstan_domain::id::AttemptId;
use capstan_domain::task::Event;
use capstan_engine::process::task_key;
use capstan_envelope::Codec as _;

use crate::world::World;

/// One task's history, as far as it matters here.
#[derive(Default)]
struct History {
    live: Option<AttemptId>,
    ended: HashSet<AttemptId>,
    /// Inputs, and whether an attempt has them.
    inputs: HashMap<u32, bool>,
    fired: HashSet<String>,
    spawned: HashSet<String>,
    is_cancelled: bool,
}

impl History {
    fn delivered(&mut self, input: u32) {
        assert_eq!(self.inputs.insert(input, true), Some(false), "an input is delivered once");
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::AttemptLeased(leased) => {
                assert!(!self.is_cancelled, "a cancelled task runs without a request");
                let before = self.live.replace(leased.attempt_id.clone());
                assert_eq!(before, None, "one attempt at a time");
            }
            Event::AttemptEnded(ended) => {
                assert_eq!(self.live.take().as_ref(), Some(&ended.attempt_id), "only the live attempt ends");
                assert!(self.ended.insert(ended.attempt_id.clone()), "an attempt ends once");
            }
            Event::AttemptStarted(started) => {
                assert_eq!(self.live.as_ref(), Some(&started.attempt_id), "a stale lease begins nothing");
            }
            Event::InputAccepted(input) => {
                assert_eq!(self.inputs.insert(input.seq, false), None, "an input is accepted once");
            }
            Event::InputConsumed(consumed) => {
                assert_eq!(self.live.as_ref(), Some(&consumed.attempt_id), "a stale lease consumes nothing");
                self.delivered(consumed.seq);
            }
            Event::WatchFired(fired) => {
                assert!(self.fired.insert(fired.fingerprint.clone()), "an external event fires once");
            }
            Event::SubtasksSpawned(spawned) => {
                assert!(self.spawned.insert(spawned.run_id.to_string()), "a plan is applied once");
            }
            Event::TaskCancelled(_) => self.is_cancelled = true,
            Event::RunRequested(run) => {
                assert!(run.reopens || !self.is_cancelled, "a cancelled task continues without a request");
                self.is_cancelled = false;
                for input in run.inputs.iter() {
                    self.delivered(input);
                }
            }
            _ => {}
        }
    }
}

/// Counts of the events the invariants are about.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) consumed: usize,
    pub(crate) fired: usize,
    pub(crate) spawned: usize,
}

/// Panics when the log violates an invariant.
pub(crate) fn hold(world: &World, seen: &mut Seen) {
    let mut histories = BTreeMap::<_, History>::new();
    for recorded in &world.log {
        let Some(key) = task_key(&recorded.commit.stream) else { continue };
        let history = histories.entry(key).or_default();
        for event in TaskCodec::decode(&recorded.commit).unwrap() {
            history.apply(&event);
        }
    }
    for (key, history) in &histories {
        let task = world.task(key);
        for input in history.inputs.iter().filter(|(_, is_delivered)| !**is_delivered).map(|(id, _)| id) {
            let is_there = task.inbox.iter().any(|kept| kept.seq == *input);
            assert!(is_there, "{key:?}: input {input} is neither delivered nor in the inbox");
        }
        seen.consumed += history.inputs.values().filter(|is_delivered| **is_delivered).count();
        seen.fired += history.fired.len();
        seen.spawned += history.spawned.len();
    }
}
