//! A task or run at an earlier commit: the first commits of its stream, through the fold of its row.

use capstan_contract::{DomainEvent, decode_commit};
use capstan_decider::Decider;
use capstan_domain::id::{RunId, TaskId};
use capstan_domain::task::{self, TaskDecider};
use capstan_envelope::{Recorded, UnreadableCommit};
use uuid::Uuid;

use crate::catalogue::runs::RunRow;
use crate::catalogue::tasks::TaskRow;
use crate::events::Events;
use crate::fact::Fact;
use crate::model::Model;
use crate::queries::Item;

/// The task after these first commits of its stream; `None` before its acceptance.
pub fn task_after(commits: &[Recorded], task_id: TaskId) -> Result<Option<Item>, UnreadableCommit> {
    row_after::<TaskRow>(commits, task_id.0)
}

/// The run after these first commits of its task's stream; `None` before it was requested.
pub fn run_after(commits: &[Recorded], run_id: RunId) -> Result<Option<Item>, UnreadableCommit> {
    row_after::<RunRow>(commits, run_id.0)
}

fn row_after<M: Model<Key = Uuid>>(
    commits: &[Recorded],
    key: Uuid,
) -> Result<Option<Item>, UnreadableCommit> {
    let (mut state, mut row, mut keys) = (task::State::default(), None, Vec::new());
    let mut changed = None;
    for recorded in commits {
        let events = decode_commit(&recorded.commit)
            .map_err(|source| UnreadableCommit { position: recorded.position, source })?;
        for event in events {
            if let DomainEvent::Task(event) = &event {
                state = TaskDecider::evolve(state, event);
            }
            let Some(event) = M::Event::select(&event) else { continue };
            keys.clear();
            M::keys(recorded, event, &mut keys);
            if keys.contains(&key) {
                let accepted = state.as_deref().map(|task| &*task.accepted);
                row = M::apply(row, &key, &Fact { recorded, event, accepted });
                changed = Some(recorded);
            }
        }
    }
    let (Some(row), Some(changed), Some(last)) = (row, changed, commits.last()) else { return Ok(None) };
    let doc = serde_json::value::to_raw_value(&row)
        .unwrap_or_else(|_| unreachable!("a row that was read or folded serializes as JSON"));
    Ok(Some(Item { doc, version: changed.commit.version, position: last.position }))
}
