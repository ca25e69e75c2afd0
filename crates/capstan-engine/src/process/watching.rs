//! Who watches for what: finds the tasks an event outside concerns. What becomes of the event is decided by each task
//! itself, so an index that is a little behind or ahead does no harm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use capstan_domain::id::TaskId;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::Task;
use capstan_envelope::Position;
use chrono::{DateTime, Utc};

use super::tracked::later;
use super::{CallId, Process};
use crate::protocol::{Answer, SourceKeys};

/// How long a question waits for the engine to have read what its caller has seen, in milliseconds.
const PATIENCE_MS: i64 = 3_000;

/// A place to look: workspace, integration, key.
type Place = (Arc<str>, String, String);

/// The watches of the tasks in memory.
#[derive(Debug, Default)]
pub(super) struct Watching {
    tasks: HashMap<Place, BTreeSet<TaskId>>,
    places: HashMap<Arc<StreamKey>, Vec<Place>>,
    /// Questions that are ahead of the log as this engine has read it.
    early: Vec<(CallId, SourceKeys, DateTime<Utc>)>,
    reached: Position,
}

impl Watching {
    /// Follows a new state of a task.
    pub(super) fn observe(&mut self, key: &Arc<StreamKey>, task: Option<&Task>) {
        let watches = task.map(|task| &task.watches).filter(|watches| !watches.is_empty());
        if watches.is_none() && !self.places.contains_key(key) {
            return;
        }
        for place in self.places.remove(key).unwrap_or_default() {
            if let Some(tasks) = self.tasks.get_mut(&place) {
                tasks.remove(&key.task_id);
                if tasks.is_empty() {
                    self.tasks.remove(&place);
                }
            }
        }
        let Some(watches) = watches else { return };
        let workspace: Arc<str> = key.workspace.as_ref().into();
        let mut places = Vec::new();
        for watch in watches.values() {
            for watched in watch.keys() {
                let place = (Arc::clone(&workspace), watch.integration.clone(), watched.to_owned());
                self.tasks.entry(place.clone()).or_default().insert(key.task_id);
                places.push(place);
            }
        }
        self.places.insert(Arc::clone(key), places);
    }

    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.early.iter().map(|(_, _, until)| *until).min()
    }
}

impl Process {
    /// Takes note of how far the log was read, and answers the questions that waited for it.
    pub(super) fn reach(&mut self, position: Position, now: DateTime<Utc>) {
        self.watching.reached = self.watching.reached.max(position);
        self.answer_early(now);
    }

    /// Answers the questions the log has caught up with, and those that waited for too long.
    pub(super) fn answer_early(&mut self, now: DateTime<Utc>) {
        let reached = self.watching.reached;
        let (ready, early) = std::mem::take(&mut self.watching.early)
            .into_iter()
            .partition(|(_, keys, until)| keys.position <= reached || *until <= now);
        self.watching.early = early;
        let ready: Vec<(CallId, SourceKeys, DateTime<Utc>)> = ready;
        for (call, keys, _) in ready {
            let found = self.watchers(&keys);
            self.answer(call, Answer::Watchers(found));
        }
    }

    pub(super) fn ask_watchers(&mut self, call: CallId, keys: SourceKeys, now: DateTime<Utc>) {
        self.watching.early.push((call, keys, later(now, PATIENCE_MS)));
        self.answer_early(now);
    }

    /// The tasks that watch for each key. A child that watches for the same as its parent is told instead of it.
    fn watchers(&self, asked: &SourceKeys) -> BTreeMap<String, Vec<TaskId>> {
        let workspace: Arc<str> = asked.workspace.as_str().into();
        let of_key = |key: &String| {
            let place = (Arc::clone(&workspace), asked.integration.clone(), key.clone());
            let candidates: BTreeSet<TaskId> = self
                .watching
                .tasks
                .get(&place)
                .into_iter()
                .flatten()
                .copied()
                .filter(|task| self.takes(&asked.workspace, *task, asked, key))
                .collect();
            let elders: BTreeSet<TaskId> =
                candidates.iter().flat_map(|task| self.elders(&asked.workspace, *task)).collect();
            let chosen = candidates.difference(&elders).copied().collect::<Vec<_>>();
            (key.clone(), chosen)
        };
        asked.correlation_keys.iter().map(of_key).collect()
    }

    fn takes(&self, workspace: &str, task: TaskId, asked: &SourceKeys, key: &str) -> bool {
        let task =
            self.tasks.get(&StreamKey::new(workspace, task)).and_then(|tracked| tracked.task.as_deref());
        task.is_some_and(|task| {
            task.watches.values().any(|watch| {
                watch.integration == asked.integration
                    && watch.takes(asked.event_type.as_deref())
                    && watch.keys().any(|watched| watched == key)
            })
        })
    }

    /// Its parent, the parent of that, and so on, as far as they are in memory.
    fn elders(&self, workspace: &str, task: TaskId) -> Vec<TaskId> {
        let parent_of = |id: &TaskId| {
            let tracked = self.tasks.get(&StreamKey::new(workspace, *id))?;
            tracked.task.as_deref()?.accepted.parent_task_id
        };
        std::iter::successors(parent_of(&task), parent_of).take(64).collect()
    }
}
