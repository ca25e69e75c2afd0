//! Questions: asking, asking again in other words, and what happens when nobody answers in time (domain.md 4).

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::Faults;
use crate::id::{BlockerId, InputId, RunId};
use crate::task::approval::{self, Approval};
use crate::task::approval_text::composed;
use crate::task::command::{BlockerSpec, DeadlineSpec, ExpireBlocker, OpenBlocker};
use crate::task::decide::{SPAN_MS_MAX, later, request_run_with_inputs, stop_run};
use crate::task::event::{
    BlockerDeadline, BlockerItem, BlockerKind, BlockerOpened, BlockerStatus, BlockerUpdated, DeadlineDefault,
    Decision, Event, InputAccepted, InputKind, InputOutcome, InputSource, ItemDecision, QueueMode,
    Resolution, RunStatus, TaskContinued, TaskFailed, Verdict,
};
use crate::task::inbox::{self, Said};
use crate::task::rejection::Rejection;
use crate::task::state::{Blocker, Input, InputState, Live, Task};
use crate::task::tool_call;
use crate::task::worker_report::fenced;

pub(super) fn open_blocker(task: &Task, command: &OpenBlocker) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    let asked = Asked::of(task, &command.blocker, command.at)?;
    // The same question again while its answer still waits to be taken is a repeated call, not a new question.
    let answer_waits =
        |input_id| task.input(input_id).is_some_and(|input| input.state == InputState::Pending);
    if let Some((earlier, input_id)) = &task.answered
        && task.blocker.is_none()
        && asked.was_answered(earlier, live)
        && answer_waits(*input_id)
    {
        return Ok(Vec::new());
    }
    let mut events = ask(task, live, asked, command.at);
    if let Some(Event::BlockerOpened(opened)) = events.last() {
        let opened = Blocker { opened: opened.clone(), votes: Vec::new() };
        let early = task.pending_inputs().find(|input| answers_early(&opened, &command.blocker, input));
        if let Some(input) = early {
            answer_early(task, &opened, input, command.at, &mut events);
            events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at: command.at }));
        }
    }
    Ok(events)
}

/// An answer that came before its question is matched too: the order of the two does not matter. A question that takes
/// several people's approval, or answers of a shape this one was not checked for, waits for its own answers.
fn answers_early(blocker: &Blocker, spec: &BlockerSpec, input: &Input) -> bool {
    let fits = blocker.opened.answer_schema.is_none() || spec.fitting.contains(&input.input_id);
    inbox::may_answer(input) && fits && blocker.opened.approvers.is_none()
}

fn answer_early(task: &Task, blocker: &Blocker, input: &Input, at: DateTime<Utc>, events: &mut Vec<Event>) {
    let is_approval = blocker.opened.kind == BlockerKind::Approval;
    let action = match input.action {
        Some(Verdict::Approve) => Some(Decision::Approve),
        // Part of a mixed decision cannot be told apart here: nothing is approved by it.
        Some(Verdict::Reject | Verdict::Mixed) => Some(Decision::Reject),
        None => is_approval.then_some(Decision::Reject),
    };
    let items = action.map(|action| decided(task, blocker, action)).unwrap_or_default();
    approval::change_statuses(task, &items, at, events);
    let is_text = input.action.is_none();
    let status = if is_approval && is_text { BlockerStatus::Superseded } else { BlockerStatus::Resolved };
    let resolution = Resolution {
        action: input.action,
        items: if is_text { Vec::new() } else { items },
        message: Some(input.message.clone()),
        by: None,
        superseded_by: None,
    };
    events.push(approval::closed(blocker, status, Some(input.input_id), Some(resolution), at));
}

/// One decision for every pending output the question is about.
fn decided(task: &Task, blocker: &Blocker, action: Decision) -> Vec<ItemDecision> {
    let is_pending = |item: &&BlockerItem| {
        task.outputs
            .get(&item.output_id)
            .is_some_and(|output| output.status == crate::task::event::OutputStatus::Pending)
    };
    let decide = |item: &BlockerItem| ItemDecision { output_id: item.output_id, action, reason: None };
    blocker.opened.items.iter().filter(is_pending).map(decide).collect()
}

