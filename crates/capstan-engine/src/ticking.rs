//! Execution of ticks: reads the agent and the open tasks, then appends the events of schedule and task together.

use capstan_contract::causes::explain;
use capstan_contract::{AgentCodec, ScheduleCodec, TaskCodec};
use capstan_decider::Decider;
use capstan_dispatch::{CommandContext, DispatchError, ReadFailure, TogetherError, execute_together};
use capstan_domain::agent::AgentForTask;
use capstan_domain::id::{AgentId, TaskId, derived};
use capstan_domain::schedule::command::{Obstacle, Tick};
use capstan_domain::schedule::event::PauseCause;
use capstan_domain::schedule::{Command, Event, Overlap, ScheduleDecider, State, firing};
use capstan_domain::{Requested, task};
use capstan_envelope::Actor;

use crate::commands::stream_of;
use crate::deciders::Deciders;
use crate::metric;
use crate::process::{AgentCheck, ScheduleKey, ScheduleSettled, TickOrder};

/// Names of the commands in commit metadata.
const TICK: &str = "tick-schedule";
const PAUSE: &str = "pause-schedule";

type Refusal = TogetherError<<ScheduleDecider as Decider>::Rejection, task::Rejection>;

/// Records a tick, and accepts the task it fires.
pub(crate) async fn tick(deciders: &Deciders, order: &TickOrder, grace_ms: i64) -> ScheduleSettled {
    let outcome = execute(deciders, order, grace_ms).await;
    settled(&order.key, TICK, outcome)
}

/// Reads a schedule from the log.
pub(crate) async fn load(deciders: &Deciders, key: &ScheduleKey) -> ScheduleSettled {
    let outcome = match stream_of::<ScheduleCodec>(&key.workspace, &key.schedule_id.to_string()) {
        Some(stream) => match deciders.schedules.refresh(&stream).await {
            Ok(loaded) => Ok(Some((loaded.head.version, loaded.state.clone()))),
            Err(failure) => Err(TogetherError::First(failure.into())),
        },
        None => Ok(None),
    };
    settled(key, "load-schedule", outcome)
}

/// Pauses a schedule whose agent no longer takes commands.
pub(crate) async fn check_agent(deciders: &Deciders, check: &AgentCheck) -> ScheduleSettled {
    settled(&check.key, PAUSE, pause_without_agent(deciders, check).await)
}

async fn pause_without_agent(deciders: &Deciders, check: &AgentCheck) -> Found {
    let AgentCheck { key, command_id, agent_id, at } = check;
    let Some(stream) = stream_of::<ScheduleCodec>(&key.workspace, &key.schedule_id.to_string()) else {
        return Ok(None);
    };
    let agent = agent_of(deciders, &key.workspace, *agent_id).await;
    let agent = agent.map_err(|failure| TogetherError::First(failure.into()))?;
    let loaded = match agent {
        Some(agent) if agent.active => deciders.schedules.refresh(&stream).await,
        gone => {
            let cause = gone.map_or(PauseCause::AgentGone, |_| PauseCause::AgentInactive);
            let command = Requested::new(Command::Pause { cause, reason: None }, *at);
            let context = CommandContext::new(*command_id, PAUSE, Actor::Engine, *at);
            match deciders.schedules.execute(&stream, &command, &context).await {
                Ok(decided) => Ok(decided.loaded),
                // It was deleted meanwhile.
                Err(DispatchError::Rejected(_)) => deciders.schedules.refresh(&stream).await,
                Err(error) => return Err(TogetherError::First(error)),
            }
        }
    };
    let loaded = loaded.map_err(|failure| TogetherError::First(failure.into()))?;
    Ok(Some((loaded.head.version, loaded.state.clone())))
}

type Found = Result<Option<(u64, State)>, Refusal>;

fn settled(key: &ScheduleKey, what: &'static str, outcome: Found) -> ScheduleSettled {
    match outcome {
        Ok(Some((version, state))) => ScheduleSettled::State { version, state },
        Ok(None) => ScheduleSettled::Failed { is_retryable: false },
        Err(error) => {
            let is_retryable = error.is_retryable();
            tracing::warn!(schedule = %key.schedule_id, what, is_retryable, error = explain(&error), "an order to a schedule failed");
            ScheduleSettled::Failed { is_retryable }
        }
    }
}

