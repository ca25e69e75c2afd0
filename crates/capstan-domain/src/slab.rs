//! Records in memory, found by key and named by a small number while they stay.
//!
//! A million records must grow without a moment at which they need twice their room: records lie in chunks that never
//! move, and the table of keys, which does move, holds four bytes a record. A number is given to another record once
//! its own is removed, so whoever keeps one forgets it with the record.

use std::hash::{BuildHasher as _, Hash, RandomState};

use hashbrown::HashTable;

/// Records of one chunk.
const CHUNK: usize = 1024;

/// A record that holds its own key.
pub trait Keyed {
    /// The key.
    type Key: Hash + Eq;

    /// Its key; never changes while the record is in a slab.
    fn key(&self) -> &Self::Key;
}

/// Records by key.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    /// Numbers without a record, below the end of the last chunk.
    free: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::default(),
        }
    }
}

fn place(number: u32) -> (usize, usize) {
    (number as usize / CHUNK, number as usize % CHUNK)
}

impl<T> Slab<T> {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// True without a record.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The number after the last one that was given to a record; never falls.
    pub fn end(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        (full + self.chunks.last().map_or(0, Vec::len)) as u32
    }

    /// The record of this number.
    pub fn get(&self, number: u32) -> Option<&T> {
        let (chunk, at) = place(number);
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }

    /// The record of this number, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (chunk, at) = place(number);
        self.chunks.get_mut(chunk)?.get_mut(at)?.as_mut()
    }

    /// All records, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten().flatten()
    }

    /// All records, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten().flatten()
    }
}

impl<T: Keyed> Slab<T> {
    /// The number of the record with this key.
    pub fn number(&self, key: &T::Key) -> Option<u32> {
        let is_it = |number: &u32| self.get(*number).is_some_and(|record| record.key() == key);
        self.numbers.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// The record with this key.
    pub fn find(&self, key: &T::Key) -> Option<&T> {
        self.get(self.number(key)?)
    }

    /// The record with this key, to be changed.
    pub fn find_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        self.get_mut(self.number(key)?)
    }

    /// Adds a record whose key is new; its number.
    pub fn insert(&mut self, record: T) -> u32 {
        let hash = self.hasher.hash_one(record.key());
        let number = if let Some(number) = self.free.pop() {
            number
        } else {
            if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                self.chunks.push(Vec::with_capacity(CHUNK));
            }
            let before = (self.chunks.len() - 1) * CHUNK;
            let last = &mut self.chunks[before / CHUNK];
            last.push(None);
            (before + last.len() - 1) as u32
        };
        let (chunk, at) = place(number);
        self.chunks[chunk][at] = Some(record);
        let Self { chunks, numbers, hasher, .. } = self;
        let rehash = |number: &u32| {
            let (chunk, at) = place(*number);
            chunks[chunk][at].as_ref().map_or(0, |record| hasher.hash_one(record.key()))
        };
        numbers.insert_unique(hash, number, rehash);
        number
    }

    /// Removes the record with this key.
    pub fn remove(&mut self, key: &T::Key) -> Option<T> {
        let Self { chunks, free, numbers, hasher } = self;
        let is_it = |number: &u32| {
            let (chunk, at) = place(*number);
            chunks[chunk][at].as_ref().is_some_and(|record| record.key() == key)
        };
        let found = numbers.find_entry(hasher.hash_one(key), is_it).ok()?;
        let (number, _) = found.remove();
        free.push(number);
        let (chunk, at) = place(number);
        chunks[chunk][at].take()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Pair(u16, u8);

    impl Keyed for Pair {
        type Key = u16;

        fn key(&self) -> &u16 {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(steps in prop::collection::vec((0..3_000_u16, any::<u8>(), any::<bool>()), 0..6_000)) {
            let (mut slab, mut map) = (Slab::default(), HashMap::new());
            for (key, value, stays) in steps {
                prop_assert_eq!(slab.remove(&key), map.remove(&key));
                if stays {
                    let number = slab.insert(Pair(key, value));
                    map.insert(key, Pair(key, value));
                    prop_assert_eq!((slab.number(&key), slab.get(number)), (Some(number), map.get(&key)));
                }
                prop_assert_eq!((slab.len(), slab.find(&key)), (map.len(), map.get(&key)));
            }
            let held: HashMap<u16, Pair> = slab.iter().map(|pair| (pair.0, pair.clone())).collect();
            prop_assert_eq!(held, map);
        }
    }

    #[test]
    fn a_number_stays_while_the_record_does() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..5_000).map(|key| slab.insert(Pair(key, 0))).collect();
        for key in (0..5_000).step_by(2) {
            slab.remove(&key);
        }
        for key in (1..5_000).step_by(2) {
            assert_eq!(slab.get(numbers[usize::from(key)]), Some(&Pair(key, 0)));
        }
        assert!(numbers.contains(&slab.insert(Pair(0, 1))), "the room of a removed record is used again");
    }
}
