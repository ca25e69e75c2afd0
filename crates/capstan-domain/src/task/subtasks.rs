//! Children of a task (domain.md 7): a run that ended well asks for them, the engine makes them under ids derived
//! from the run, and each tells its parent how it ended.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::finite::is_amount;
use crate::id::{InputId, RunId, TaskId};
use crate::task::accept::priority_of;
use crate::task::command::{Accept, ChildEnded, FanOut, Parent, ParentHeard, SubtaskSpec};
use crate::task::decide::SPAN_MS_MAX;
use crate::task::event::{
    BlockerKind, BlockerOpened, Event, InputSource, Join, JoinWait, ParentTold, SourceWatch, Subtask,
    SubtaskEnded, SubtasksSpawned,
};
use crate::task::rejection::Rejection;
use crate::task::state::{Child, Task};
use crate::task::{automated_input, blocker, watches};
use crate::{Faults, agent};

/// Most children one run may ask for.
pub const SUBTASKS_MAX: usize = 100;
/// Most children a task may ever have asked for.
pub const CHILDREN_MAX: usize = 1000;
/// How far below the top of its tree a task may stand.
pub const DEPTH_MAX: u32 = 8;
/// Longest prompt of a child, in bytes.
const PROMPT_BYTES_MAX: usize = 256 << 10;
/// Longest answer of a child its parent keeps, in bytes of JSON.
const RESULT_BYTES_MAX: usize = 32 << 10;
/// Longest answer of a child its parent's agent is told, in bytes.
const TOLD_BYTES_MAX: usize = 8 << 10;
/// What made a child.
const SPAWNED_BY: &str = "fanout_subtask";

/// What a run asked for, if anything. Takes the watches that belong to the children out of `watches`.
pub(super) fn spawned(
    task: &Task,
    run_id: RunId,
    plan: &FanOut,
    watches: &mut Vec<SourceWatch>,
    at: DateTime<Utc>,
) -> Result<Option<SubtasksSpawned>, Rejection> {
    let wanted: Vec<_> =
        plan.subtasks.iter().enumerate().filter(|(_, spec)| !spec.prompt.trim().is_empty()).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut faults = Faults::default();
    faults.require(
        wanted.len() <= SUBTASKS_MAX,
        "/subtasks",
        "at most 100 subtasks may be asked for at once",
    );
    faults.require(
        task.children.len() + wanted.len() <= CHILDREN_MAX,
        "/subtasks",
        "a task may have at most 1000 subtasks",
    );
    faults.require(
        task.accepted.depth < DEPTH_MAX,
        "/subtasks",
        "subtasks may be nested at most 8 levels deep",
    );
    let left = task.accepted.budget_usd.map(|budget| (budget - task.tree_cost_usd()).max(0.0));
    let mut subtasks = Vec::with_capacity(wanted.len());
    for (place, (given_at, spec)) in wanted.into_iter().enumerate() {
        let mut own = Faults::default();
        let subtask = subtask(run_id, place, spec, left, &mut own);
        for fault in own.into_result().err().into_iter().flatten() {
            faults.add(&format!("/subtasks/{given_at}{}", fault.pointer), fault.message);
        }
        subtasks.push(subtask);
    }
    faults.into_result().map_err(Rejection::Invalid)?;
    watches::hand_over(watches, &mut subtasks);
    Ok(Some(SubtasksSpawned { run_id, join: plan.join.unwrap_or(Join::None), subtasks, at }))
}

fn subtask(
    run_id: RunId,
    place: usize,
    spec: &SubtaskSpec,
    left: Option<f64>,
    faults: &mut Faults,
) -> Subtask {
    let index = u32::try_from(place).unwrap_or(u32::MAX);
    let given = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    faults.require(spec.prompt.len() <= PROMPT_BYTES_MAX, "/prompt", "prompt exceeds 262144 bytes");
    let delay_ms = spec.wake_delay_minutes.filter(|minutes| *minutes > 0).map(|m| m.saturating_mul(60_000));
    let is_short = delay_ms.is_none_or(|ms| ms <= SPAN_MS_MAX);
    faults.require(is_short, "/wake_delay_minutes", "must be at most a century");
    let is_amount = spec.budget_usd.is_none_or(is_amount);
    faults.require(is_amount, "/budget_usd", "budget_usd must be >= 0 and at most 1e12");
    let priority = given(&spec.priority).map(|text| priority_of(Some(&text), faults));
    let policy = spec.policy.clone().map(crate::policy::RunPolicy::normalised);
    if let Some(policy) = &policy {
        policy.check(faults);
    }
    Subtask {
        task_id: TaskId::of_subtask(run_id, index),
        index,
        prompt: spec.prompt.trim().to_owned(),
        label: given(&spec.label),
        source_output_id: given(&spec.source_output_id),
        dispatch_delay_ms: delay_ms,
        priority,
        budget_usd: match (spec.budget_usd, left) {
            (Some(given), Some(left)) => Some(given.min(left)),
            (given, left) => given.or(left),
        },
        policy,
        watches: Vec::new(),
    }
}

