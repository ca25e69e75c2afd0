//! Decisions on outputs: which are meant, what each decision does, and who may decide (domain.md 4).

use std::str::FromStr as _;

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::id::OutputId;
use crate::task::command::{ItemSpec, SubmitInput};
use crate::task::event::{
    BlockerClosed, BlockerKind, BlockerStatus, Decision, Event, InputKind, ItemDecision, OutputStatus,
    OutputStatusChanged, Resolution, Verdict,
};
use crate::task::rejection::Rejection;
use crate::task::state::{Blocker, Output, Task};

/// What an input decides.
#[derive(Debug, Default)]
pub(super) struct Approval {
    /// Yes, no or both; nothing for a free text.
    pub(super) verdict: Option<Verdict>,
    /// The single decisions.
    pub(super) items: Vec<ItemDecision>,
}

/// Reads what the input decides. The verdict is that of the items, when there are any.
pub(super) fn read(task: &Task, command: &SubmitInput, faults: &mut Faults) -> Approval {
    let kind = kind(command.kind.as_deref(), faults);
    let action = command.action.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let action = action.and_then(|text| decision(text, "/action", faults));
    let mut items: Vec<_> =
        command.items.iter().enumerate().filter_map(|(n, item)| read_item(task, n, item, faults)).collect();
    if let (Some(action), true) = (action, command.items.is_empty() && kind != Some(InputKind::FreeText)) {
        let decided = |(output_id, _)| ItemDecision { output_id, action, reason: None };
        items = pending(task).into_iter().map(decided).collect();
    }
    let is_decision = action.is_some() || !command.items.is_empty();
    faults.require(
        kind != Some(InputKind::ApproveReject) || is_decision,
        "/action",
        "an input of kind approve_reject takes an action or items",
    );
    Approval { verdict: verdict_of(&items).or(action.map(Verdict::from)), items }
}

fn kind(text: Option<&str>, faults: &mut Faults) -> Option<InputKind> {
    match text.map(str::trim).unwrap_or_default().to_lowercase().as_str() {
        "" => None,
        "approve_reject" => Some(InputKind::ApproveReject),
        "free_text" => Some(InputKind::FreeText),
        other => {
            faults.add(
                "/kind",
                format!("kind {other:?} is not supported (supported: approve_reject, free_text)"),
            );
            None
        }
    }
}

fn decision(text: &str, pointer: &str, faults: &mut Faults) -> Option<Decision> {
    match text.trim().to_lowercase().as_str() {
        "approve" => Some(Decision::Approve),
        "reject" => Some(Decision::Reject),
        other => {
            faults.add(pointer, format!("invalid action {other:?} (approve or reject)"));
            None
        }
    }
}

fn read_item(task: &Task, index: usize, item: &ItemSpec, faults: &mut Faults) -> Option<ItemDecision> {
    let action = decision(&item.action, &format!("/items/{index}/action"), faults);
    let pointer = format!("/items/{index}/output_id");
    let named = item.output_id.trim();
    if named.is_empty() {
        faults.add(&pointer, "item output_id is required");
        return None;
    }
    let output_id = OutputId::from_str(named).ok().filter(|id| task.outputs.contains_key(id));
    let Some(output_id) = output_id else {
        faults.add(
            &pointer,
            match item.of_task {
                Some(_) => format!("item output {named} does not belong to task {}", task.id()),
                None => format!("item output {named} not found"),
            },
        );
        return None;
    };
    Some(ItemDecision { output_id, action: action?, reason: given(item.reason.as_deref()) })
}

/// A text, unless it is blank.
pub(super) fn given(text: Option<&str>) -> Option<String> {
    text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn verdict_of(items: &[ItemDecision]) -> Option<Verdict> {
    let first = items.first()?.action;
    let is_mixed = items.iter().any(|item| item.action != first);
    Some(if is_mixed { Verdict::Mixed } else { first.into() })
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Approve => Self::Approve,
            Decision::Reject => Self::Reject,
        }
    }
}

/// The pending outputs a decision without items is about, oldest first: those of the open question; when none is
/// open, those of the newest wait group.
pub(super) fn pending(task: &Task) -> Vec<(OutputId, &Output)> {
    let outputs = match &task.blocker {
        Some(blocker) => {
            let asked = |id: &OutputId| blocker.opened.items.iter().any(|item| item.output_id == *id);
            of(task, |id, output| asked(id) && output.status == OutputStatus::Pending)
        }
        None => newest_group(task),
    };
    sorted(outputs)
}

/// Pending approvals of this wait group; of the newest one when no group is named.
pub(super) fn pending_of_group<'a>(task: &'a Task, group: Option<&str>) -> Vec<(OutputId, &'a Output)> {
    sorted(match group {
        Some(group) => {
            of(task, |_, output| waits_for_approval(output) && output.wait_group_id.as_deref() == Some(group))
        }
        None => newest_group(task),
    })
}

