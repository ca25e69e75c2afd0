//! The message to the agent about a decision.

use std::fmt::Write as _;

use crate::id::OutputId;
use crate::task::event::{Decision, ItemDecision, Verdict};
use crate::task::state::{EmailDraft, Known, Task};
use crate::task::steps::approval::Approval;

/// The message for a decision: the decisions by title, whether to go ahead, the drafts to send, and the caller's text. A
/// rejection, or a text on an approval, adds that nothing may be executed before a new request for approval.
pub(in crate::task) fn composed(
    task: &Task,
    approval: &Approval,
    said: &str,
    asked: &[(OutputId, Known<'_>)],
    wants_revision: bool,
) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(listed(task, &approval.items, Decision::Approve, "Approved:"));
    parts.extend(listed(task, &approval.items, Decision::Reject, "Rejected:"));
    let mut said = said.to_owned();
    match approval.verdict {
        Some(Verdict::Approve) if approval.items.is_empty() && said.is_empty() => {
            parts.push("Approved. Go ahead now.".to_owned());
        }
        Some(Verdict::Approve) if !approval.items.is_empty() => {
            parts.push("Go ahead now with what was approved.".to_owned());
        }
        Some(Verdict::Reject) if said.is_empty() => said.push_str("This was rejected: revise it."),
        _ => {}
    }
    parts.extend(sending(task, &approval.items, &said));
    if wants_revision
        && approval.verdict != Some(Verdict::Approve)
        && approval.verdict != Some(Verdict::Mixed)
    {
        said = revision(&said, asked);
    }
    parts.extend(Some(said).filter(|said| !said.is_empty()));
    parts.join("\n\n")
}

fn listed(task: &Task, items: &[ItemDecision], action: Decision, heading: &str) -> Option<String> {
    let chosen: Vec<_> = items.iter().filter(|item| item.action == action).collect();
    if chosen.is_empty() {
        return None;
    }
    let mut text = heading.to_owned();
    for (number, item) in (1..).zip(chosen) {
        let title =
            task.outputs.get(item.output_id).map_or_else(|| "an output".to_owned(), |output| output.title());
        let _ = write!(text, "\n{number}. {title}");
        if let Some(reason) = &item.reason {
            let _ = write!(text, " (reason: {reason})");
        }
    }
    Some(text)
}

/// Instructions to send each approved draft the caller's text does not mention.
fn sending(task: &Task, items: &[ItemDecision], said: &str) -> Vec<String> {
    let approved = items.iter().filter(|item| item.action == Decision::Approve);
    let drafts = approved.filter_map(|item| task.outputs.get(item.output_id)?.draft());
    drafts.filter(|draft| !said.contains(&draft.draft_id)).map(send).collect()
}

fn send(draft: &EmailDraft) -> String {
    let mut text = format!("Send the email draft {} as it is; do not rewrite it", draft.draft_id);
    for (name, value) in [("thread", &draft.thread_id), ("to", &draft.to), ("subject", &draft.subject)] {
        if let Some(value) = value {
            let _ = write!(text, "; {name}: {value}");
        }
    }
    text.push('.');
    text
}

fn revision(said: &str, asked: &[(OutputId, Known<'_>)]) -> String {
    let mut text =
        "Revise your request according to the feedback. Do not execute anything yet; ask for approval again when it is revised."
            .to_owned();
    if !asked.is_empty() {
        text.push_str("\n\nThis is about:");
        for (number, (_, output)) in (1..).zip(asked) {
            let _ = write!(text, "\n{number}. {}", output.title());
        }
    }
    text.push_str("\n\nFeedback:\n");
    text.push_str(said);
    text
}
