//! Numbers of tasks in an order.
//!
//! The order follows from the records of the tasks, which the list does not hold: it costs some eight bytes a task where
//! a set of ranks costs eighty. Whoever changes a task's rank takes it out first.

use std::cmp::Ordering;

/// Numbers of one chunk at most; a full one is split.
const CHUNK: usize = 256;

/// Numbers of tasks, each once, in an order its user knows and hands over with every change.
#[derive(Debug, Default)]
pub(super) enum Ranked {
    #[default]
    Empty,
    One(u32),
    /// Two or more, in chunks that are not empty.
    Many(Box<Chunks>),
}

/// Chunks of numbers. Behind a box, since most lists have one number at most.
#[derive(Debug)]
pub(super) struct Chunks(Vec<Vec<u32>>);

impl Ranked {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(super) fn first(&self) -> Option<u32> {
        match self {
            Self::Empty => None,
            Self::One(number) => Some(*number),
            Self::Many(chunks) => chunks.0.first()?.first().copied(),
        }
    }

    /// Adds a number that is not there.
    pub(super) fn insert(&mut self, number: u32, order: impl Fn(u32, u32) -> Ordering) {
        let chunks = match self {
            Self::Empty => {
                *self = Self::One(number);
                return;
            }
            Self::One(other) => {
                let mut both = vec![*other, number];
                both.sort_by(|a, b| order(*a, *b));
                *self = Self::Many(Box::new(Chunks(vec![both])));
                return;
            }
            Self::Many(chunks) => &mut chunks.0,
        };
        let at = chunk_of(chunks, number, &order).min(chunks.len() - 1);
        let chunk = &mut chunks[at];
        let place = chunk.partition_point(|other| order(*other, number).is_lt());
        chunk.insert(place, number);
        if chunk.len() > CHUNK {
            let upper = chunk.split_off(CHUNK / 2);
            chunks.insert(at + 1, upper);
        }
    }

    /// Takes a number out, if it is there.
    pub(super) fn remove(&mut self, number: u32, order: impl Fn(u32, u32) -> Ordering) {
        let chunks = match self {
            Self::Empty => return,
            Self::One(other) => {
                if *other == number {
                    *self = Self::Empty;
                }
                return;
            }
            Self::Many(chunks) => &mut chunks.0,
        };
        let at = chunk_of(chunks, number, &order);
        let Some(chunk) = chunks.get_mut(at) else { return };
        let place = chunk.partition_point(|other| order(*other, number).is_lt());
        if chunk.get(place) != Some(&number) {
            return;
        }
        chunk.remove(place);
        // A chunk that is nearly empty goes into its neighbour.
        let left = chunk.len();
        let next = chunks.get(at + 1).map_or(CHUNK, Vec::len);
        if left == 0 {
            chunks.remove(at);
        } else if left + next <= CHUNK / 2 {
            let next = chunks.remove(at + 1);
            chunks[at].extend(next);
        }
        if let [only] = chunks.as_slice()
            && let [number] = only.as_slice()
        {
            *self = Self::One(*number);
        }
    }
}

/// The chunk a number belongs to: the first that does not end before it.
fn chunk_of(chunks: &[Vec<u32>], number: u32, order: &impl Fn(u32, u32) -> Ordering) -> usize {
    chunks.partition_point(|chunk| chunk.last().is_some_and(|last| order(*last, number).is_lt()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(steps in prop::collection::vec((0..2_000_u32, any::<bool>()), 0..4_000)) {
            // The order is not that of the numbers.
            let rank = |number: u32| (number % 7, number);
            let order = |a: u32, b: u32| rank(a).cmp(&rank(b));
            let (mut ranked, mut set) = (Ranked::default(), BTreeSet::new());
            for (number, enters) in steps {
                if enters && set.insert(rank(number)) {
                    ranked.insert(number, order);
                } else if !enters {
                    ranked.remove(number, order);
                    set.remove(&rank(number));
                }
                prop_assert_eq!(ranked.first(), set.first().map(|(_, number)| *number));
                prop_assert_eq!(ranked.is_empty(), set.is_empty());
            }
            while let Some(first) = ranked.first() {
                prop_assert_eq!(set.pop_first().map(|(_, number)| number), Some(first));
                ranked.remove(first, order);
            }
            prop_assert!(set.is_empty());
        }
    }
}