/// What a task waits for after this, when it does.
pub(super) fn join_of(spawned: &SubtasksSpawned) -> Option<JoinWait> {
    let task_ids = spawned.subtasks.iter().map(|subtask| subtask.task_id).collect();
    (spawned.join != Join::None).then_some(JoinWait { join: spawned.join, task_ids })
}

/// The task waits for subtasks.
pub(super) fn wait_for(task: &Task, run_id: RunId, join: JoinWait, at: DateTime<Utc>) -> Event {
    let which = if join.join == Join::Any { "the first of" } else { "all of" };
    let summary = format!("Waits for {which} {} subtasks", join.task_ids.len());
    Event::BlockerOpened(BlockerOpened {
        join: Some(join),
        ..blocker::question(task, run_id, BlockerKind::Subtasks, summary, at)
    })
}

/// The command that makes a child. The same parent and subtask make the same child, however often it is sent.
pub fn acceptance(parent: &Task, subtask: &Subtask, at: DateTime<Utc>) -> Accept {
    let accepted = &parent.accepted;
    let agent = agent::Created {
        agent_id: accepted.agent_id,
        workspace: accepted.workspace.clone(),
        agent_key: accepted.agent_key.clone(),
        name: accepted.agent_name.clone(),
        role: String::new(),
        memory_scope: String::new(),
        quality_score: None,
        cost_budget_usd: None,
        config: accepted.agent_config.clone(),
        // The parent's agent was taken at its word when the parent was accepted.
        active: true,
        created_at: at,
    };
    Accept {
        // In the parent's lane the children would run one after another, and behind the parent itself.
        lane: Some(format!("subtask-lane:{}", subtask.task_id)),
        policy: Some(subtask.policy.clone().unwrap_or_else(|| accepted.policy.clone())),
        timeout_ms: Some(accepted.timeout_ms),
        priority: Some(subtask.priority.unwrap_or(parent.priority).as_str().to_owned()),
        budget_usd: subtask.budget_usd,
        parent: Some(Parent {
            task_id: parent.id(),
            root_task_id: accepted.root_task_id.unwrap_or(parent.id()),
            depth: accepted.depth,
            is_open: true,
        }),
        source_output_id: subtask.source_output_id.clone(),
        label: subtask.label.clone(),
        routing: accepted.routing.clone(),
        extra_system_prompt: accepted.extra_system_prompt.clone(),
        source_view_id: accepted.source_view_id.clone(),
        spawned_by: Some(SPAWNED_BY.to_owned()),
        dispatch_delay_ms: subtask.dispatch_delay_ms,
        watches: subtask.watches.clone(),
        message_bytes_max: usize::MAX,
        accepted_by: accepted.accepted_by.clone(),
        ..Accept::new(subtask.task_id, agent, subtask.prompt.clone(), at)
    }
}

/// What a child that is over says to its parent.
pub fn report(child: &Task, at: DateTime<Utc>) -> ChildEnded {
    ChildEnded {
        task_id: child.id(),
        label: child.accepted.label.clone(),
        state: child.state,
        result: child.result.clone().map(short),
        error: child.error.clone(),
        cost_usd: child.tree_cost_usd(),
        at,
    }
}

/// An answer as its parent keeps it: a long one is cut, and then is a text.
fn short(result: Value) -> Value {
    let json = result.to_string();
    if json.len() <= RESULT_BYTES_MAX {
        return result;
    }
    Value::String(cut(result.as_str().unwrap_or(&json), RESULT_BYTES_MAX))
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{} … (cut, {} bytes in all)", &text[..end], text.len())
}

