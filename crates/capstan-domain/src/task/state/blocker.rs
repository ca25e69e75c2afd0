//! The question a task waits on.

use serde::{Deserialize, Serialize};

use crate::task::event::{BlockerKind, BlockerOpened, BlockerUpdated, BlockerVoted};

/// An open question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocker {
    /// The question as asked last.
    pub opened: BlockerOpened,
    /// The approvals so far, by actor name, when it takes several.
    pub votes: Vec<String>,
}

impl Blocker {
    pub(in crate::task) fn opened(e: &BlockerOpened) -> Self {
        Self { opened: e.clone(), votes: Vec::new() }
    }

    /// True when a text can end the question; the others end with a budget or with subtasks.
    pub(in crate::task) fn takes_text(&self) -> bool {
        matches!(self.opened.kind, BlockerKind::Input | BlockerKind::Approval)
    }

    pub(in crate::task) fn updated(&mut self, e: &BlockerUpdated) {
        self.opened.summary.clone_from(&e.summary);
        self.opened.details.clone_from(&e.details);
        self.opened.questions.clone_from(&e.questions);
        self.opened.items.clone_from(&e.items);
    }

    pub(in crate::task) fn voted(&mut self, e: &BlockerVoted) {
        self.votes.push(e.by.clone());
    }
}
