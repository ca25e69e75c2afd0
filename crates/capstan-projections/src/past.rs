//! A task or run at an earlier commit: the first commits of its stream, through the fold of its row.

use capstan_contract::{DomainEvent, decode_commit};
use capstan_decider::Decider;
use capstan_domain::id::{RunId, TaskId};
use capstan_domain::task::{self, Task, TaskDecider};
use capstan_envelope::{Carried, CodecError, Position, Recorded, UnreadableCommit};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::catalogue::runs::RunRow;
use crate::catalogue::tasks::TaskRow;
use crate::events::Events;
use crate::fact::Fact;
use crate::model::Model;
use crate::queries::Item;

/// The task after these first commits of its stream; `None` before its acceptance.
pub fn task_after(commits: &[Recorded], task_id: TaskId) -> Result<Option<Item>, UnreadableCommit> {
    let past = Past::<TaskRow>::fold(commits, task_id.0)?;
    Ok(past.map(|past| past.item(|row, _| to_raw_value(&row.object()))))
}

/// The run after these first commits of its task's stream; `None` before it was requested.
pub fn run_after(commits: &[Recorded], run_id: RunId) -> Result<Option<Item>, UnreadableCommit> {
    let past = Past::<RunRow>::fold(commits, run_id.0)?;
    Ok(past.map(|past| past.item(|row, task| to_raw_value(&row.object(run_id, &task.accepted)))))
}

fn unreadable(recorded: &Recorded) -> impl Fn(CodecError) -> UnreadableCommit {
    let position = recorded.position;
    move |source| UnreadableCommit { position, source }
}

/// A row at the end of the first commits of a stream.
struct Past<M> {
    row: M,
    task: Box<Task>,
    /// Version of the stream at the row's last change.
    version: u64,
    position: Position,
}

impl<M: Model<Key = Uuid>> Past<M> {
    fn fold(commits: &[Recorded], key: Uuid) -> Result<Option<Self>, UnreadableCommit> {
        let (mut state, mut row, mut keys) = (task::State::default(), None, Vec::new());
        let mut version = 0;
        for recorded in commits {
            let events = decode_commit(&recorded.commit).map_err(unreadable(recorded))?;
            if let Some(carried) = recorded.commit.carried().map_err(unreadable(recorded))? {
                state = carried.state().map_err(unreadable(recorded))?;
                if M::carried_key(&recorded.commit.stream, &carried) == Some(key) {
                    let read = M::carried(recorded, &carried).map_err(Carried::malformed);
                    row = read.map_err(unreadable(recorded))?.map(|(_, row)| row);
                    version = recorded.commit.version;
                }
            }
            for event in events {
                if let DomainEvent::Task(event) = &event {
                    state = TaskDecider::evolve(state, event);
                }
                let Some(event) = M::Event::select(&event) else { continue };
                keys.clear();
                M::keys(&Fact::alone(recorded, event), &mut keys);
                if keys.contains(&key) {
                    let accepted = state.as_deref().map(|task| &*task.accepted);
                    row = M::apply(row, &key, &Fact { accepted, ..Fact::alone(recorded, event) });
                    version = recorded.commit.version;
                }
            }
        }
        let position = commits.last().map_or(Position::START, |last| last.position);
        Ok(row.zip(state).map(|(row, task)| Self { row, task, version, position }))
    }

    fn item(self, object: impl FnOnce(M, &Task) -> serde_json::Result<Box<RawValue>>) -> Item {
        let doc = object(self.row, &self.task)
            .unwrap_or_else(|_| unreachable!("a row that was read or folded serializes as JSON"));
        Item { doc, version: self.version, position: self.position }
    }
}
