//! Places for calls of endpoints: as many as may be under way, and of one workspace a share of them.
//!
//! A try is claimed for a time that begins with the claim, so only a call that has a place is claimed. The workspaces whose
//! calls wait take turns, whatever the number of their calls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use capstan_domain::matching::StreamKey;

/// Most calls under way at once.
pub(super) const CALLS_MAX: usize = 256;
/// Most of them of one workspace, so that slow endpoints of one keep no other waiting.
pub(super) const OF_WORKSPACE_MAX: usize = 64;

/// The places of calls, and the calls that wait for one.
#[derive(Debug, Default)]
pub(super) struct ToolPlaces {
    calls: HashMap<StreamKey, Place>,
    held: usize,
    workspaces: HashMap<Arc<str>, OfWorkspace>,
    /// Workspaces with a call that waits and less than their share, by their turns.
    lined_up: BTreeSet<(u64, Arc<str>)>,
    /// Number of turns and of calls that waited so far.
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Held,
    /// Its number among those that wait.
    Waiting(u64),
}

#[derive(Debug)]
struct OfWorkspace {
    held: usize,
    /// In the order of their arrival.
    waiting: BTreeMap<u64, StreamKey>,
    /// The last time it was given a place, or came.
    turn: u64,
}

impl ToolPlaces {
    /// True when the call of the task has a place.
    pub(super) fn holds(&self, key: &StreamKey) -> bool {
        self.calls.get(key) == Some(&Place::Held)
    }

    /// True when the call of the task waits for one.
    pub(super) fn waits(&self, key: &StreamKey) -> bool {
        matches!(self.calls.get(key), Some(Place::Waiting(_)))
    }

    /// True when the call of the task has a place or waits for one.
    pub(super) fn knows(&self, key: &StreamKey) -> bool {
        self.calls.contains_key(key)
    }

    /// Lines up the call of a task, unless it has a place or waits already. [`Self::next`] gives the place.
    pub(super) fn ask(&mut self, key: &StreamKey) {
        if self.knows(key) {
            return;
        }
        self.count += 1;
        let number = self.count;
        let fresh = || OfWorkspace { held: 0, waiting: BTreeMap::new(), turn: number };
        let workspace = self.workspaces.entry(Arc::clone(&key.workspace)).or_insert_with(fresh);
        workspace.waiting.insert(number, key.clone());
        self.calls.insert(key.clone(), Place::Waiting(number));
        self.line_up(&key.workspace);
    }

    /// Gives the next place; the task whose call has it now. None when none is free, or nobody waits who may have one.
    pub(super) fn next(&mut self) -> Option<StreamKey> {
        if self.held >= CALLS_MAX {
            return None;
        }
        let (_, name) = self.lined_up.pop_first()?;
        let workspace = self.workspaces.get_mut(&name)?;
        let (_, key) = workspace.waiting.pop_first()?;
        self.count += 1;
        workspace.turn = self.count;
        workspace.held += 1;
        self.held += 1;
        self.calls.insert(key.clone(), Place::Held);
        self.line_up(&name);
        Some(key)
    }

    /// Takes the call of a task away: its place is free, or it waits no longer.
    pub(super) fn leave(&mut self, key: &StreamKey) {
        let Some(place) = self.calls.remove(key) else { return };
        let Some(workspace) = self.workspaces.get_mut(&key.workspace) else { return };
        match place {
            Place::Held => {
                workspace.held -= 1;
                self.held -= 1;
            }
            Place::Waiting(number) => {
                workspace.waiting.remove(&number);
            }
        }
        self.line_up(&key.workspace);
    }

    /// Lets the workspace take part in the turns if it may be given a place, and forgets one that has no calls.
    fn line_up(&mut self, name: &Arc<str>) {
        let Some(workspace) = self.workspaces.get(name) else { return };
        let turn = (workspace.turn, Arc::clone(name));
        if workspace.held < OF_WORKSPACE_MAX && !workspace.waiting.is_empty() {
            self.lined_up.insert(turn);
        } else {
            self.lined_up.remove(&turn);
        }
        if workspace.held == 0 && workspace.waiting.is_empty() {
            self.workspaces.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use capstan_domain::id::TaskId;
    use uuid::Uuid;

    use super::*;

    fn key(workspace: &str, number: usize) -> StreamKey {
        StreamKey::new(workspace, TaskId(Uuid::from_u128(number as u128)))
    }

    fn given(places: &mut ToolPlaces) -> Vec<StreamKey> {
        std::iter::from_fn(|| places.next()).collect()
    }

    #[test]
    fn one_workspace_has_no_more_than_its_share_and_all_together_no_more_than_there_are() {
        let mut places = ToolPlaces::default();
        for workspace in 0..6 {
            for number in 0..1_000 {
                places.ask(&key(&format!("w{workspace}"), number));
            }
        }
        assert_eq!(given(&mut places).len(), CALLS_MAX);
        let mut alone = ToolPlaces::default();
        (0..1_000).for_each(|number| alone.ask(&key("a", number)));
        let first = given(&mut alone);
        assert_eq!(first, (0..OF_WORKSPACE_MAX).map(|number| key("a", number)).collect::<Vec<_>>());
        // Another one is given places although a thousand calls came before its own.
        (0..2).for_each(|number| alone.ask(&key("b", number)));
        assert_eq!(given(&mut alone), [key("b", 0), key("b", 1)]);
    }

    #[test]
    fn workspaces_take_turns_whatever_the_number_of_their_calls() {
        let mut places = ToolPlaces::default();
        for workspace in ["a", "b", "c", "d", "e"] {
            (0..OF_WORKSPACE_MAX).for_each(|number| places.ask(&key(workspace, number)));
        }
        let held = given(&mut places);
        (0..100).for_each(|number| places.ask(&key("late", number)));
        let mut next = Vec::new();
        for key in held.iter().filter(|key| &*key.workspace == "a").take(12) {
            places.leave(key);
            next.extend(given(&mut places));
        }
        let count = |name: &str| next.iter().filter(|key| &*key.workspace == name).count();
        assert_eq!(next.len(), 12);
        for name in ["a", "b", "c", "d", "e", "late"] {
            assert_eq!(count(name), 2, "{name} of {next:?}");
        }
    }

    #[test]
    fn a_call_is_lined_up_once_and_leaves_nothing_behind() {
        let mut places = ToolPlaces::default();
        for number in 0..OF_WORKSPACE_MAX + 2 {
            (0..3).for_each(|_| places.ask(&key("a", number)));
        }
        assert_eq!(given(&mut places).len(), OF_WORKSPACE_MAX);
        assert!(places.holds(&key("a", 0)) && places.waits(&key("a", OF_WORKSPACE_MAX)));
        places.leave(&key("a", OF_WORKSPACE_MAX));
        places.leave(&key("a", 0));
        assert_eq!(given(&mut places), [key("a", OF_WORKSPACE_MAX + 1)]);
        for number in 0..OF_WORKSPACE_MAX + 2 {
            (0..2).for_each(|_| places.leave(&key("a", number)));
        }
        assert_eq!((places.held, places.calls.len()), (0, 0));
        assert!(places.workspaces.is_empty() && places.lined_up.is_empty());
    }
}
