//! Encoded states by number: the ones used last in memory, the others in a temporary file that has no name and so is gone
//! with the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use lru::LruCache;

/// Most bytes of states in memory.
const HOT_BYTES_MAX: usize = 16 << 20;
/// Bytes written to the file at once.
const WRITE_BYTES: usize = 1 << 20;

/// Encoded states by number.
pub(super) struct StateStore {
    hot: LruCache<u32, Box<[u8]>>,
    hot_bytes: usize,
    /// Places in the file, by number.
    cold: Vec<Option<Place>>,
    file: File,
    /// Bytes of the file, without `unwritten`.
    written: u64,
    unwritten: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
}

impl StateStore {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hot: LruCache::unbounded(),
            hot_bytes: 0,
            cold: Vec::new(),
            file: tempfile::tempfile()?,
            written: 0,
            unwritten: Vec::new(),
        })
    }

    /// Stores the state of this number in place of an earlier one.
    pub(super) fn put(&mut self, number: u32, state: &[u8]) -> io::Result<()> {
        if let Some(place) = self.cold.get_mut(number as usize) {
            *place = None;
        }
        self.hot_bytes += state.len();
        if let Some(before) = self.hot.put(number, state.into()) {
            self.hot_bytes -= before.len();
        }
        while self.hot_bytes > HOT_BYTES_MAX
            && let Some((number, state)) = self.hot.pop_lru()
        {
            self.hot_bytes -= state.len();
            self.write(number, &state)?;
        }
        Ok(())
    }

    /// Takes the state of this number out.
    pub(super) fn take(&mut self, number: u32) -> io::Result<Option<Box<[u8]>>> {
        if let Some(state) = self.hot.pop(&number) {
            self.hot_bytes -= state.len();
            return Ok(Some(state));
        }
        let Some(place) = self.cold.get_mut(number as usize).and_then(Option::take) else { return Ok(None) };
        let mut state = vec![0; place.length as usize];
        if place.offset < self.written {
            self.file.read_exact_at(&mut state, place.offset)?;
        } else {
            let from = (place.offset - self.written) as usize;
            state.copy_from_slice(&self.unwritten[from..from + place.length as usize]);
        }
        Ok(Some(state.into()))
    }

    fn write(&mut self, number: u32, state: &[u8]) -> io::Result<()> {
        let number = number as usize;
        if self.cold.len() <= number {
            self.cold.resize(number + 1, None);
        }
        let offset = self.written + self.unwritten.len() as u64;
        self.cold[number] = Some(Place { offset, length: state.len() as u32 });
        self.unwritten.extend_from_slice(state);
        if self.unwritten.len() >= WRITE_BYTES {
            self.file.write_all_at(&self.unwritten, self.written)?;
            self.written += self.unwritten.len() as u64;
            self.unwritten.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was_put_last_from_memory_and_file() {
        let mut store = StateStore::new().unwrap();
        let state = |number: u32, round: u8| vec![round ^ number as u8; 1_000 + number as usize % 7_000];
        for round in 0..3 {
            for number in 0..20_000 {
                if round > 0 {
                    let before = store.take(number).unwrap().unwrap();
                    assert_eq!(*before, *state(number, round - 1), "{number}");
                }
                store.put(number, &state(number, round)).unwrap();
            }
            assert!(store.hot_bytes <= HOT_BYTES_MAX);
            assert!(store.written > 0, "more than fits into memory was put");
        }
        assert_eq!(store.take(20_000).unwrap(), None);
        store.take(7).unwrap().unwrap();
        assert_eq!(store.take(7).unwrap(), None, "it was taken out");
    }
}
