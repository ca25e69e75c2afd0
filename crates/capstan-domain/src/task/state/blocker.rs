//! The question a task waits on.

use serde::{Deserialize, Serialize};

use crate::task::event::{BlockerKind, BlockerOpened, BlockerUpdated, BlockerVoted};

/// An open question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocker {
    /// The question as asked last.
    pub opened: BlockerOpened,
    /// The approvals so far, by actor name, when it takes several.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
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

    /// True when a text that came before the question may end it. A tool call is decided after it is asked about; several
    /// approvers, and answers of a shape, are waited for.
    pub(in crate::task) fn takes_earlier_text(&self) -> bool {
        let asked = &self.opened;
        asked.tool_call_id.is_none() && asked.approvers.is_none() && asked.answer_schema.is_none()
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
