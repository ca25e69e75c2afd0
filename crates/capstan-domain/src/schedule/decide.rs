//! The table of rules: one line per command.

use chrono::{DateTime, Utc};

use crate::id::TaskId;
use crate::limits::{self, REASON_BYTES_MAX};
use crate::schedule::catch_up::{self, Missed, Plan};
use crate::schedule::command::{Command, CreateSchedule, NewSchedule, Obstacle, Tick, UpdateSchedule};
use crate::schedule::event::{
    Event, PauseCause, ScheduleChanged, ScheduleCreated, ScheduleDeleted, SchedulePaused, ScheduleResumed,
    ScheduleTriggered, SkipReason, TickFired, TickSkipped, TicksMissed,
};
use crate::schedule::{Definition, Next, Overlap, Rejection, Schedule, State, firing};
use crate::text::non_blank;
use crate::{Faults, Requested};

pub(super) fn decide(
    state: &State,
    Requested { command, at }: &Requested<Command>,
) -> Result<Vec<Event>, Rejection> {
    let at = *at;
    let schedule = match (state, command) {
        (None, Command::Create(create, new)) => return created(create, new, at).map(|event| vec![event]),
        (Some(_), Command::Create(..)) => return Err(Rejection::Exists),
        (None, _) => return Err(Rejection::NotFound),
        (Some(schedule), Command::Tick(tick)) => return Ok(ticked(schedule, tick, at)),
        (Some(schedule), _) if schedule.deleted => return Err(Rejection::NotFound),
        (Some(schedule), _) => schedule,
    };
    match command {
        Command::Update { update, prompt_bytes_max } => updated(schedule, update, *prompt_bytes_max, at),
        Command::Delete => Ok(vec![Event::Deleted(ScheduleDeleted { at })]),
        Command::Pause { cause, reason } => {
            let mut faults = Faults::default();
            limits::check("/reason", reason.as_deref(), REASON_BYTES_MAX, &mut faults);
            faults.into_result().map_err(Rejection::Invalid)?;
            Ok(paused(schedule, *cause, reason.as_deref(), at).into_iter().collect())
        }
        Command::Resume => Ok(resumed(schedule, &schedule.definition, at).into_iter().collect()),
        Command::Trigger { task_id } => {
            Ok(vec![Event::Triggered(ScheduleTriggered { task_id: *task_id, at })])
        }
        Command::Create(..) | Command::Tick(_) => Ok(Vec::new()),
    }
}

fn created(create: &CreateSchedule, new: &NewSchedule, at: DateTime<Utc>) -> Result<Event, Rejection> {
    let NewSchedule { schedule_id, workspace, agent, prompt_bytes_max } = new;
    check_length(&create.prompt, *prompt_bytes_max)?;
    if !agent.active {
        return Err(Rejection::AgentInactive(agent.agent_key.clone()));
    }
    let mut faults = Faults::default();
    let definition = Definition::from(create).checked(&mut faults);
    faults.require(!definition.prompt.is_empty(), "/prompt", "prompt is required");
    let next = definition.checked_next(*schedule_id, at, &mut faults);
    faults.into_result().map_err(Rejection::Invalid)?;
    let active = create.active.unwrap_or(true);
    Ok(Event::Created(ScheduleCreated {
        schedule_id: *schedule_id,
        workspace: workspace.clone(),
        agent_id: agent.agent_id,
        agent_key: agent.agent_key.clone(),
        agent_name: agent.name.clone(),
        definition,
        active,
        next: next.filter(|_| active),
        created_at: at,
    }))
}

fn updated(
    schedule: &Schedule,
    update: &UpdateSchedule,
    prompt_bytes_max: usize,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    check_length(update.prompt.as_deref().unwrap_or_default(), prompt_bytes_max)?;
    let now = &schedule.definition;
    let mut faults = Faults::default();
    let definition = now.with(update).checked(&mut faults);
    faults.require(!definition.prompt.is_empty(), "/prompt", "prompt cannot be empty");
    let times = |it: &Definition| (it.cron_expr.clone(), it.timezone.clone(), it.jitter_ms);
    let other_times = times(&definition) != times(now);
    let last = schedule.end_of_last_tick(at);
    let recomputed = other_times.then(|| definition.checked_next(schedule.schedule_id, last, &mut faults));
    faults.into_result().map_err(Rejection::Invalid)?;
    let mut events = Vec::new();
    if definition != *now {
        let next = recomputed.map_or(schedule.next, |next| next.filter(|_| schedule.active));
        events.push(Event::Changed(ScheduleChanged { definition: definition.clone(), next, at }));
    }
    let switched = match update.active {
        Some(true) => resumed(schedule, &definition, at),
        Some(false) => paused(schedule, PauseCause::Asked, None, at),
        None => None,
    };
    events.extend(switched);
    Ok(events)
}

fn check_length(prompt: &str, limit_bytes: usize) -> Result<(), Rejection> {
    if prompt.len() > limit_bytes { Err(Rejection::TooLarge { limit_bytes }) } else { Ok(()) }
}

fn paused(schedule: &Schedule, cause: PauseCause, reason: Option<&str>, at: DateTime<Utc>) -> Option<Event> {
    let reason = non_blank(reason).or_else(|| cause.in_words().map(str::to_owned));
    schedule.active.then_some(Event::Paused(SchedulePaused { cause, reason, at }))
}

fn resumed(schedule: &Schedule, definition: &Definition, at: DateTime<Utc>) -> Option<Event> {
    let next = schedule.next_after(definition, at);
    (!schedule.active).then_some(Event::Resumed(ScheduleResumed { next, at }))
}

/// A tick of a schedule that has moved on, or whose time has not come, changes nothing.
fn ticked(schedule: &Schedule, tick: &Tick, at: DateTime<Utc>) -> Vec<Event> {
    let Some(first) = schedule.next.filter(|next| next.tick == tick.tick && next.run_at <= at) else {
        return Vec::new();
    };
    let Plan { missed, fire, next } = catch_up::plan(schedule, first, at);
    let mut events = Vec::new();
    if let Some(Missed { from, to, count, next }) = missed {
        events.push(Event::TicksMissed(TicksMissed { from, to, count: count as u64, next, at }));
    }
    if let Some(Next { tick: due, .. }) = fire {
        events.extend(fired(schedule, due, next, tick, at));
    }
    events
}

fn fired(
    schedule: &Schedule,
    due: DateTime<Utc>,
    next: Option<Next>,
    tick: &Tick,
    at: DateTime<Utc>,
) -> Vec<Event> {
    let skipped = |reason, detail: Option<String>, open_task_ids: Vec<TaskId>| {
        Event::TickSkipped(TickSkipped { tick: due, reason, detail, open_task_ids, next, at })
    };
    let stopped = |cause, skip| {
        let paused = paused(schedule, cause, None, at);
        std::iter::once(skipped(skip, None, Vec::new())).chain(paused).collect()
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
        at,
    })]
}