/// Everything that waits for an approval, oldest first.
pub(super) fn all_pending(task: &Task) -> Vec<(OutputId, &Output)> {
    sorted(of(task, |_, output| waits_for_approval(output)))
}

fn newest_group(task: &Task) -> Vec<(OutputId, &Output)> {
    let waiting = of(task, |_, output| waits_for_approval(output));
    let Some((newest_id, newest)) = waiting.iter().max_by_key(|(_, output)| output.number).copied() else {
        return Vec::new();
    };
    let belongs = |id: &OutputId, output: &Output| match &newest.wait_group_id {
        Some(group) => output.wait_group_id.as_ref() == Some(group),
        None => *id == newest_id,
    };
    waiting.into_iter().filter(|(id, output)| belongs(id, output)).collect()
}

fn waits_for_approval(output: &Output) -> bool {
    output.status == OutputStatus::Pending && output.is_approval && !output.is_archived
}

fn of(task: &Task, keep: impl Fn(&OutputId, &Output) -> bool) -> Vec<(OutputId, &Output)> {
    task.outputs.iter().filter(|(id, output)| keep(id, output)).map(|(id, output)| (*id, output)).collect()
}

fn sorted(mut outputs: Vec<(OutputId, &Output)>) -> Vec<(OutputId, &Output)> {
    outputs.sort_by_key(|(id, output)| (output.number, *id));
    outputs
}

/// Gives every output the status its decision says; a repeated decision changes nothing.
pub(super) fn change_statuses(
    task: &Task,
    items: &[ItemDecision],
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    for item in items {
        let status = match item.action {
            Decision::Approve => OutputStatus::Approved,
            Decision::Reject => OutputStatus::Rejected,
        };
        if task.outputs.get(&item.output_id).is_some_and(|output| output.status != status) {
            events.push(Event::OutputStatusChanged(OutputStatusChanged {
                output_id: item.output_id,
                status,
                reason: item.reason.clone(),
                at,
            }));
        }
    }
}

/// The decisions that reject these outputs for one reason.
pub(super) fn rejecting(outputs: &[(OutputId, &Output)], reason: Option<&str>) -> Vec<ItemDecision> {
    let reject = |(output_id, _): &(OutputId, &Output)| ItemDecision {
        output_id: *output_id,
        action: Decision::Reject,
        reason: given(reason),
    };
    outputs.iter().map(reject).collect()
}

/// Ends a question.
pub(super) fn closed(
    blocker: &Blocker,
    status: BlockerStatus,
    input_id: Option<crate::id::InputId>,
    resolution: Option<Resolution>,
    at: DateTime<Utc>,
) -> Event {
    Event::BlockerClosed(BlockerClosed {
        blocker_id: blocker.opened.blocker_id,
        status,
        input_id,
        resolution,
        closed_at: at,
    })
}

/// Whether a caller's input is one of several approvals that a question takes and not yet the last: it is, when this
/// names the voter. Refuses whoever is not asked.
pub(super) fn vote(
    task: &Task,
    blocker: &Blocker,
    approval: &Approval,
    by: Option<&str>,
) -> Result<Option<String>, Rejection> {
    let Some(approvers) = &blocker.opened.approvers else { return Ok(None) };
    let no = |why: String| Err(Rejection::NotAnApprover(why));
    let Some(by) = by else { return no("this question is answered by named people only".to_owned()) };
    let is_requester = task.accepted.accepted_by.as_deref() == Some(by);
    let is_asked = approvers.among.is_empty() || approvers.among.iter().any(|name| name == by);
    if approval.verdict.is_none() || approval.verdict == Some(Verdict::Reject) {
        // Taking a request back is the requester's right; one no ends the question.
        return if is_asked || is_requester { Ok(None) } else { no(format!("{by} is not asked")) };
    }
    if is_requester {
        return no(format!("{by} asked for this and cannot approve it"));
    }
    if !is_asked {
        return no(format!("{by} is not asked"));
    }
    if blocker.votes.iter().any(|voter| voter == by) {
        return no(format!("{by} has approved already"));
    }
    let asked = pending(task);
    let is_whole = approval.verdict == Some(Verdict::Approve)
        && asked.iter().all(|(id, _)| approval.items.iter().any(|item| item.output_id == *id))
        && approval.items.iter().all(|item| asked.iter().any(|(id, _)| item.output_id == *id));
    if !is_whole {
        return Err(Rejection::invalid(
            "/items",
            "a question that takes several approvals takes one decision for all its outputs",
        ));
    }
    let cast = u32::try_from(blocker.votes.len()).unwrap_or(u32::MAX).saturating_add(1);
    Ok((cast < approvers.required).then(|| by.to_owned()))
}

/// True when an approval is asked for: in the open question, or by outputs of a task nobody works at.
pub(super) fn is_awaited(task: &Task) -> bool {
    match &task.blocker {
        Some(blocker) => blocker.opened.kind == BlockerKind::Approval,
        None => task.active_run().is_none() && !all_pending(task).is_empty(),
    }
}

#[cfg(test)]
mod tests;
