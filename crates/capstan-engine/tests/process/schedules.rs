//! The timers of schedules, one rule at a time.

use std::sync::Arc;

use capstan_contract::{AgentCodec, ScheduleCodec, TaskCodec};
use capstan_decider::{Decider, fold};
use capstan_domain::Requested;
use capstan_domain::id::{AgentId, ScheduleId, TaskId};
use capstan_domain::matching::StreamKey;
use capstan_domain::schedule::command::{CreateSchedule, NewSchedule, Tick};
use capstan_domain::schedule::event::PauseCause;
use capstan_domain::schedule::{Command, Event, ScheduleDecider, State, firing};
use capstan_domain::task::command::Accept;
use capstan_domain::task::{self, TaskDecider};
use capstan_engine::process::{Effect, Process, ReducedTask, ScheduleKey, ScheduleSettled, TickOrder};
use capstan_envelope::Recorded;
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use crate::commands::demo;
use crate::world::{config, recorded, start, stream};

/// One schedule of every minute, and an engine that follows it.
struct Clock {
    process: Process,
    key: Arc<ScheduleKey>,
    state: State,
    version: u64,
    log: Vec<Recorded>,
    now: DateTime<Utc>,
}

impl Clock {
    fn begin() -> Self {
        let schedule_id = ScheduleId::from_key("dev", "s");
        let key = Arc::new(ScheduleKey { workspace: "dev".into(), schedule_id });
        let process = Process::new(config(), start());
        let mut clock = Self { process, key, state: None, version: 0, log: Vec::new(), now: start() };
        let create = CreateSchedule {
            agent_id: "demo".into(),
            cron_expr: "* * * * *".into(),
            prompt: "look".into(),
            ..CreateSchedule::default()
        };
        let agent = demo("dev", start());
        let new = NewSchedule { schedule_id, workspace: "dev".into(), agent, prompt_bytes_max: 100 };
        clock.send(Command::Create(Box::new(create), Box::new(new)), start());
        clock
    }

    /// Decides and records.
    fn send(&mut self, command: Command, at: DateTime<Utc>) -> Vec<Event> {
        let events = ScheduleDecider::decide(&self.state, &Requested::new(command, at)).unwrap();
        if events.is_empty() {
            return events;
        }
        self.state = fold::<ScheduleDecider>(self.state.take(), &events);
        self.version += 1;
        let id = self.key.schedule_id.to_string();
        let stream = stream("dev", "schedule", &id);
        self.log.push(recorded::<ScheduleCodec>(stream, self.version, Uuid::nil(), &events));
        events
    }

    /// Delivers the rest of the log to the engine.
    fn deliver(&mut self) {
        for recorded in self.log.drain(..) {
            self.process.commit(&recorded, None, self.now).unwrap();
        }
    }

    fn next_tick(&self) -> DateTime<Utc> {
        self.state.as_ref().unwrap().next.unwrap().tick
    }

    /// The tick the engine orders now, if it does.
    fn order(&mut self) -> Option<TickOrder> {
        let effects = self.process.turn(usize::MAX, self.now);
        effects
            .into_iter()
            .find_map(|effect| if let Effect::Tick(order) = effect { Some(*order) } else { None })
    }

    fn loads(&mut self) -> bool {
        self.process.turn(usize::MAX, self.now).iter().any(|effect| matches!(effect, Effect::LoadSchedule(_)))
    }

    fn execute(&mut self, order: &TickOrder) {
        self.send(tick(order.tick), order.at);
        self.saw(Some(order.tick));
    }

    fn saw(&mut self, tick: Option<DateTime<Utc>>) {
        let seen = ScheduleSettled::State { version: self.version, state: self.state.clone() };
        self.process.schedule_settled(&self.key, tick, seen, self.now);
    }
}

fn tick(tick: DateTime<Utc>) -> Command {
    Command::Tick(Tick { tick, obstacle: None, open_task_ids: Vec::new() })
}

#[test]
fn a_tick_is_ordered_at_its_time_and_the_next_one_after_it() {
    let mut clock = Clock::begin();
    clock.deliver();
    assert!(clock.order().is_none());
    assert!(clock.process.next_due() <= clock.next_tick());
    for _ in 0..3 {
        clock.now = clock.next_tick() - Duration::milliseconds(1);
        assert!(clock.order().is_none(), "ordered too early");
        clock.now = clock.next_tick();
        let order = clock.order().unwrap();
        assert_eq!((order.tick, order.at), (clock.now, clock.now));
        assert!(clock.order().is_none(), "ordered twice");
        clock.execute(&order);
        clock.deliver();
    }
}

