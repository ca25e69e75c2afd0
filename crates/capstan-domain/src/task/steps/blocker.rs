//! Opening and closing questions.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::Faults;
use crate::id::{BlockerId, InputId, OutputId, RunId};
use crate::span::{SPAN_MS_MAX, later};
use crate::stored::json_bytes;
use crate::task::command::{AskedDeadline, OpenBlocker};
use crate::task::event::{
    Approvers, BlockerClosed, BlockerDeadline, BlockerItem, BlockerKind, BlockerOpened, BlockerStatus,
    BlockerUpdated, DeadlineDefault, Event, Question, Resolution,
};
use crate::task::state::{Blocker, Known, Live, Task};
use crate::text::non_blank;

/// Most bytes of a question as JSON: it is kept until it is answered and the agent has the answer.
const QUESTION_BYTES_MAX: usize = 128 << 10;
/// Most approvers a question may require.
const APPROVERS_MAX: u32 = 100;

/// The task's next question, with nothing but its summary.
pub(in crate::task) fn question(
    task: &Task,
    run_id: RunId,
    kind: BlockerKind,
    summary: String,
    at: DateTime<Utc>,
) -> BlockerOpened {
    let revision = task.blocker_revision.saturating_add(1);
    BlockerOpened {
        blocker_id: BlockerId::for_task(task.id(), revision),
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

/// Closes a question.
pub(in crate::task) fn closed(
    blocker: &Blocker,
    status: BlockerStatus,
    input_id: Option<InputId>,
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

/// Closes the open question without an answer, if one is open.
pub(in crate::task) fn close_open(
    task: &Task,
    status: BlockerStatus,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    events.extend(task.blocker.as_ref().map(|blocker| closed(blocker, status, None, None, at)));
}

/// Opens a question. An equal open one is left as it is, an open one on the same matter is updated, another one is
/// superseded.
pub(in crate::task) fn open(task: &Task, live: &Live, asked: NewQuestion, at: DateTime<Utc>) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(blocker) = &task.blocker {
        if asked.is_same(blocker, live) {
            return events;
        }
        // Votes on the earlier words do not count for others.
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
            superseded_by: Some(BlockerId::for_task(task.id(), task.blocker_revision.saturating_add(1))),
        };
        events.push(closed(blocker, BlockerStatus::Superseded, None, Some(resolution), at));
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

/// A question with everything checked and filled in.
pub(in crate::task) struct NewQuestion {
    kind: BlockerKind,
    summary: String,
    details: Option<String>,
    items: Vec<BlockerItem>,
    wait_group_id: Option<String>,
    deadline: Option<BlockerDeadline>,
    spec: OpenBlocker,
}

/// A summary of an approval that contains its details too, as JSON.
#[derive(Deserialize)]
struct PackedSummary {
    summary: String,
    details: Option<String>,
}

impl NewQuestion {
    /// A question without more than its words.
    pub(in crate::task) fn of_words(summary: &str) -> Self {
        Self {
            kind: BlockerKind::Input,
            summary: summary.to_owned(),
            details: Some(summary.to_owned()),
            items: Vec::new(),
            wait_group_id: None,
            deadline: None,
            spec: OpenBlocker::default(),
        }
    }

    /// Checks a question.
    pub(in crate::task) fn check(
        task: &Task,
        spec: &OpenBlocker,
        at: DateTime<Utc>,
        faults: &mut Faults,
    ) -> Self {
        let kind = spec.kind.map_or(BlockerKind::Input, BlockerKind::from);
        let packed = serde_json::from_str::<PackedSummary>(&spec.summary)
            .ok()
            .filter(|_| kind == BlockerKind::Approval);
        let (summary, packed_details) =
            packed.map_or((spec.summary.clone(), None), |packed| (packed.summary, packed.details));
        let summary = faults.required("/summary", &summary).to_owned();
        let wait_group_id = non_blank(spec.wait_group_id.as_deref());
        let is_short = json_bytes(spec) <= QUESTION_BYTES_MAX;
        faults.require(is_short, "", format_args!("a question may have at most {QUESTION_BYTES_MAX} bytes"));
        check_questions(&spec.questions, faults);
        let items = items(task, spec, kind, wait_group_id.as_deref(), faults);
        let deadline = spec.deadline.as_ref().and_then(|asked| deadline(asked, at, faults));
        let is_approved_unanswered = spec.answer_schema.is_some()
            && spec.deadline.as_ref().is_some_and(|asked| asked.default == DeadlineDefault::Approve);
        faults.require(
            !is_approved_unanswered,
            "/deadline/default",
            "a question with an answer_schema cannot be approved without an answer: use reject, fail or none",
        );
        if let Some(approvers) = &spec.approvers {
            check_approvers(task, kind, approvers, faults);
        }
        let details = spec.details.clone().or(packed_details).or_else(|| Some(summary.clone()));
        Self { kind, summary, details, items, wait_group_id, deadline, spec: spec.clone() }
    }

    /// True when the attempt's run asked exactly this.
    fn is_same(&self, blocker: &Blocker, live: &Live) -> bool {
        self.has_same_words(blocker, live) && blocker.opened.items == self.items
    }

    /// True when this question was answered. An approval that names no outputs is about what waits now: outputs the
    /// answer has decided are no longer among them, which makes it no other question.
    pub(in crate::task) fn was_answered(&self, blocker: &Blocker, live: &Live) -> bool {
        let asked = &blocker.opened.items;
        let adds_nothing = names_none(&self.spec) && self.items.iter().all(|item| asked.contains(item));
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
            // A span counts from the first time the question was asked.
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

fn check_questions(questions: &[Question], faults: &mut Faults) {
    for (place, question) in questions.iter().enumerate() {
        let pointer = format!("/questions/{place}");
        let id = faults.required(&format!("{pointer}/id"), &question.id);
        faults.required(&format!("{pointer}/text"), &question.text);
        let is_taken = !id.is_empty() && questions[..place].iter().any(|earlier| earlier.id.trim() == id);
        faults.require(!is_taken, &format!("{pointer}/id"), format_args!("the id {id:?} occurs twice"));
    }
}

fn check_approvers(task: &Task, kind: BlockerKind, approvers: &Approvers, faults: &mut Faults) {
    faults.require(kind == BlockerKind::Approval, "/approvers", "only an approval takes approvers");
    faults.require(
        (1..=APPROVERS_MAX).contains(&approvers.required),
        "/approvers/required",
        format_args!("required must be > 0 and at most {APPROVERS_MAX}"),
    );
    let requester = task.accepted.accepted_by.as_ref();
    let mut among: Vec<_> = approvers.among.iter().filter(|name| Some(*name) != requester).collect();
    among.sort();
    among.dedup();
    let is_possible = approvers.among.is_empty()
        || u32::try_from(among.len()).is_ok_and(|there| approvers.required <= there);
    faults.require(
        is_possible,
        "/approvers/among",
        "among must name at least as many people, the requester not counted, as are required",
    );
}

/// True when a question names no outputs.
fn names_none(spec: &OpenBlocker) -> bool {
    spec.items.is_empty() && spec.output_ids.is_empty()
}

/// The outputs the question is about, in the order of their creation. An approval that names none is about the outputs
/// that await one.
fn items(
    task: &Task,
    spec: &OpenBlocker,
    kind: BlockerKind,
    wait_group_id: Option<&str>,
    faults: &mut Faults,
) -> Vec<BlockerItem> {
    if names_none(spec) && kind == BlockerKind::Approval {
        let item = |(output_id, output): (_, Known<'_>)| BlockerItem {
            output_id,
            title: output.title(),
            item_key: None,
        };
        return task.group_awaiting_approval(wait_group_id).into_iter().map(item).collect();
    }
    let mut items: Vec<(u32, BlockerItem)> = Vec::new();
    let mut name =
        |output_id: OutputId, item_key: Option<&str>, pointer: &str| match task.outputs.get(output_id) {
            Some(_) if items.iter().any(|(_, item)| item.output_id == output_id) => {}
            Some(output) => {
                let title = output.title();
                items.push((output.number, BlockerItem { output_id, title, item_key: non_blank(item_key) }));
            }
            None => faults.add(pointer, format!("item output {output_id} not found")),
        };
    for (index, item) in spec.items.iter().enumerate() {
        name(item.output_id, item.item_key.as_deref(), &format!("/items/{index}/output_id"));
    }
    for (index, output_id) in spec.output_ids.iter().enumerate() {
        name(*output_id, None, &format!("/output_ids/{index}"));
    }
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, item)| item).collect()
}

fn deadline(spec: &AskedDeadline, at: DateTime<Utc>, faults: &mut Faults) -> Option<BlockerDeadline> {
    let default = spec.default;
    match (spec.at, spec.after_ms) {
        (Some(instant), None) => {
            let is_near = instant > at && instant <= later(at, SPAN_MS_MAX);
            faults.require(is_near, "/deadline/at", "must be in the future and within a century");
            Some(BlockerDeadline { at: instant, default })
        }
        (None, Some(ms)) => {
            faults.require(
                (1..=SPAN_MS_MAX).contains(&ms),
                "/deadline/after_ms",
                "must be > 0 and at most a century",
            );
            Some(BlockerDeadline { at: later(at, ms), default })
        }
        _ => {
            faults.add("/deadline", "exactly one of at and after_ms is required");
            None
        }
    }
}
