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

/// The task of a tick: the one that a command with the key `schedule:<id>:<tick>` makes, whoever sends it.
pub fn task_of_tick(schedule: &Schedule, tick: DateTime<Utc>) -> TaskId {
    let key = format!("schedule:{}:{}", schedule.schedule_id, tick.timestamp());
    TaskId::from_key(&schedule.workspace, schedule.agent_id, &key)
}

/// The command that makes the task these events ask for; none when they ask for none.
pub fn accept_of(schedule: &Schedule, events: &[Event], agent: &AgentForTask) -> Option<Accept> {
    events.iter().find_map(|event| match event {
        Event::TickFired(fired) => {
            Some(accept(schedule, agent, fired.task_id, &fired.tick.timestamp().to_string()))
        }
        Event::Triggered(triggered) => {
            let name = format!("trigger-{}", triggered.task_id);
            Some(accept(schedule, agent, triggered.task_id, &name))
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
    let id = schedule.schedule_id;
    let definition = &schedule.definition;
    let mut provenance = Map::new();
    provenance.insert("source".into(), Value::from("scheduled_task"));
    provenance.insert("schedule_id".into(), Value::from(id.to_string()));
    provenance.insert("occasion".into(), Value::from(occasion));
    let command = AcceptAgentCommand {
        message: definition.prompt.clone(),
        agent_id: agent.agent_id.to_string(),
        session_id: Some(format!("schedule-session:{id}:{occasion}")),
        lane: Some(format!("schedule-lane:{id}")),
        label: Some(label(&definition.prompt)),
        input_provenance: provenance,
        source_view_id: definition.source_view_id.clone(),
        spawned_by: Some(format!("schedule:{id}")),
        ..AcceptAgentCommand::default()
    };
    Accept {
        schedule_id: Some(id.to_string()),
        skill_paths: definition.skill_paths.clone(),
        // It was measured when the schedule took it.
        message_bytes_max: usize::MAX,
        ..Accept::new(task_id, agent.clone(), command)
    }
}

/// The beginning of the prompt, on one line.
fn label(prompt: &str) -> String {
    let line: String = prompt.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).collect();
    let mut label: String = "Schedule: ".chars().chain(line.chars().take(LABEL_CHARS)).collect();
    if line.chars().count() > LABEL_CHARS {
        label.push('…');
    }
    label
}