pub(super) fn child_ended(task: &Task, command: &ChildEnded) -> Vec<Event> {
    let ended = SubtaskEnded {
        task_id: command.task_id,
        label: command.label.clone(),
        state: command.state,
        result: command.result.clone(),
        error: command.error.clone(),
        cost_usd: command.cost_usd,
        at: command.at,
    };
    let known = task.children.get(&command.task_id).and_then(|child| child.ended.as_ref());
    if known.is_some_and(|known| SubtaskEnded { at: ended.at, ..known.clone() } == ended) {
        return Vec::new();
    }
    let mut after = task.clone();
    let child = Child { label: command.label.clone(), subtask: None, ended: Some(ended.clone()) };
    after.children.insert(command.task_id, child);
    let mut events = vec![Event::SubtaskEnded(ended)];
    let met = after.joins.iter().find(|join| after.is_met(join) && join.task_ids.contains(&command.task_id));
    if let Some(join) = met {
        let told = results(&after, join);
        events.extend(automated_input::tell(
            &after,
            join.input_id(task.id()),
            InputSource::Subtasks,
            told,
            command.at,
        ));
    }
    events
}

pub(super) fn parent_heard(task: &Task, command: &ParentHeard) -> Vec<Event> {
    let told = || Event::ParentTold(ParentTold { at: command.at });
    task.must_tell_parent().then(told).into_iter().collect()
}

/// What the agent is told of the children it waited for.
fn results(task: &Task, join: &JoinWait) -> String {
    let children = join.task_ids.iter().map(|id| (id, task.children.get(id)));
    let over = children.clone().filter(|(_, child)| child.is_some_and(|child| child.ended.is_some())).count();
    let mut text = format!("{over} of {} subtasks are over.", join.task_ids.len());
    for (place, (id, child)) in children.enumerate() {
        let name = child.and_then(|child| child.label.clone()).unwrap_or_else(|| format!("subtask {id}"));
        let ended = child.and_then(|child| child.ended.as_ref());
        let state = ended.map_or("not over yet", |ended| ended.state.as_str());
        text.push_str(&format!("\n\n{}. {name}: {state}", place + 1));
        if let Some(error) = ended.and_then(|ended| ended.error.as_ref()) {
            text.push_str(&format!(" ({})", cut(error, TOLD_BYTES_MAX)));
        }
        match ended.and_then(|ended| ended.result.as_ref()) {
            None | Some(Value::Null) => {}
            Some(Value::String(result)) => text.push_str(&format!("\n{}", cut(result, TOLD_BYTES_MAX))),
            Some(result) => text.push_str(&format!("\n{}", cut(&result.to_string(), TOLD_BYTES_MAX))),
        }
    }
    text
}

impl JoinWait {
    /// The input that tells the task of the end of this wait.
    pub fn input_id(&self, task: TaskId) -> InputId {
        let first = self.task_ids.first().map(ToString::to_string).unwrap_or_default();
        InputId::of_key(task, &format!("subtasks:{first}"))
    }
}

impl Task {
    /// True when nothing is left to wait for.
    fn is_met(&self, join: &JoinWait) -> bool {
        let mut over =
            join.task_ids.iter().map(|id| self.children.get(id).is_some_and(|child| child.ended.is_some()));
        match join.join {
            Join::None => true,
            Join::All => over.all(|over| over),
            Join::Any => over.any(|over| over),
        }
    }

    /// What it cost with its children that are over, in US dollars.
    pub fn tree_cost_usd(&self) -> f64 {
        let ended = self.children.values().filter_map(|child| child.ended.as_ref());
        (self.cost_usd + ended.map(|ended| ended.cost_usd).sum::<f64>()).min(crate::finite::AMOUNT_MAX)
    }

    /// The children it asked for that are not known to be over.
    pub fn open_subtasks(&self) -> impl Iterator<Item = &Subtask> {
        self.children
            .values()
            .filter(|child| child.ended.is_none())
            .filter_map(|child| child.subtask.as_deref())
    }

    /// True while it is over and its parent does not know.
    pub fn must_tell_parent(&self) -> bool {
        self.state.is_terminal()
            && self.live.is_none()
            && self.accepted.parent_task_id.is_some()
            && !self.parent_told
    }

    /// True when nothing is left to be done about it: no lease to be freed, no child to be made or heard of, no parent
    /// to be told.
    pub fn is_at_rest(&self) -> bool {
        self.state.is_terminal()
            && self.live.is_none()
            && !self.must_tell_parent()
            && self.open_subtasks().next().is_none()
    }
}

#[cfg(test)]
mod tests;
