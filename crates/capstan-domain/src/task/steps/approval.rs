//! Decisions on outputs: the outputs they are about, and who may decide.

use std::str::FromStr as _;

use crate::Faults;
use crate::id::OutputId;
use crate::task::command::{DecidedItem, SubmitInput};
use crate::task::event::{Decision, InputKind, ItemDecision, OutputStatus, Verdict};
use crate::task::rejection::Rejection;
use crate::task::state::{Blocker, Known, Task};
use crate::task::words;
use crate::text::non_blank;

/// The decisions of an input.
#[derive(Debug, Default)]
pub(in crate::task) struct Approval {
    /// The decision as a whole; none for a free text.
    pub(in crate::task) verdict: Option<Verdict>,
    /// The decisions on single outputs.
    pub(in crate::task) items: Vec<ItemDecision>,
}

impl Approval {
    /// Reads the decisions of an input. The verdict is that of the items, when there are any.
    pub(in crate::task) fn read(task: &Task, command: &SubmitInput, faults: &mut Faults) -> Self {
        let kind = words::input_kind(command.input.kind.as_deref(), faults);
        let action = non_blank(command.input.action.as_deref());
        let action = action.and_then(|text| words::decision(&text, "/action", faults));
        let read = |(index, item)| Some((index, read_item(task, index, item, &command.foreign, faults)?));
        let numbered: Vec<_> = command.input.items.iter().enumerate().filter_map(read).collect();
        refuse_repeats(&numbered, faults);
        let mut items: Vec<_> = numbered.into_iter().map(|(_, item)| item).collect();
        let items_mean = Verdict::from_items(&items).filter(|_| items.len() == command.input.items.len());
        if let (Some(action), Some(meant)) = (action, items_mean) {
            faults.require(
                meant == Verdict::from(action),
                "/action",
                format_args!(
                    "contradicts the items, which together mean {}: omit it, or decide all of them so",
                    meant.as_str()
                ),
            );
        }
        if let (Some(action), true) = (action, command.input.items.is_empty()) {
            let decided = |(output_id, _)| ItemDecision { output_id, action, reason: None };
            items = task.outputs_in_question().into_iter().map(decided).collect();
        }
        let is_decision = action.is_some() || !command.input.items.is_empty();
        faults.require(
            kind != Some(InputKind::FreeText) || !is_decision,
            "/kind",
            "an input of kind free_text takes neither action nor items",
        );
        faults.require(
            kind != Some(InputKind::ApproveReject) || is_decision,
            "/action",
            "an input of kind approve_reject takes an action or items",
        );
        Self { verdict: Verdict::from_items(&items).or(action.map(Verdict::from)), items }
    }
}

/// Refuses an output that is decided on twice.
fn refuse_repeats(items: &[(usize, ItemDecision)], faults: &mut Faults) {
    for (place, (index, item)) in items.iter().enumerate() {
        let is_repeat = items[..place].iter().any(|(_, earlier)| earlier.output_id == item.output_id);
        let pointer = format!("/items/{index}/output_id");
        faults.require(!is_repeat, &pointer, format_args!("output {} is named twice", item.output_id));
    }
}

fn read_item(
    task: &Task,
    index: usize,
    item: &DecidedItem,
    foreign: &[OutputId],
    faults: &mut Faults,
) -> Option<ItemDecision> {
    let action = words::decision(&item.action, &format!("/items/{index}/action"), faults);
    let pointer = format!("/items/{index}/output_id");
    let named = item.output_id.trim();
    if named.is_empty() {
        faults.add(&pointer, "item output_id is required");
        return None;
    }
    let id = OutputId::from_str(named).ok();
    let Some(output_id) = id.filter(|id| task.outputs.contains(*id)) else {
        let message = if id.is_some_and(|id| foreign.contains(&id)) {
            format!("item output {named} does not belong to task {}", task.id())
        } else {
            format!("item output {named} not found")
        };
        faults.add(&pointer, message);
        return None;
    };
    Some(ItemDecision { output_id, action: action?, reason: non_blank(item.reason.as_deref()) })
}

/// Notes the decisions that miss an output the question is about: a question ends with all of its outputs decided.
pub(in crate::task) fn check_whole(task: &Task, blocker: &Blocker, approval: &Approval, faults: &mut Faults) {
    if approval.items.is_empty() {
        return;
    }
    faults.require(
        blocker.opened.tool_call_id.is_none(),
        "/items",
        "the question is about a tool call: it takes an action, and no items",
    );
    let is_decided = |id: &OutputId| approval.items.iter().any(|item| item.output_id == *id);
    let asked = task.outputs_in_question().into_iter().map(|(id, _)| id);
    let missing: Vec<_> = asked.filter(|id| !is_decided(id)).map(|id| id.to_string()).collect();
    faults.require(
        missing.is_empty(),
        "/items",
        format_args!("must decide every output the question is about; missing: {}", missing.join(", ")),
    );
}

/// One decision on every pending output the question is about.
pub(in crate::task) fn for_all_items(task: &Task, blocker: &Blocker, action: Decision) -> Vec<ItemDecision> {
    let is_pending = |id: &OutputId| {
        task.outputs.get(*id).is_some_and(|output| output.record.status == OutputStatus::Pending)
    };
    let items = blocker.opened.items.iter().filter(|item| is_pending(&item.output_id));
    items.map(|item| ItemDecision { output_id: item.output_id, action, reason: None }).collect()
}

/// The decisions that reject these outputs for one reason.
pub(in crate::task) fn rejecting(
    outputs: &[(OutputId, Known<'_>)],
    reason: Option<&str>,
) -> Vec<ItemDecision> {
    let reject = |(output_id, _): &(OutputId, Known<'_>)| ItemDecision {
        output_id: *output_id,
        action: Decision::Reject,
        reason: non_blank(reason),
    };
    outputs.iter().map(reject).collect()
}

/// The voter, when the input is one of several approvals the question takes and not yet the last one. Refuses a caller
/// the question does not ask.
pub(in crate::task) fn vote(
    task: &Task,
    blocker: &Blocker,
    approval: &Approval,
    by: Option<&str>,
) -> Result<Option<String>, Rejection> {
    let Some(approvers) = &blocker.opened.approvers else { return Ok(None) };
    let refuse = |why: String| Err(Rejection::NotAnApprover(why));
    let Some(by) = by else { return refuse("this question is answered by named people only".to_owned()) };
    let is_requester = task.accepted.accepted_by.as_deref() == Some(by);
    let is_asked = approvers.among.is_empty() || approvers.among.iter().any(|name| name == by);
    if approval.verdict.is_none() || approval.verdict == Some(Verdict::Reject) {
        // The requester may withdraw the request; a single rejection ends the question.
        return if is_asked || is_requester { Ok(None) } else { refuse(format!("{by} is not asked")) };
    }
    if is_requester {
        return refuse(format!("{by} asked for this and cannot approve it"));
    }
    if !is_asked {
        return refuse(format!("{by} is not asked"));
    }
    if blocker.votes.iter().any(|voter| voter == by) {
        return refuse(format!("{by} has approved already"));
    }
    let asked = task.outputs_in_question();
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

#[cfg(test)]
mod tests;
