//! What decisions keep of an output (reference/behaviour 1.8).

use serde_json::{Map, Value};

use crate::task::event::{OutputProduced, OutputStatus};
use crate::task::state::{EmailDraft, Output};

pub(super) fn output(produced: &OutputProduced, number: u32) -> Output {
    let metadata = &produced.metadata;
    Output {
        status: produced.status,
        number,
        run_id: produced.run_id,
        output_type: produced.output_type.clone(),
        title: produced.title.clone(),
        summary: produced.summary.clone(),
        wait_group_id: text(metadata, "_wait_group_id"),
        is_approval: asks_for_approval(produced),
        draft: draft(produced),
        is_archived: false,
    }
}

/// Pending, and marked as something to approve. What is pending without any mark is there to be approved too.
fn asks_for_approval(produced: &OutputProduced) -> bool {
    let metadata = &produced.metadata;
    let marks = ["_blocking_kind", "_input_kind", "_approval_surface"];
    let is_marked = marks.iter().any(|key| metadata.contains_key(*key));
    let says = |key: &str, word: &str| metadata.get(key).and_then(Value::as_str) == Some(word);
    let is_surface = metadata.get("_approval_surface").is_some_and(|value| *value != Value::Bool(false));
    produced.status == OutputStatus::Pending
        && (!is_marked
            || says("_blocking_kind", "approval")
            || says("_input_kind", "approve_reject")
            || is_surface)
}

/// An email with a draft id and no message id was drafted and not sent.
fn draft(produced: &OutputProduced) -> Option<EmailDraft> {
    let of = |key: &str| text(&produced.data, key).or_else(|| text(&produced.metadata, key));
    if produced.output_type != "email" || of("message_id").is_some() {
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
