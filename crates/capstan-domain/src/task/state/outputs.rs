//! Outputs of a task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::id::{OutputId, derived};
use crate::task::event::{OutputFinalized, OutputProduced, OutputStatus, OutputStatusChanged};

/// An output, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// A digest of the command that produced it: only an equal command is a repeat.
    pub made_as: Uuid,
    /// Its status.
    pub status: OutputStatus,
    /// Its place among the task's outputs, from 1.
    pub number: u32,
    /// A name for people; any question may be about it.
    pub title: String,
    /// A digest of the final summary: the same once more changes nothing.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub summarised_as: Option<Uuid>,
    /// The wait group its metadata names.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub wait_group_id: Option<String>,
    /// True when its pending status asks for an approval.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub is_approval: bool,
    /// The draft, when it is an email that was not sent.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub draft: Option<EmailDraft>,
    /// True once it is archived.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub is_archived: bool,
}

/// An email that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailDraft {
    /// Id of the draft.
    pub draft_id: String,
    /// Id of its thread.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub thread_id: Option<String>,
    /// The recipient.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub to: Option<String>,
    /// The subject line.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub subject: Option<String>,
}

impl Output {
    fn produced(produced: &OutputProduced, number: u32) -> Self {
        let metadata = &produced.metadata;
        let mut output = Self {
            made_as: made_as(produced),
            status: produced.status,
            number,
            title: produced.title.clone(),
            summarised_as: produced.summary.as_deref().map(summarised_as),
            wait_group_id: text(metadata, "_wait_group_id"),
            is_approval: asks_for_approval(produced),
            draft: draft(&produced.output_type, &produced.data, metadata),
            is_archived: false,
        };
        output.shrink();
        output
    }

    /// Drops what only a decision on it reads, once it is in force without one, or gone.
    fn shrink(&mut self) {
        let is_settled = matches!(self.status, OutputStatus::Active | OutputStatus::Cancelled);
        if is_settled || self.is_archived {
            self.wait_group_id = None;
            self.is_approval = false;
            self.draft = None;
        }
    }

    /// True while it waits for an approval.
    pub(in crate::task) fn awaits_approval(&self) -> bool {
        self.status == OutputStatus::Pending && self.is_approval && !self.is_archived
    }
}

/// All outputs of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outputs(pub BTreeMap<OutputId, Output>);

reads_as!(Outputs, BTreeMap<OutputId, Output>);

impl Outputs {
    /// The outputs to keep, oldest first.
    pub(in crate::task) fn by_age(
        &self,
        keep: impl Fn(&OutputId, &Output) -> bool,
    ) -> Vec<(OutputId, &Output)> {
        let kept = self.0.iter().filter(|(id, output)| keep(id, output));
        let mut outputs: Vec<_> = kept.map(|(id, output)| (*id, output)).collect();
        outputs.sort_by_key(|(id, output)| (output.number, *id));
        outputs
    }

    pub(in crate::task) fn produced(&mut self, e: &OutputProduced) {
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.0.insert(e.output_id, Output::produced(e, number));
    }

    pub(in crate::task) fn status_changed(&mut self, e: &OutputStatusChanged) {
        self.change(e.output_id, |output| output.status = e.status);
    }

    pub(in crate::task) fn finalized(&mut self, e: &OutputFinalized) {
        self.change(e.output_id, |output| output.summarised_as = Some(summarised_as(&e.summary)));
    }

    pub(in crate::task) fn archived(&mut self, output_id: OutputId) {
        self.change(output_id, |output| output.is_archived = true);
    }

    fn change(&mut self, output_id: OutputId, change: impl FnOnce(&mut Output)) {
        if let Some(output) = self.0.get_mut(&output_id) {
            change(output);
            output.shrink();
        }
    }
}

/// A digest of a summary.
pub(in crate::task) fn summarised_as(summary: &str) -> Uuid {
    derived(&["output summarised as", summary])
}

/// A digest of the content an output was produced with, independent of producer and time.
pub(in crate::task) fn made_as(produced: &OutputProduced) -> Uuid {
    let OutputProduced { output_type, title, summary, uri, data, metadata, status, .. } = produced;
    let mut made = json!([output_type, title, summary, uri, data, metadata, status]);
    // Without effect on the sorted map of a plain build; another crate may switch it to insertion order.
    made.sort_all_objects();
    derived(&["output made as", &made.to_string()])
}

/// True for a pending output that is marked as something to approve, or has no mark at all.
fn asks_for_approval(produced: &OutputProduced) -> bool {
    let metadata = &produced.metadata;
    let marks = ["_blocking_kind", "_input_kind", "_approval_surface"];
    let is_marked = marks.iter().any(|key| metadata.contains_key(*key));
    let says = |key: &str, word: &str| metadata.get(key).and_then(Value::as_str) == Some(word);
    produced.status == OutputStatus::Pending
        && (!is_marked
            || says("_blocking_kind", "approval")
            || says("_input_kind", "approve_reject")
            || is_surface(metadata))
}

/// True when the output is how people see an approval.
pub(in crate::task) fn is_surface(metadata: &Map<String, Value>) -> bool {
    metadata.get("_approval_surface").is_some_and(|value| *value != Value::Bool(false))
}

/// An email with a draft id and no message id was drafted and not sent.
pub(in crate::task) fn draft(
    output_type: &str,
    data: &Map<String, Value>,
    metadata: &Map<String, Value>,
) -> Option<EmailDraft> {
    let of = |key: &str| text(data, key).or_else(|| text(metadata, key));
    if output_type != "email" || of("message_id").is_some() {
        return None;
    }
    Some(EmailDraft {
        draft_id: of("draft_id")?,
        thread_id: of("thread_id"),
        to: of("to"),
        subject: of("subject"),
    })
}

fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