/// Opens a question. An equal one that is open already is left alone; one of the same kind and group is asked anew;
/// another one is superseded.
pub(super) fn open(
    task: &Task,
    live: &Live,
    spec: &BlockerSpec,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    Ok(ask(task, live, Asked::of(task, spec, at)?, at))
}

fn ask(task: &Task, live: &Live, asked: Asked, at: DateTime<Utc>) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(blocker) = &task.blocker {
        if asked.is_same(blocker, live) {
            return events;
        }
        // What was said to the earlier words does not count for others.
        if blocker.votes.is_empty() && asked.is_same_matter(blocker, live) {
            return vec![Event::BlockerUpdated(BlockerUpdated {
                blocker_id: blocker.opened.blocker_id,
                summary: asked.summary,
                details: asked.details,
                questions: asked.spec.questions,
                items: asked.items,
                at,
            })];
        }
        let resolution = Resolution {
            action: None,
            items: Vec::new(),
            message: None,
            by: None,
            superseded_by: Some(BlockerId::of_task(task.id(), task.blocker_revision.saturating_add(1))),
        };
        events.push(approval::closed(blocker, BlockerStatus::Superseded, None, Some(resolution), at));
    }
    events.push(Event::BlockerOpened(BlockerOpened {
        details: asked.details,
        questions: asked.spec.questions,
        items: asked.items,
        wait_group_id: asked.wait_group_id,
        answer_schema: asked.spec.answer_schema,
        deadline: asked.deadline,
        approvers: asked.spec.approvers,
        ..question(task, live.run_id, asked.kind, asked.summary, at)
    }));
    events
}

/// The task's next question, with nothing but its words.
pub(super) fn question(
    task: &Task,
    run_id: RunId,
    kind: BlockerKind,
    summary: String,
    at: DateTime<Utc>,
) -> BlockerOpened {
    let revision = task.blocker_revision.saturating_add(1);
    BlockerOpened {
        blocker_id: BlockerId::of_task(task.id(), revision),
        revision,
        run_id,
        kind,
        summary,
        details: None,
        questions: Vec::new(),
        items: Vec::new(),
        wait_group_id: None,
        answer_schema: None,
        deadline: None,
        approvers: None,
        tool_call_id: None,
        join: None,
        budget: None,
        opened_at: at,
    }
}

/// A question with everything checked and filled in.
struct Asked {
    kind: BlockerKind,
    summary: String,
    details: Option<String>,
    items: Vec<BlockerItem>,
    wait_group_id: Option<String>,
    deadline: Option<BlockerDeadline>,
    spec: BlockerSpec,
}

/// A summary that holds its details too (reference/behaviour 1.12).
#[derive(Deserialize)]
struct Packed {
    summary: String,
    details: Option<String>,
}

impl Asked {
    fn of(task: &Task, spec: &BlockerSpec, at: DateTime<Utc>) -> Result<Self, Rejection> {
        let kind = spec.kind.unwrap_or(BlockerKind::Input);
        let mut faults = Faults::default();
        faults.require(
            matches!(kind, BlockerKind::Input | BlockerKind::Approval),
            "/blocker/kind",
            "kind must be input or approval",
        );
        let packed =
            serde_json::from_str::<Packed>(&spec.summary).ok().filter(|_| kind == BlockerKind::Approval);
        let (summary, packed_details) =
            packed.map_or((spec.summary.clone(), None), |packed| (packed.summary, packed.details));
        let summary = summary.trim().to_owned();
        faults.require(!summary.is_empty(), "/blocker/summary", "summary is required");
        let wait_group_id = approval::given(spec.wait_group_id.as_deref());
        let items = items(task, spec, kind, wait_group_id.as_deref(), &mut faults);
        let deadline = spec.deadline.as_ref().and_then(|spec| deadline(spec, at, &mut faults));
        if let Some(approvers) = &spec.approvers {
            faults.require(
                kind == BlockerKind::Approval,
                "/blocker/approvers",
                "only an approval takes approvers",
            );
            faults.require(approvers.required > 0, "/blocker/approvers/required", "required must be > 0");
            let requester = task.accepted.accepted_by.as_ref();
            let mut among: Vec<_> = approvers.among.iter().filter(|name| Some(*name) != requester).collect();
            among.sort();
            among.dedup();
            let is_possible = approvers.among.is_empty()
                || u32::try_from(among.len()).is_ok_and(|there| approvers.required <= there);
            faults.require(
                is_possible,
                "/blocker/approvers/among",
                "among must name at least as many people, the requester not counted, as are required",
            );
        }
        faults.into_result().map_err(Rejection::Invalid)?;
        let details = spec.details.clone().or(packed_details).or_else(|| Some(summary.clone()));
        Ok(Self { kind, summary, details, items, wait_group_id, deadline, spec: spec.clone() })
    }

