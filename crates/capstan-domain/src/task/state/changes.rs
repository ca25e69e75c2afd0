//! Changes of the command after its acceptance.

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::task::event::{
    TaskAccepted, TaskBudgetSet, TaskDeadlineSet, TaskLabelled, TaskPayloadSet, TaskRoutingSet,
};

/// The last change of each part of the command. The acceptance as stored never changes; a task that is read again gets
/// these applied to it.
#[serde_with::apply(_ => #[serde(default, skip_serializing_if = "Option::is_none")])]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Its limit of cost.
    pub budget: Option<TaskBudgetSet>,
    /// Its names: the last change of each field.
    pub labels: Option<TaskLabelled>,
    /// Its deadline.
    pub deadline: Option<TaskDeadlineSet>,
    /// Its reply addressing.
    pub routing: Option<TaskRoutingSet>,
    /// What the agent is told, and how it runs: the last change of each field.
    pub payload: Option<TaskPayloadSet>,
}

impl Changes {
    pub(in crate::task) fn set_labels(&mut self, e: &TaskLabelled) {
        let earlier = self.labels.take();
        let (label, labels) = earlier.map_or((Change::Keep, None), |earlier| (earlier.label, earlier.labels));
        self.labels = Some(TaskLabelled {
            label: if e.label.is_keep() { label } else { e.label.clone() },
            labels: e.labels.clone().or(labels),
            at: e.at,
        });
    }

    pub(in crate::task) fn set_payload(&mut self, e: &TaskPayloadSet) {
        let later = e.clone();
        self.payload = Some(match self.payload.take() {
            None => later,
            Some(earlier) => TaskPayloadSet {
                message: later.message.or(earlier.message),
                extra_system_prompt: later.extra_system_prompt.or(earlier.extra_system_prompt),
                attachments: later.attachments.or(earlier.attachments),
                timeout_ms: later.timeout_ms.or(earlier.timeout_ms),
                deliver: later.deliver.or(earlier.deliver),
                at: later.at,
            },
        });
    }

    /// Makes the changes. Made already, they change nothing.
    pub(super) fn apply(&self, accepted: &mut TaskAccepted) {
        if let Some(e) = &self.budget {
            accepted.budget_usd = e.budget_usd;
        }
        if let Some(e) = &self.labels {
            e.label.apply(&mut accepted.label);
            if let Some(labels) = &e.labels {
                accepted.labels.clone_from(labels);
            }
        }
        if let Some(e) = &self.deadline {
            accepted.deadline = e.deadline;
        }
        if let Some(e) = &self.routing {
            accepted.routing.clone_from(&e.routing);
        }
        if let Some(e) = &self.payload {
            apply_payload(accepted, e);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn apply_payload(accepted: &mut TaskAccepted, change: &TaskPayloadSet) {
    if let Some(message) = &change.message {
        accepted.message.clone_from(message);
    }
    if let Some(prompt) = &change.extra_system_prompt {
        accepted.extra_system_prompt = Some(prompt.clone()).filter(|text| !text.is_empty());
    }
    if let Some(attachments) = &change.attachments {
        accepted.attachments.clone_from(attachments);
    }
    accepted.timeout_ms = change.timeout_ms.unwrap_or(accepted.timeout_ms);
    accepted.deliver = change.deliver.or(accepted.deliver);
}
