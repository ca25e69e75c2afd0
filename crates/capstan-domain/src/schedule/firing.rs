//! The task a tick or a trigger makes.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::agent::AgentForTask;
use crate::id::TaskId;
use crate::schedule::Schedule;
use crate::schedule::event::Event;
use crate::task::command::{Accept, AcceptAgentCommand};

/// Characters of the prompt in a task's label.
const LABEL_CHARS: usize = 60;

/// The task of a tick: the same on every try to fire it.
pub fn task_of_tick(schedule: &Schedule, tick: DateTime<Utc>) -> TaskId {
    TaskId::of_tick(&schedule.workspace, schedule.agent_id, schedule.schedule_id, tick.timestamp())
}

/// The command that makes the task these events ask for; none when they ask for none.
pub fn accept_of(schedule: &Schedule, events: &[Event], agent: &AgentForTask) -> Option<Accept> {
    events.iter().find_map(|event| match event {
        Event::TickFired(fired) => {
            Some(accept(schedule, agent, fired.task_id, &fired.tick.timestamp().to_string()))
        }
        Event::Triggered(triggered) => {
            Some(accept(schedule, agent, triggered.task_id, &self::triggered(triggered.task_id)))
        }
        Event::Created(_)
        | Event::Changed(_)
        | Event::Paused(_)
        | Event::Resumed(_)
        | Event::Deleted(_)
        | Event::TickSkipped(_)
        | Event::TicksMissed(_) => None,
    })
}

fn accept(schedule: &Schedule, agent: &AgentForTask, task_id: TaskId, occasion: &str) -> Accept {
    let id = schedule.schedule_id.to_string();
    let definition = &schedule.definition;
    let command = AcceptAgentCommand {
        message: definition.prompt.clone(),
        agent_id: agent.agent_id.to_string(),
        session_id: Some(session(&id, occasion)),
        lane: Some(lane(&id)),
        label: Some(label(&definition.prompt)),
        input_provenance: provenance(&id, occasion),
        source_view_id: definition.source_view_id.clone(),
        spawned_by: Some(spawned_by(&id)),
        ..AcceptAgentCommand::default()
    };
    Accept {
        schedule_id: Some(id),
        occasion: Some(occasion.to_owned()),
        skill_paths: definition.skill_paths.clone(),
        // It was measured when the schedule took it.
        message_bytes_max: usize::MAX,
        ..Accept::new(task_id, agent.clone(), command)
    }
}

// What follows from a schedule and an occasion is left out of the stored acceptance, so these texts are part of its format.

/// The occasion of a trigger.
pub(crate) fn triggered(task_id: TaskId) -> String {
    format!("trigger-{task_id}")
}

/// The session of a task.
pub(crate) fn session(schedule_id: &str, occasion: &str) -> String {
    format!("schedule-session:{schedule_id}:{occasion}")
}

/// The lane of its tasks, which run one after another.
pub(crate) fn lane(schedule_id: &str) -> String {
    format!("schedule-lane:{schedule_id}")
}

/// The origin of a task, in short.
pub(crate) fn spawned_by(schedule_id: &str) -> String {
    format!("schedule:{schedule_id}")
}

/// The origin of a task.
pub(crate) fn provenance(schedule_id: &str, occasion: &str) -> Map<String, Value> {
    [("source", "scheduled_task"), ("schedule_id", schedule_id), ("occasion", occasion)]
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .into_iter()
        .collect()
}

/// The label of a task: the beginning of the prompt, on one line.
pub(crate) fn label(prompt: &str) -> String {
    let line: String = prompt.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).collect();
    let mut label: String = "Schedule: ".chars().chain(line.chars().take(LABEL_CHARS)).collect();
    if line.chars().count() > LABEL_CHARS {
        label.push('…');
    }
    label
}