    /// True when the attempt's run asked exactly this.
    fn is_same(&self, blocker: &Blocker, live: &Live) -> bool {
        self.has_same_words(blocker, live) && blocker.opened.items == self.items
    }

    /// True when this has its answer. An approval that names no outputs is about what waits now: what the answer decided
    /// is not among it any more, which makes it no other question.
    fn was_answered(&self, blocker: &Blocker, live: &Live) -> bool {
        let asked = &blocker.opened.items;
        let adds_nothing = self.spec.items.is_empty() && self.items.iter().all(|item| asked.contains(item));
        self.has_same_words(blocker, live) && (adds_nothing || *asked == self.items)
    }

    fn has_same_words(&self, blocker: &Blocker, live: &Live) -> bool {
        let asked = &blocker.opened;
        self.is_same_matter(blocker, live)
            && asked.summary == self.summary
            && asked.details == self.details
            && asked.questions == self.spec.questions
    }

    /// True when the attempt's run asked about this before, perhaps in other words.
    fn is_same_matter(&self, blocker: &Blocker, live: &Live) -> bool {
        let asked = &blocker.opened;
        let is_same_deadline = match (&asked.deadline, &self.deadline, &self.spec.deadline) {
            (None, None, _) => true,
            // A span counts from the first time it was asked.
            (Some(old), Some(new), Some(spec)) => {
                old.default == new.default && (spec.after_ms.is_some() || old.at == new.at)
            }
            _ => false,
        };
        asked.run_id == live.run_id
            && asked.kind == self.kind
            && asked.wait_group_id == self.wait_group_id
            && asked.answer_schema == self.spec.answer_schema
            && asked.approvers == self.spec.approvers
            && asked.tool_call_id.is_none()
            && is_same_deadline
    }
}

/// The outputs the question is about, in the order of their making. An approval that names none is about what waits
/// for one.
fn items(
    task: &Task,
    spec: &BlockerSpec,
    kind: BlockerKind,
    wait_group_id: Option<&str>,
    faults: &mut Faults,
) -> Vec<BlockerItem> {
    if spec.items.is_empty() && kind == BlockerKind::Approval {
        let waiting = approval::pending_of_group(task, wait_group_id);
        let item = |(output_id, output): (_, &crate::task::state::Output)| BlockerItem {
            output_id,
            title: output.title.clone(),
            item_key: None,
        };
        return waiting.into_iter().map(item).collect();
    }
    let mut items: Vec<(u32, BlockerItem)> = Vec::new();
    for (index, named) in spec.items.iter().enumerate() {
        match task.outputs.get(&named.output_id) {
            Some(_) if items.iter().any(|(_, item)| item.output_id == named.output_id) => {}
            Some(output) => {
                let title = output.title.clone();
                let item_key = approval::given(named.item_key.as_deref());
                items.push((output.number, BlockerItem { output_id: named.output_id, title, item_key }));
            }
            None => faults.add(
                &format!("/blocker/items/{index}/output_id"),
                format!("item output {} not found", named.output_id),
            ),
        }
    }
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, item)| item).collect()
}

fn deadline(spec: &DeadlineSpec, at: DateTime<Utc>, faults: &mut Faults) -> Option<BlockerDeadline> {
    let default = spec.default;
    match (spec.at, spec.after_ms) {
        (Some(instant), None) => {
            let is_near = instant > at && instant <= later(at, SPAN_MS_MAX);
            faults.require(is_near, "/blocker/deadline/at", "must lie in the future and within a century");
            Some(BlockerDeadline { at: instant, default })
        }
        (None, Some(ms)) => {
            faults.require(
                (1..=SPAN_MS_MAX).contains(&ms),
                "/blocker/deadline/after_ms",
                "must be > 0 and at most a century",
            );
            Some(BlockerDeadline { at: later(at, ms), default })
        }
        _ => {
            faults.add("/blocker/deadline", "exactly one of at and after_ms is required");
            None
        }
    }
}

