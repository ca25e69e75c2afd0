//! A task that is begun with: enough of it to wait, run and end in time, not enough to execute it.

use std::sync::Arc;

use capstan_domain::task::State;

/// The state of a task with a reduced acceptance. It becomes facts and an entry of matching and nothing else: whoever
/// needs the task itself loads it.
#[derive(Clone, Debug)]
pub struct ReducedTask {
    /// Commits it holds.
    pub(super) version: u64,
    pub(super) state: State,
}

impl ReducedTask {
    /// Reduces the state of a task.
    pub fn new(version: u64, mut state: State) -> Self {
        if let Some(task) = &mut state {
            task.accepted = Arc::new(task.accepted.reduced());
        }
        Self { version, state }
    }

    /// The state.
    pub(crate) fn into_state(self) -> State {
        self.state
    }

    /// Takes a state whose acceptance was reduced before it was stored, or may as well be whole: nothing of it is kept.
    pub fn of_stored(version: u64, state: State) -> Self {
        Self { version, state }
    }
}