async fn execute(deciders: &Deciders, order: &TickOrder, grace_ms: i64) -> Found {
    let TickOrder { key, at, .. } = order;
    let Some(stream) = stream_of::<ScheduleCodec>(&key.workspace, &key.schedule_id.to_string()) else {
        return Ok(None);
    };
    let agent = agent_of(deciders, &key.workspace, order.agent_id).await;
    let agent = agent.map_err(|failure| TogetherError::First(failure.into()))?;
    let obstacle = match &agent {
        None => Some(Obstacle::AgentGone),
        Some(agent) if !agent.active => Some(Obstacle::AgentInactive),
        Some(_) => None,
    };
    let open_task_ids = match order.overlap {
        Overlap::Queue => Vec::new(),
        Overlap::Skip | Overlap::CancelRunning => {
            still_open(deciders, order).await.map_err(|failure| TogetherError::Second(failure.into()))?
        }
    };
    let tick = Tick { tick: order.tick, obstacle, open_task_ids };
    let command = Requested::new(Command::Tick(tick.clone()), *at);
    let context = CommandContext::new(order.command_id, TICK, Actor::Engine, *at);
    if order.overlap == Overlap::CancelRunning && !tick.open_task_ids.is_empty() {
        let loaded = deciders.schedules.refresh(&stream).await;
        let loaded = loaded.map_err(|failure| TogetherError::First(failure.into()))?;
        let decided = ScheduleDecider::decide(&loaded.state, &command).unwrap_or_default();
        // Before the tick is recorded: a repeat after a crash finds them cancelled, and continues.
        if decided.iter().any(|event| matches!(event, Event::TickFired(_))) {
            cancel(deciders, order, &tick.open_task_ids, grace_ms).await.map_err(TogetherError::Second)?;
        }
    }
    let follow = |events: &[Event], state: &State| {
        let accept = firing::accept_of(state.as_deref()?, events, agent.as_ref()?)?;
        let stream = stream_of::<TaskCodec>(&key.workspace, &accept.task_id.to_string())?;
        Some((stream, task::Command::Accept(Box::new(accept)).at(*at)))
    };
    let first = (&*deciders.schedules, &stream, &command);
    let decided = match execute_together(first, &*deciders.tasks, follow, &context).await {
        Ok(together) => together.first,
        Err(TogetherError::Second(
            refusal @ (DispatchError::Rejected(_)
            | DispatchError::IdempotencyConflict
            | DispatchError::KeyArchived),
        )) => {
            let detail = if let DispatchError::Rejected(rejection) = &refusal {
                rejection.to_string()
            } else {
                refusal.to_string()
            };
            let command = Command::Tick(Tick { obstacle: Some(Obstacle::TaskRefused(detail)), ..tick });
            let command = Requested::new(command, *at);
            deciders.schedules.execute(&stream, &command, &context).await.map_err(TogetherError::First)?
        }
        Err(error) => return Err(error),
    };
    for event in decided.events.iter().filter(|_| decided.changed) {
        count(event);
    }
    Ok(Some((decided.loaded.head.version, decided.loaded.state.clone())))
}

fn count(event: &Event) {
    let (outcome, ticks) = match event {
        Event::TickFired(_) => ("fired", 1),
        Event::TickSkipped(_) => ("skipped", 1),
        Event::TicksMissed(missed) => ("missed", missed.count),
        Event::Created(_)
        | Event::Changed(_)
        | Event::Paused(_)
        | Event::Resumed(_)
        | Event::Deleted(_)
        | Event::Triggered(_) => return,
    };
    metrics::counter!(metric::TICKS, "outcome" => outcome).increment(ticks);
}

/// The agent as the log has it now.
async fn agent_of(
    deciders: &Deciders,
    workspace: &str,
    agent_id: AgentId,
) -> Result<Option<AgentForTask>, ReadFailure> {
    let Some(stream) = stream_of::<AgentCodec>(workspace, &agent_id.to_string()) else {
        return Ok(None);
    };
    Ok(deciders.agents.refresh(&stream).await?.state.for_task())
}

/// Those of the possibly open tasks that are open in the log.
async fn still_open(deciders: &Deciders, order: &TickOrder) -> Result<Vec<TaskId>, ReadFailure> {
    let mut open = Vec::new();
    for task_id in &order.open_task_ids {
        let Some(stream) = stream_of::<TaskCodec>(&order.key.workspace, &task_id.to_string()) else {
            continue;
        };
        let loaded = deciders.tasks.refresh(&stream).await?;
        if loaded.state.as_deref().is_some_and(|task| !task.state.is_terminal()) {
            open.push(*task_id);
        }
    }
    Ok(open)
}

async fn cancel(
    deciders: &Deciders,
    order: &TickOrder,
    open: &[TaskId],
    grace_ms: i64,
) -> Result<(), DispatchError<task::Rejection>> {
    for task_id in open {
        let Some(stream) = stream_of::<TaskCodec>(&order.key.workspace, &task_id.to_string()) else {
            continue;
        };
        let reason = Some("the next tick of its schedule has come".to_owned());
        let command = task::command::CancelTask { task_id: *task_id, reason };
        let command = task::Command::Cancel { command, grace_ms }.at(order.at);
        let command_id = derived(&["cancel", &order.command_id.to_string(), &task_id.to_string()]);
        // It belongs to the tick for which it makes room.
        let context = CommandContext {
            correlation_id: order.command_id,
            ..CommandContext::new(command_id, "cancel-task", Actor::Engine, order.at)
        };
        match deciders.tasks.execute(&stream, &command, &context).await {
            // It has ended meanwhile.
            Ok(_) | Err(DispatchError::Rejected(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