/// Ends the open question as it says itself, because nobody answered in time.
pub(super) fn expire(task: &Task, command: &ExpireBlocker) -> Vec<Event> {
    let open = task.blocker.as_ref().filter(|blocker| blocker.opened.blocker_id == command.blocker_id);
    let Some((blocker, deadline)) =
        open.and_then(|blocker| Some((blocker, blocker.opened.deadline.as_ref()?)))
    else {
        return Vec::new();
    };
    if deadline.at > command.at {
        return Vec::new();
    }
    match deadline.default {
        DeadlineDefault::Approve => go_on(task, blocker, Some(Decision::Approve), command.at),
        DeadlineDefault::Reject => go_on(task, blocker, Some(Decision::Reject), command.at),
        DeadlineDefault::None => go_on(task, blocker, None, command.at),
        DeadlineDefault::Fail => fail(task, blocker, command),
    }
}

fn fail(task: &Task, blocker: &Blocker, command: &ExpireBlocker) -> Vec<Event> {
    let error = format!("nobody answered in time: {}", blocker.opened.summary);
    let mut events = Vec::new();
    stop_run(task, RunStatus::Error, Some(error.clone()), command.grace_ms, command.at, &mut events);
    events.push(approval::closed(blocker, BlockerStatus::Expired, None, None, command.at));
    events.push(Event::TaskFailed(TaskFailed { error, at: command.at }));
    events
}

/// Goes on as if `action` had been said; without one, the agent only hears that nobody answered.
fn go_on(task: &Task, blocker: &Blocker, action: Option<Decision>, at: DateTime<Utc>) -> Vec<Event> {
    let items = action.map(|action| decided(task, blocker, action)).unwrap_or_default();
    let approval = Approval { verdict: action.map(Verdict::from), items };
    let note = format!("Nobody answered in time: {}", blocker.opened.summary);
    // Silence without a default is not a no to this very call for long: the agent may ask again.
    let feedback = if action.is_none() { note.as_str() } else { "" };
    let decided = tool_call::decide(task, blocker, action == Some(Decision::Approve), feedback, at);
    let is_told_later = decided.as_ref().is_some_and(|decided| decided.message.is_none());
    let call_message = decided.as_ref().map(|decided| decided.message.clone());
    let message = match (call_message, action) {
        (Some(None), _) => String::new(),
        (Some(Some(told)), Some(_)) => format!("{note}\n\n{told}"),
        (Some(Some(told)), None) => told,
        (None, None) => note.clone(),
        (None, Some(_)) => {
            format!("{note}\n\n{}", composed(task, &approval, "", &approval::pending(task), true))
        }
    };
    // One per question, so that a repeat is the same input.
    let input_id = InputId::of_key(task.id(), &format!("blocker-deadline:{}", blocker.opened.blocker_id));
    let live = task.working_attempt();
    let resolution = Resolution {
        action: approval.verdict,
        items: approval.items.clone(),
        message: Some(note),
        by: None,
        superseded_by: None,
    };
    let mut events = vec![Event::InputAccepted(InputAccepted {
        input_id,
        seq: task.next_input_seq(),
        kind: if action.is_some() { InputKind::ApproveReject } else { InputKind::FreeText },
        message: message.clone(),
        said: None,
        action: approval.verdict,
        items: approval.items.clone(),
        queue_mode: QueueMode::Followup,
        source: InputSource::Deadline,
        answers: serde_json::Map::new(),
        blocker_id: Some(blocker.opened.blocker_id),
        outcome: match live {
            _ if is_told_later => InputOutcome::Recorded,
            Some(_) => InputOutcome::Delivered,
            None => InputOutcome::Resumed,
        },
        accepted_at: at,
    })];
    approval::change_statuses(task, &approval.items, at, &mut events);
    events.extend(decided.map(|decided| decided.event));
    events.push(approval::closed(blocker, BlockerStatus::Expired, Some(input_id), Some(resolution), at));
    if is_told_later {
        return events;
    }
    events.push(if let Some(live) = live {
        Event::TaskContinued(TaskContinued { run_id: live.run_id, at })
    } else {
        let said = Said { input_id, message: &message, queue_mode: QueueMode::Followup };
        request_run_with_inputs(task, None, Some(said), at)
    });
    events
}

#[cfg(test)]
mod tests;
