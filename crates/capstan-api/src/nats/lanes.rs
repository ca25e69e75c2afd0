//! The order of durable commands: those that name one entity run one after another, all others side by side.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Messages that wait for earlier ones of their lane. A lane without a message under way is not kept.
#[derive(Debug)]
pub(super) struct Lanes<K, M> {
    lanes: HashMap<K, VecDeque<M>>,
    waiting: usize,
}

impl<K, M> Default for Lanes<K, M> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), waiting: 0 }
    }
}

impl<K: Eq + Hash + Clone, M> Lanes<K, M> {
    /// Takes the next message of a lane. Answers it when it may run now; it runs until [`Lanes::done`].
    pub(super) fn arrive(&mut self, lane: &K, message: M) -> Option<M> {
        let Some(behind) = self.lanes.get_mut(lane) else {
            self.lanes.insert(lane.clone(), VecDeque::new());
            return Some(message);
        };
        behind.push_back(message);
        self.waiting += 1;
        None
    }

    /// Ends the message under way of a lane. Answers the one that runs next.
    pub(super) fn done(&mut self, lane: &K) -> Option<M> {
        let next = self.lanes.get_mut(lane)?.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(self.lanes.remove(lane)),
        }
        next
    }

    /// Number of messages that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The messages that wait, each lane's in order.
    pub(super) fn into_waiting(self) -> impl Iterator<Item = M> {
        self.lanes.into_values().flatten()
    }

    /// The messages that wait, each lane's in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &M> {
        self.lanes.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_lane_run_in_the_order_in_which_they_came_and_lanes_side_by_side() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.arrive(&"a", 1), Some(1));
        assert_eq!(lanes.arrive(&"a", 2), None);
        assert_eq!(lanes.arrive(&"b", 3), Some(3));
        assert_eq!(lanes.arrive(&"a", 4), None);
        assert_eq!((lanes.waiting(), lanes.iter().copied().collect::<Vec<_>>()), (2, vec![2, 4]));
        assert_eq!(lanes.done(&"b"), None);
        assert_eq!(lanes.done(&"a"), Some(2));
        assert_eq!(lanes.arrive(&"b", 5), Some(5), "its lane was empty");
        assert_eq!(lanes.done(&"a"), Some(4));
        assert_eq!(lanes.done(&"a"), None);
        assert_eq!((lanes.waiting(), lanes.lanes.len()), (0, 1));
        assert_eq!(lanes.done(&"unknown"), None);
    }
}
