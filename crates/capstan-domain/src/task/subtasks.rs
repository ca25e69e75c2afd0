//! Subtasks: the engine makes them under ids derived from the run that requested them, and each reports its end to its
//! parent.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::agent::{AgentForTask, TaskSettings};
use crate::id::{InputId, TaskId};
use crate::task::command::{Accept, AcceptAgentCommand, ChildEnded, Parent};
use crate::task::event::{Event, InputSource, JoinWait, ParentTold, Subtask, SubtaskEnded};
use crate::task::state::{Child, Task};
use crate::task::steps::input;
use crate::task::transitions::TaskState;

/// The `spawned_by` of a subtask. Part of the stored format, as its lane is.
pub(crate) const SPAWNED_BY: &str = "fanout_subtask";

/// The lane of a subtask: in the parent's the children would run one after another, and behind the parent itself.
pub(crate) fn lane(subtask: TaskId) -> String {
    format!("subtask-lane:{subtask}")
}

/// The command that makes a child. The same parent and subtask make the same child, however often it is sent.
pub fn acceptance(parent: &Task, subtask: &Subtask) -> Accept {
    let accepted = &parent.accepted;
    let agent = AgentForTask {
        agent_id: accepted.agent_id,
        workspace: accepted.workspace.clone(),
        agent_key: accepted.agent_key.clone(),
        name: accepted.agent_name.clone(),
        // It was when the parent was accepted.
        active: true,
        config_version: accepted.agent_config_version,
        settings: TaskSettings {
            provider: accepted.provider.clone(),
            model: accepted.model.clone(),
            pool: accepted.pool.clone(),
        },
    };
    let command = AcceptAgentCommand {
        message: subtask.prompt.clone(),
        agent_id: agent.agent_id.to_string(),
        lane: Some(lane(subtask.task_id)),
        policy: Some(subtask.policy.clone().unwrap_or_else(|| accepted.policy.clone())),
        timeout_ms: Some(accepted.timeout_ms),
        priority: Some(subtask.priority.unwrap_or(parent.priority).as_str().to_owned()),
        budget_usd: subtask.budget_usd,
        parent_task_id: Some(parent.id()),
        label: subtask.label.clone(),
        routing: accepted.routing.clone(),
        extra_system_prompt: accepted.extra_system_prompt.clone(),
        source_view_id: accepted.source_view_id.clone(),
        spawned_by: Some(SPAWNED_BY.to_owned()),
        dispatch_delay_ms: subtask.dispatch_delay_ms,
        ..AcceptAgentCommand::default()
    };
    Accept {
        parent: Some(Parent {
            task_id: parent.id(),
            root_task_id: accepted.root_task_id.unwrap_or(parent.id()),
            depth: accepted.depth,
            is_open: true,
        }),
        source_output_id: subtask.source_output_id.clone(),
        watches: subtask.watches.clone(),
        message_bytes_max: usize::MAX,
        accepted_by: accepted.accepted_by.clone(),
        ..Accept::new(subtask.task_id, agent, command)
    }
}

/// The report of a subtask that is over to its parent.
pub fn report(child: &Task) -> ChildEnded {
    ChildEnded {
        task_id: child.id(),
        label: child.accepted.label.clone(),
        run_no: child.runs.count(),
        state: child.state,
        result: child.report.result.clone(),
        error: child.report.error.clone(),
        cost_usd: child.spent_usd(),
    }
}

/// The report of a subtask that cannot be made to its parent.
pub fn missing(parent: &Task, subtask: TaskId) -> ChildEnded {
    let known = parent.children.get(&subtask).and_then(|child| child.subtask.as_ref());
    ChildEnded {
        task_id: subtask,
        label: known.and_then(|subtask| subtask.label.clone()),
        run_no: 0,
        state: TaskState::Dropped,
        result: None,
        error: Some("the subtask could not be created".to_owned()),
        cost_usd: 0.0,
    }
}

pub(super) fn child_ended(task: &Task, command: &ChildEnded, at: DateTime<Utc>) -> Vec<Event> {
    let ended = SubtaskEnded {
        task_id: command.task_id,
        label: command.label.clone(),
        run_no: command.run_no,
        state: command.state,
        result: command.result.clone(),
        error: command.error.clone(),
        cost_usd: command.cost_usd,
        at,
    };
    let known = task.children.get(&command.task_id).and_then(|child| child.ended.as_ref());
    if known.is_some_and(|known| known.is_told_by(&ended)) {
        return Vec::new();
    }
    let mut after = task.clone();
    after.children.ended(&ended);
    let is_met = |join: &&JoinWait| after.children.is_met(join) && join.task_ids.contains(&command.task_id);
    let met = after.children.joins.iter().find(is_met);
    let mut events = vec![Event::SubtaskEnded(ended)];
    if let Some(join) = met {
        let input_id = InputId::of_report(task.id(), task.inbox.next_seq());
        let message = results(&after, join);
        events.extend(input::report(&after, input_id, InputSource::Subtasks, message, at));
    }
    events
}

pub(super) fn parent_heard(task: &Task, at: DateTime<Utc>) -> Vec<Event> {
    let told = || Event::ParentTold(ParentTold { at });
    task.must_tell_parent().then(told).into_iter().collect()
}

/// The message about the subtasks the agent waited for. Their reports were cut when they came.
fn results(task: &Task, join: &JoinWait) -> String {
    let children = join.task_ids.iter().map(|id| (id, task.children.get(id)));
    let over = children.clone().filter(|(_, child)| child.is_some_and(|child| child.ended.is_some())).count();
    let mut text = format!("{over} of {} subtasks are over.", join.task_ids.len());
    for (place, (id, child)) in children.enumerate() {
        let name = child.and_then(Child::label).map_or_else(|| format!("subtask {id}"), str::to_owned);
        let ended = child.and_then(|child| child.ended.as_ref()?.report.as_ref());
        let state = ended.map_or("not over yet", |ended| ended.state.as_str());
        text.push_str(&format!("\n\n{}. {name}: {state}", place + 1));
        if let Some(error) = ended.and_then(|ended| ended.error.as_ref()) {
            text.push_str(&format!(" ({error})"));
        }
        match ended.and_then(|ended| ended.result.as_ref()) {
            None | Some(Value::Null) => {}
            Some(Value::String(result)) => text.push_str(&format!("\n{result}")),
            Some(result) => text.push_str(&format!("\n{result}")),
        }
    }
    text
}

#[cfg(test)]
mod tests;