#[test]
fn the_order_of_a_tick_has_the_same_id_in_every_engine() {
    let ids: Vec<_> = (0..2)
        .map(|_| {
            let mut clock = Clock::begin();
            clock.deliver();
            clock.now = clock.next_tick() + Duration::seconds(5);
            clock.order().unwrap().command_id
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_tick_that_was_not_recorded_is_ordered_again_after_a_pause() {
    let mut clock = Clock::begin();
    clock.deliver();
    clock.now = clock.next_tick();
    let order = clock.order().unwrap();
    let failed = ScheduleSettled::Failed { is_retryable: true };
    clock.process.schedule_settled(&clock.key, Some(order.tick), failed, clock.now);
    assert!(clock.order().is_none(), "without a pause");
    clock.now += Duration::seconds(1);
    assert_eq!(clock.order().unwrap().command_id, order.command_id);
}

#[test]
fn an_order_that_changed_nothing_is_not_repeated_in_a_loop() {
    let mut clock = Clock::begin();
    clock.deliver();
    clock.now = clock.next_tick();
    let order = clock.order().unwrap();
    clock.saw(Some(order.tick));
    clock.now += Duration::seconds(1);
    assert!(clock.order().is_none());
    clock.now += Duration::minutes(2);
    assert!(clock.order().is_some());
}

#[test]
fn a_paused_schedule_is_forgotten_and_loaded_when_it_is_resumed() {
    let mut clock = Clock::begin();
    clock.deliver();
    let at = clock.now;
    clock.send(Command::Pause { cause: PauseCause::Asked, reason: None }, at);
    clock.deliver();
    clock.now += Duration::minutes(5);
    assert!(clock.order().is_none());
    let at = clock.now;
    clock.send(Command::Resume, at);
    clock.deliver();
    assert!(clock.loads(), "the schedule is not looked for");
    clock.saw(None);
    clock.now = clock.next_tick();
    assert!(clock.order().is_some());
}

#[test]
fn a_change_of_its_agent_is_checked_and_a_change_of_another_one_is_not() {
    let mut clock = Clock::begin();
    clock.deliver();
    let checked = |clock: &mut Clock, agent: &str| {
        let agent = stream("dev", "agent", &AgentId::from_key("dev", agent).to_string());
        clock.process.commit(&recorded::<AgentCodec>(agent, 2, Uuid::nil(), &[]), None, clock.now).unwrap();
        clock.process.turn(usize::MAX, clock.now).iter().any(|effect| matches!(effect, Effect::CheckAgent(_)))
    };
    assert!(!checked(&mut clock, "other"));
    assert!(checked(&mut clock, "demo"));
    clock.saw(None);
    clock.now = clock.next_tick();
    assert!(clock.order().is_some(), "the agent is well, and the schedule goes on");
}

#[test]
fn a_schedule_of_a_snapshot_ticks_too() {
    let mut clock = Clock::begin();
    clock.process.begin_with_schedule((*clock.key).clone(), clock.version, clock.state.clone());
    clock.now = clock.next_tick();
    assert!(clock.order().is_some());
    clock.deliver();
}

#[test]
fn an_order_names_the_tasks_of_the_schedule_that_are_open() {
    let mut clock = Clock::begin();
    clock.deliver();
    let tick = clock.next_tick();
    clock.now = tick;
    let schedule = clock.state.clone().unwrap();
    let due = self::tick(tick);
    let events = ScheduleDecider::decide(&clock.state, &Requested::new(due.clone(), tick)).unwrap();
    let accept = firing::accept_of(&schedule, &events, &demo("dev", start()).into()).unwrap();
    // Of an earlier tick.
    let task_id = TaskId(Uuid::from_u128(7));
    let accept = Accept { task_id, ..accept };
    let accepted = TaskDecider::decide(&None, &task::Command::Accept(Box::new(accept)).at(tick)).unwrap();
    let state = fold::<TaskDecider>(None, &accepted);
    clock.process.begin_with(&StreamKey::new("dev", task_id), &ReducedTask::new(1, state.clone()), clock.now);
    assert_eq!(clock.order().unwrap().open_task_ids, [task_id]);

    let command = task::command::CancelTask { task_id, reason: None };
    let cancel = task::Command::Cancel { command, grace_ms: 0 };
    let cancelled = TaskDecider::decide(&state, &cancel.at(clock.now)).unwrap();
    let stream = stream("dev", "task", &task_id.to_string());
    let state = fold::<TaskDecider>(state, &cancelled);
    let memory = Some((2, &state));
    clock
        .process
        .commit(&recorded::<TaskCodec>(stream, 2, Uuid::nil(), &cancelled), memory, clock.now)
        .unwrap();
    clock.send(due, tick);
    clock.saw(Some(tick));
    clock.now = clock.next_tick();
    let last = clock.state.as_ref().unwrap().last_task_id.unwrap();
    assert_eq!(clock.order().unwrap().open_task_ids, [last], "the last one may not have come by the log yet");
}
