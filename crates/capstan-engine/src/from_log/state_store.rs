//! States of tasks by number: the ones used last in memory, the others encoded in a temporary file that has no name and so
//! is gone with the process.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use capstan_domain::task::State;
use capstan_envelope::{Held, MemoryShare};
use lru::LruCache;

use crate::leader_error::LeaderError;

/// Bytes a state in memory takes beside its text.
const STATE_BYTES: usize = 3072;
/// Bytes of text from which on an estimate is replaced by a measurement.
const MEASURED_FROM: usize = 16 << 10;
/// Bytes written to the file at once.
const WRITE_BYTES: usize = 1 << 20;

/// A state, and the bytes of its text: an estimate that is not too low.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) state: State,
    pub(super) bytes: usize,
}

impl Stored {
    fn held_bytes(&self) -> usize {
        STATE_BYTES + self.bytes
    }
}

/// States of tasks by number.
pub(super) struct StateStore {
    hot: LruCache<u32, Stored>,
    /// Bytes of those, by an estimate, and most of them.
    held: Held,
    bytes_max: usize,
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
    /// An empty store, which keeps states in this share up to so many bytes.
    pub(super) fn new(share: &MemoryShare, bytes_max: usize) -> Result<Self, LeaderError> {
        Ok(Self {
            hot: LruCache::unbounded(),
            held: share.hold(0),
            bytes_max,
            cold: Vec::new(),
            file: tempfile::tempfile()?,
            written: 0,
            unwritten: Vec::new(),
        })
    }

    /// Stores the state of this number in place of an earlier one.
    pub(super) fn put(&mut self, number: u32, mut stored: Stored) -> Result<(), LeaderError> {
        if stored.bytes > MEASURED_FROM {
            stored.bytes = encoded(&stored.state)?.len();
        }
        if let Some(place) = self.cold.get_mut(number as usize) {
            *place = None;
        }
        self.held.add(stored.held_bytes());
        if let Some(before) = self.hot.put(number, stored) {
            self.held.remove(before.held_bytes());
        }
        while self.held.bytes() > self.bytes_max
            && let Some((number, stored)) = self.hot.pop_lru()
        {
            self.held.remove(stored.held_bytes());
            self.write(number, &encoded(&stored.state)?)?;
        }
        Ok(())
    }

    /// Takes the state of this number out.
    pub(super) fn take(&mut self, number: u32) -> Result<Option<Stored>, LeaderError> {
        if let Some(stored) = self.hot.pop(&number) {
            self.held.remove(stored.held_bytes());
            return Ok(Some(stored));
        }
        let Some(place) = self.cold.get_mut(number as usize).and_then(Option::take) else { return Ok(None) };
        let mut state = vec![0; place.length as usize];
        if place.offset < self.written {
            self.file.read_exact_at(&mut state, place.offset)?;
        } else {
            let from = (place.offset - self.written) as usize;
            state.copy_from_slice(&self.unwritten[from..from + place.length as usize]);
        }
        let bytes = state.len();
        let state = serde_json::from_slice(&state).map_err(LeaderError::State)?;
        Ok(Some(Stored { state, bytes }))
    }

    fn write(&mut self, number: u32, state: &[u8]) -> Result<(), LeaderError> {
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

fn encoded(state: &State) -> Result<Vec<u8>, LeaderError> {
    serde_json::to_vec(state).map_err(LeaderError::State)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use capstan_decider::{Decider as _, fold};
    use capstan_domain::agent;
    use capstan_domain::id::TaskId;
    use capstan_domain::task::command::{Accept, AcceptAgentCommand};
    use capstan_domain::task::{Command, TaskDecider};
    use uuid::Uuid;

    use super::*;

    fn accepted() -> State {
        let at = chrono::DateTime::UNIX_EPOCH;
        let agent = agent::Created::named("dev", "demo", "Demo", at);
        let command = AcceptAgentCommand { message: "x".into(), ..AcceptAgentCommand::default() };
        let accept = Command::Accept(Box::new(Accept::new(TaskId(Uuid::nil()), agent, command)));
        fold::<TaskDecider>(None, &TaskDecider::decide(&None, &accept.at(at)).unwrap())
    }

    /// The task with a message that tells a number and the round, of several lengths.
    fn numbered(task: &State, number: u32, round: u32) -> State {
        let mut task = task.clone();
        let Some(numbered) = &mut task else { panic!("a task was accepted") };
        let accepted = Arc::make_mut(&mut numbered.accepted);
        accepted.message = format!("{number} {round}{}", "x".repeat(number as usize % 7_000));
        task
    }

    #[test]
    fn a_state_comes_back_as_it_was_put_last_from_memory_and_file() {
        let (share, task) = (MemoryShare::new(8 << 20), accepted());
        let mut store = StateStore::new(&share, share.limit()).unwrap();
        let count = (2 * share.limit() / STATE_BYTES) as u32;
        for round in 0..2 {
            for number in 0..count {
                if round > 0 {
                    let before = store.take(number).unwrap().unwrap();
                    assert_eq!(before.state, numbered(&task, number, round - 1), "{number}");
                }
                let bytes = number as usize % 7_000;
                store.put(number, Stored { state: numbered(&task, number, round), bytes }).unwrap();
            }
            assert!(!share.is_exceeded(), "{} bytes", share.held());
            assert!(store.written > 0, "more than fits into memory was put");
        }
        assert!(store.take(count).unwrap().is_none());
        store.take(7).unwrap().unwrap();
        assert!(store.take(7).unwrap().is_none(), "it was taken out");
    }
}
