//! Startup from the log alone: where the read models are away or far behind, everything is folded from its beginning.
//!
//! Only facts stay in memory, and folding needs more than facts: the reduced states of the tasks that are open lie in a
//! [`StateStore`] meanwhile, a few in memory and the others in a temporary file. Tasks that are at rest leave both. One
//! that is set in motion again later is loaded at the end.
//!
//! Three steps go side by side: the log is read, its commits are decoded on one thread and folded on another.

mod state_store;

use std::sync::Arc;

use capstan_contract::TaskCodec;
use capstan_decider::fold;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::{Event, State, TaskDecider};
use capstan_envelope::{Codec as _, CodecError, Position, Recorded};
use capstan_eventlog::{ReadError, ScannedCommit};
use tokio::sync::mpsc;

use crate::clock::now;
use crate::dependencies::Dependencies;
use crate::leader_error::LeaderError;
use crate::process::{Process, ReducedTask, task_key};
use crate::unreadable::pass_over;
use state_store::{StateStore, Stored};

/// Portions of the log that wait for each of the two steps after reading.
const PORTIONS_AHEAD: usize = 2;
/// Part of the memory that commits on their way from the server take. Portions that are decoded and wait have as much.
const AHEAD_PART: usize = 4;
/// Part of the memory that states of open tasks take before they are put into the file.
const STATES_PART: usize = 2;

/// Folds the log into the process; the position of the last commit.
pub(crate) async fn fold_log(
    dependencies: &Dependencies,
    process: Process,
) -> Result<(Process, Position), LeaderError> {
    let end = dependencies.log.head().await?;
    let share = dependencies.config.start.clone();
    let mut scan = dependencies.log.scan(Position::START, end, share.limit() / AHEAD_PART).await?;
    let (scanned, mut to_decode) = mpsc::channel::<Vec<ScannedCommit>>(PORTIONS_AHEAD);
    let (decoded, mut to_fold) = mpsc::channel::<Vec<Decoded>>(PORTIONS_AHEAD);
    let decoding = tokio::task::spawn_blocking(move || {
        while let Some(commits) = to_decode.blocking_recv() {
            let portion = commits.iter().map(Decoded::from_scanned).collect::<Result<_, _>>()?;
            // Fails when the fold has failed, which tells why.
            if decoded.blocking_send(portion).is_err() {
                break;
            }
        }
        Ok::<_, LeaderError>(())
    });
    let folding = tokio::task::spawn_blocking(move || {
        let store = StateStore::new(&share, share.limit() / STATES_PART)?;
        let mut fold = LogFold { process, store };
        while let Some(commits) = to_fold.blocking_recv() {
            for commit in commits {
                fold.take(commit)?;
            }
        }
        Ok::<_, LeaderError>(fold.process)
    });
    while let Some(commits) = scan.next().await? {
        // Fails when decoding has failed or ended, and one of the two tells why.
        if scanned.send(commits).await.is_err() {
            break;
        }
    }
    drop(scanned);
    decoding.await.map_err(LeaderError::Panicked)??;
    let process = folding.await.map_err(LeaderError::Panicked)??;
    Ok((process, end))
}

/// A decoded commit.
enum Decoded {
    Task(TaskCommit),
    Unreadable(Box<Recorded>, CodecError),
    Other(Box<Recorded>),
}

/// A commit of a task.
struct TaskCommit {
    key: StreamKey,
    position: Position,
    version: u64,
    events: Vec<Event>,
    /// The state it carries forward.
    carried: Option<State>,
    /// Bytes of its stored text.
    bytes: usize,
}

impl Decoded {
    fn from_scanned(scanned: &ScannedCommit) -> Result<Self, ReadError> {
        let raw = scanned.raw();
        let recorded = raw.decode()?;
        let Some(key) = task_key(&recorded.commit.stream) else { return Ok(Self::Other(recorded.into())) };
        let read = || {
            // A state of a newer build may look malformed to this one: its codec tells them apart.
            let events = TaskCodec::decode(&recorded.commit)?;
            let carried = recorded.commit.carried()?.map(|carried| carried.state::<State>()).transpose()?;
            Ok::<_, CodecError>((events, carried))
        };
        Ok(match read() {
            Ok((events, carried)) => {
                let (position, version) = (recorded.position, recorded.commit.version);
                Self::Task(TaskCommit { key, position, version, events, carried, bytes: raw.payload.len() })
            }
            Err(error) => Self::Unreadable(recorded.into(), error),
        })
    }
}

/// A process, and what it takes to fold further commits into it.
struct LogFold {
    process: Process,
    store: StateStore,
}

impl LogFold {
    fn take(&mut self, commit: Decoded) -> Result<(), LeaderError> {
        match commit {
            Decoded::Task(commit) => self.task_commit(&commit),
            Decoded::Unreadable(recorded, error) => pass_over(&recorded, error),
            Decoded::Other(recorded) => {
                self.process.commit(&recorded, None, now()).or_else(|error| pass_over(&recorded, error))
            }
        }
    }

    fn task_commit(&mut self, commit: &TaskCommit) -> Result<(), LeaderError> {
        let TaskCommit { key, version, events, bytes, carried, .. } = commit;
        if let Some(state) = carried {
            return self.recall(commit, ReducedTask::new(*version, state.clone()), *bytes);
        }
        let before = match self.process.place(key) {
            Some(_) | None if *version == 1 => Some(Stored::default()),
            Some((number, known)) if known + 1 == *version => self.stored(number, key)?,
            Some(_) | None => None,
        };
        let Some(before) = before else {
            self.process.recall_unknown(key, commit.position, *version, events);
            return Ok(());
        };
        // An acceptance that stays as it is was reduced before.
        let reduced = before.state.as_deref().map(|task| Arc::clone(&task.accepted));
        let after = fold::<TaskDecider>(before.state, events);
        let is_reduced = after
            .as_deref()
            .zip(reduced.as_ref())
            .is_some_and(|(task, reduced)| Arc::ptr_eq(&task.accepted, reduced));
        let task = if is_reduced {
            ReducedTask::of_stored(*version, after)
        } else {
            ReducedTask::new(*version, after)
        };
        self.recall(commit, task, before.bytes + bytes)
    }

    /// Takes the task as it was after a commit; its state is stored while it is open.
    fn recall(&mut self, commit: &TaskCommit, task: ReducedTask, bytes: usize) -> Result<(), LeaderError> {
        let TaskCommit { key, position, events, .. } = commit;
        self.process.recall(key, *position, events, &task, now());
        if let Some((number, _)) = self.process.place(key) {
            self.store.put(number, Stored { state: task.into_state(), bytes })?;
        }
        Ok(())
    }

    /// The stored state of this task; none when it has none, and its number was another's before.
    fn stored(&mut self, number: u32, key: &StreamKey) -> Result<Option<Stored>, LeaderError> {
        let stored = self.store.take(number)?;
        let is_its = |state: &State| {
            state
                .as_deref()
                .is_some_and(|task| task.id() == key.task_id && *task.accepted.workspace == *key.workspace)
        };
        Ok(stored.filter(|stored| is_its(&stored.state)))
    }
}
