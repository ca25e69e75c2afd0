//! The table of rules: one line per command.

use crate::Faults;
use crate::id::TaskId;
use crate::schedule::catch_up::{self, Missed, Plan};
use crate::schedule::command::{Command, Create, Obstacle, Pause, Resume, Tick, Update};
use crate::schedule::event::{
    Event, PauseCause, ScheduleChanged, ScheduleCreated, ScheduleDeleted, SchedulePaused, ScheduleResumed,
    ScheduleTriggered, SkipReason, TickFired, TickSkipped, TicksMissed,
};
use crate::schedule::{Definition, Next, Overlap, Rejection, Schedule, State, firing};

pub(super) fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let schedule = match (state, command) {
        (None, Command::Create(create)) => return created(create).map(|event| vec![event]),
        (Some(_), Command::Create(_)) => return Err(Rejection::Exists),
        (None, _) => return Err(Rejection::NotFound),
        (Some(schedule), Command::Tick(tick)) => return Ok(ticked(schedule, tick)),
        (Some(schedule), _) if schedule.deleted => return Err(Rejection::NotFound),
        (Some(schedule), _) => schedule,
    };
    match command {
        Command::Update(update) => updated(schedule, update),
        Command::Delete(delete) => Ok(vec![Event::Deleted(ScheduleDeleted { at: delete.at })]),
        Command::Pause(pause) => Ok(paused(schedule, pause).into_iter().collect()),
        Command::Resume(resume) => Ok(resumed(schedule, &schedule.definition, resume).into_iter().collect()),
        Command::Trigger(trigger) => {
            Ok(vec![Event::Triggered(ScheduleTriggered { task_id: trigger.task_id, at: trigger.at })])
        }
        Command::Create(_) | Command::Tick(_) => Ok(Vec::new()),
    }
}

fn created(create: &Create) -> Result<Event, Rejection> {
    let definition = &create.definition;
    check_length(&definition.prompt, create.prompt_bytes_max)?;
    if !create.agent.active {
        return Err(Rejection::AgentInactive(create.agent.agent_key.clone()));
    }
    let mut faults = Faults::default();
    let definition = definition.clone().checked(&mut faults);
    faults.require(!definition.prompt.is_empty(), "/prompt", "prompt is required");
    faults.clone().into_result().map_err(Rejection::Invalid)?;
    let next = definition.next_after(create.schedule_id, create.at);
    faults.require(next.is_some(), "/cron_expr", "never fires");
    faults.into_result().map_err(Rejection::Invalid)?;
    Ok(Event::Created(ScheduleCreated {
        schedule_id: create.schedule_id,
        workspace: create.workspace.clone(),
        agent_id: create.agent.agent_id,
        agent_key: create.agent.agent_key.clone(),
        agent_name: create.agent.name.clone(),
        definition,
        active: create.active,
        next: next.filter(|_| create.active),
        created_at: create.at,
    }))
}

fn updated(schedule: &Schedule, update: &Update) -> Result<Vec<Event>, Rejection> {
    check_length(update.prompt.as_deref().unwrap_or_default(), update.prompt_bytes_max)?;
    let now = &schedule.definition;
    let given = Definition {
        cron_expr: update.cron_expr.clone().unwrap_or_else(|| now.cron_expr.clone()),
        timezone: update.timezone.clone().unwrap_or_else(|| now.timezone.clone()),
        prompt: update.prompt.clone().unwrap_or_else(|| now.prompt.clone()),
        skill_paths: update.skill_paths.clone().unwrap_or_else(|| now.skill_paths.clone()),
        source_view_id: update.source_view_id.on(now.source_view_id.as_ref()),
        overlap: update.overlap.unwrap_or(now.overlap),
        catch_up: update.catch_up.unwrap_or(now.catch_up),
        jitter_ms: update.jitter_ms.unwrap_or(now.jitter_ms),
    };
    let mut faults = Faults::default();
    let definition = given.checked(&mut faults);
    faults.require(!definition.prompt.is_empty(), "/prompt", "prompt cannot be empty");
    faults.clone().into_result().map_err(Rejection::Invalid)?;
    let times = |it: &Definition| (it.cron_expr.clone(), it.timezone.clone(), it.jitter_ms);
    let other_times = times(&definition) != times(now);
    let recomputed = other_times.then(|| schedule.next_after(&definition, update.at));
    faults.require(recomputed != Some(None), "/cron_expr", "never fires");
    faults.into_result().map_err(Rejection::Invalid)?;
    let mut events = Vec::new();
    if definition != *now {
        let next = recomputed.map_or(schedule.next, |next| next.filter(|_| schedule.active));
        events.push(Event::Changed(ScheduleChanged { definition: definition.clone(), next, at: update.at }));
    }
    let switched = match update.active {
        Some(true) => resumed(schedule, &definition, &Resume { at: update.at }),
        Some(false) => paused(schedule, &Pause { cause: PauseCause::Asked, reason: None, at: update.at }),
        None => None,
    };
    events.extend(switched);
    Ok(events)
}

