//! The parts of an output decisions need.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::id::derived;
use crate::task::event::{OutputProduced, OutputStatus};
use crate::task::state::{EmailDraft, Output};

pub(in crate::task) fn produced(produced: &OutputProduced, number: u32) -> Output {
    let metadata = &produced.metadata;
    Output {
        made_as: made_as(produced),
        status: produced.status,
        number,
        run_id: produced.run_id,
        output_type: produced.output_type.clone(),
        title: produced.title.clone(),
        summary: produced.summary.clone(),
        wait_group_id: text(metadata, "_wait_group_id"),
        is_approval: asks_for_approval(produced),
        draft: draft(&produced.output_type, &produced.data, metadata),
        is_archived: false,
    }
}

/// A digest of what the output was made as, whoever made it and whenever.
pub(in crate::task) fn made_as(produced: &OutputProduced) -> Uuid {
    let OutputProduced { output_type, title, summary, uri, data, metadata, status, .. } = produced;
    let mut made = json!([output_type, title, summary, uri, data, metadata, status]);
    // Without effect on the sorted map of a plain build; another crate may switch it to insertion order.
    made.sort_all_objects();
    derived(&["output made as", &made.to_string()])
}

/// Pending, and marked as something to approve. What is pending without any mark is there to be approved too.
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
