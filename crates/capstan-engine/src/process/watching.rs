//! Watches: finds the tasks an external event concerns. The effect of the event is decided by each task itself, so an
//! index that is a little behind or ahead does no harm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use capstan_domain::id::TaskId;
use capstan_domain::matching::StreamKey;
use capstan_domain::span::later;
use capstan_envelope::Position;
use chrono::{DateTime, Utc};

use super::effect::{CallId, Effect};
use super::facts::TaskFacts;
use super::tasks::Tasks;
use crate::protocol::{Answer, SourceKeys};

/// Longest time a question waits for the engine to reach the position its caller has seen, in milliseconds.
const WAIT_MS_MAX: i64 = 3_000;
/// Most ancestors of a task that are looked at.
const DEPTH_MAX: usize = 64;

/// A key of the index: workspace, integration, correlation key.
type Place = (Arc<str>, Box<str>, Box<str>);

/// A question that is ahead of the log as this engine has read it.
#[derive(Debug)]
struct Early {
    call: CallId,
    keys: SourceKeys,
    until: DateTime<Utc>,
}

/// The watches of the tasks in memory.
#[derive(Debug, Default)]
pub(super) struct Watching {
    tasks: HashMap<Place, BTreeSet<TaskId>>,
    places: HashMap<StreamKey, Vec<Place>>,
    early: Vec<Early>,
    reached: Position,
}

impl Watching {
    /// Follows a new state of a task.
    pub(super) fn observe(&mut self, key: &StreamKey, facts: Option<&TaskFacts>) {
        for place in self.places.remove(key).unwrap_or_default() {
            if let Some(tasks) = self.tasks.get_mut(&place) {
                tasks.remove(&key.task_id);
                if tasks.is_empty() {
                    self.tasks.remove(&place);
                }
            }
        }
        let mut places = Vec::new();
        for watch in facts.into_iter().flat_map(|facts| &facts.rare().watches) {
            for watched in &watch.keys {
                let place = (Arc::clone(&key.workspace), watch.integration.clone(), watched.clone());
                self.tasks.entry(place.clone()).or_default().insert(key.task_id);
                places.push(place);
            }
        }
        if !places.is_empty() {
            self.places.insert(key.clone(), places);
        }
    }

    /// Notes the position this engine has read the log to.
    pub(super) fn reach(&mut self, position: Position) {
        self.reached = self.reached.later_of(position);
    }

    /// Takes a question for the tasks that watch for some keys; [`Watching::turn`] answers it.
    pub(super) fn ask(&mut self, call: CallId, keys: SourceKeys, now: DateTime<Utc>) {
        self.early.push(Early { call, keys, until: later(now, WAIT_MS_MAX) });
    }

    /// Answers the questions the log has caught up with, and those that waited for too long.
    pub(super) fn turn(&mut self, tasks: &Tasks, now: DateTime<Utc>) -> Vec<Effect> {
        let reached = self.reached;
        let is_ready = |early: &mut Early| reached.reaches(early.keys.position) || early.until <= now;
        let ready: Vec<_> = self.early.extract_if(.., is_ready).collect();
        let answer = |Early { call, keys, .. }| {
            let found = self.watchers(&keys, tasks);
            Effect::Answer(call, Answer::Watchers(found))
        };
        ready.into_iter().map(answer).collect()
    }

    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.early.iter().map(|early| early.until).min()
    }

    /// The tasks that watch for each key. A child that watches for the same key as its parent takes its place.
    fn watchers(&self, asked: &SourceKeys, tasks: &Tasks) -> BTreeMap<String, Vec<TaskId>> {
        let workspace: Arc<str> = asked.workspace.as_str().into();
        let stream = |task_id: TaskId| StreamKey { workspace: Arc::clone(&workspace), task_id };
        let matches = |task_id: &TaskId, key: &str| {
            tasks.facts(&stream(*task_id)).is_some_and(|facts| {
                let event_type = asked.event_type.as_deref();
                facts.rare().watches.iter().any(|watch| watch.matches(&asked.integration, event_type, key))
            })
        };
        let parent = |task_id: &TaskId| tasks.facts(&stream(*task_id))?.parent();
        let find = |key: &String| {
            let place: Place =
                (Arc::clone(&workspace), asked.integration.as_str().into(), key.as_str().into());
            let watching = self.tasks.get(&place).into_iter().flatten().copied();
            let candidates: BTreeSet<TaskId> = watching.filter(|task_id| matches(task_id, key)).collect();
            let ancestors = |task_id| std::iter::successors(parent(task_id), parent).take(DEPTH_MAX);
            let ancestors: BTreeSet<TaskId> = candidates.iter().flat_map(ancestors).collect();
            (key.clone(), candidates.difference(&ancestors).copied().collect::<Vec<_>>())
        };
        asked.correlation_keys.iter().map(find).collect()
    }
}
