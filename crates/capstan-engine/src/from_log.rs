//! Startup from the log alone: where the read models are away or far behind, everything is folded from its beginning.
//!
//! Only facts stay in memory, and folding needs more than facts: the reduced states of the tasks that are open lie in a
//! [`StateStore`] meanwhile, a few in memory and the others in a temporary file. Tasks that are at rest leave both. One
//! that is set in motion again later is loaded at the end.

mod state_store;

use capstan_contract::TaskCodec;
use capstan_decider::fold;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::{State, TaskDecider};
use capstan_envelope::{Codec as _, CodecError, Position, Recorded};
use capstan_eventlog::ScannedCommit;
use tokio::sync::mpsc;

use crate::clock::now;
use crate::dependencies::Dependencies;
use crate::leader_error::LeaderError;
use crate::process::{Process, ReducedTask, task_key};
use crate::unreadable::tell_unreadable;
use state_store::StateStore;

/// Portions of the log read ahead of the fold.
const PORTIONS_AHEAD: usize = 4;

/// Folds the log into the process, on a thread of its own while the log is read; the position of the last commit.
pub(crate) async fn fold_log(
    dependencies: &Dependencies,
    process: Process,
) -> Result<(Process, Position), LeaderError> {
    let end = dependencies.log.head().await?;
    let mut scan = dependencies.log.scan(end).await?;
    let (sender, mut receiver) = mpsc::channel::<Vec<ScannedCommit>>(PORTIONS_AHEAD);
    let folding = tokio::task::spawn_blocking(move || {
        let mut fold = LogFold { process, store: StateStore::new()? };
        while let Some(commits) = receiver.blocking_recv() {
            for commit in &commits {
                fold.take(&commit.raw().decode()?)?;
            }
        }
        Ok::<_, LeaderError>(fold.process)
    });
    while let Some(commits) = scan.next().await? {
        // Fails when the fold has failed, which tells why.
        if sender.send(commits).await.is_err() {
            break;
        }
    }
    drop(sender);
    let process = folding.await.map_err(LeaderError::Panicked)??;
    Ok((process, end))
}

/// A process, and what it takes to fold further commits into it.
struct LogFold {
    process: Process,
    store: StateStore,
}

impl LogFold {
    fn take(&mut self, recorded: &Recorded) -> Result<(), LeaderError> {
        let taken = match task_key(&recorded.commit.stream) {
            Some(key) => self.task_commit(&key, recorded)?,
            None => self.process.commit(recorded, None, now()),
        };
        if let Err(error) = taken {
            tell_unreadable(recorded, &error);
        }
        Ok(())
    }

    /// The outer failure is the store's, the inner one the commit's.
    fn task_commit(
        &mut self,
        key: &StreamKey,
        recorded: &Recorded,
    ) -> Result<Result<(), CodecError>, LeaderError> {
        let version = recorded.commit.version;
        let events = match TaskCodec::decode(&recorded.commit) {
            Ok(events) => events,
            Err(error) => return Ok(Err(error)),
        };
        let before = match self.process.place(key) {
            Some(_) | None if version == 1 => Some(None),
            Some((number, known)) if known + 1 == version => self.stored(number, key)?,
            Some(_) | None => None,
        };
        let Some(before) = before else {
            self.process.recall_unknown(key, recorded.position, version, &events);
            return Ok(Ok(()));
        };
        let task = ReducedTask::new(version, fold::<TaskDecider>(before, &events));
        self.process.recall(key, recorded.position, &events, &task, now());
        if let Some((number, _)) = self.process.place(key) {
            self.store.put(number, &serde_json::to_vec(task.state()).map_err(LeaderError::State)?)?;
        }
        Ok(Ok(()))
    }

    /// The stored state of this task; none when it has none, and its number was another's before.
    fn stored(&mut self, number: u32, key: &StreamKey) -> Result<Option<State>, LeaderError> {
        let Some(stored) = self.store.take(number)? else { return Ok(None) };
        let state: State = serde_json::from_slice(&stored).map_err(LeaderError::State)?;
        let is_its = state
            .as_deref()
            .is_some_and(|task| task.id() == key.task_id && *task.accepted.workspace == *key.workspace);
        Ok(is_its.then_some(state))
    }
}