fn check_length(prompt: &str, limit_bytes: usize) -> Result<(), Rejection> {
    if prompt.len() > limit_bytes { Err(Rejection::TooLarge { limit_bytes }) } else { Ok(()) }
}

fn paused(schedule: &Schedule, pause: &Pause) -> Option<Event> {
    let reason = pause.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    let reason = reason.or(pause.cause.in_words()).map(str::to_owned);
    let paused = SchedulePaused { cause: pause.cause, reason, at: pause.at };
    schedule.active.then_some(Event::Paused(paused))
}

fn resumed(schedule: &Schedule, definition: &Definition, resume: &Resume) -> Option<Event> {
    (!schedule.active).then(|| {
        Event::Resumed(ScheduleResumed { next: schedule.next_after(definition, resume.at), at: resume.at })
    })
}

/// A tick of a schedule that has moved on, or whose time has not come, changes nothing.
fn ticked(schedule: &Schedule, tick: &Tick) -> Vec<Event> {
    let Some(first) = schedule.next.filter(|next| next.tick == tick.tick && next.run_at <= tick.at) else {
        return Vec::new();
    };
    let Plan { missed, fire, next } = catch_up::plan(schedule, first, tick.at);
    let mut events = Vec::new();
    if let Some(Missed { from, to, count, next }) = missed {
        events.push(Event::TicksMissed(TicksMissed { from, to, count: count as u64, next, at: tick.at }));
    }
    if let Some(Next { tick: due, .. }) = fire {
        events.extend(fired(schedule, due, next, tick));
    }
    events
}

fn fired(
    schedule: &Schedule,
    due: chrono::DateTime<chrono::Utc>,
    next: Option<Next>,
    tick: &Tick,
) -> Vec<Event> {
    let skipped = |reason, detail: Option<String>, open_task_ids: Vec<TaskId>| {
        Event::TickSkipped(TickSkipped { tick: due, reason, detail, open_task_ids, next, at: tick.at })
    };
    let stopped = |cause, skip| {
        let pause = Pause { cause, reason: None, at: tick.at };
        std::iter::once(skipped(skip, None, Vec::new())).chain(paused(schedule, &pause)).collect()
    };
    match &tick.obstacle {
        Some(Obstacle::AgentGone) => return stopped(PauseCause::AgentGone, SkipReason::AgentGone),
        Some(Obstacle::AgentInactive) => {
            return stopped(PauseCause::AgentInactive, SkipReason::AgentInactive);
        }
        Some(Obstacle::TaskRefused(detail)) => {
            return vec![skipped(SkipReason::TaskRefused, Some(detail.clone()), Vec::new())];
        }
        None => {}
    }
    let cancelled_task_ids = match schedule.definition.overlap {
        Overlap::Skip if !tick.open_task_ids.is_empty() => {
            return vec![skipped(SkipReason::PreviousOpen, None, tick.open_task_ids.clone())];
        }
        Overlap::CancelRunning => tick.open_task_ids.clone(),
        Overlap::Skip | Overlap::Queue => Vec::new(),
    };
    vec![Event::TickFired(TickFired {
        tick: due,
        task_id: firing::task_of_tick(schedule, due),
        cancelled_task_ids,
        next,
        at: tick.at,
    })]
}
