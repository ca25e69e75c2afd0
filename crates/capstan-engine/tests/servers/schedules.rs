//! Ticks on a real nats-server: each of them one task, whoever leads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use capstan_contract::{AgentCodec, ScheduleCodec, TaskCodec};
use capstan_dispatch::Dispatcher;
use capstan_domain::Requested;
use capstan_domain::agent::{self, Agent};
use capstan_domain::id::{AgentId, ScheduleId, TaskId};
use capstan_domain::schedule::command::{CreateSchedule, NewSchedule, UpdateSchedule};
use capstan_domain::schedule::event::{PauseCause, SkipReason};
use capstan_domain::schedule::{CatchUp, Command, Event, Overlap, Schedule, ScheduleDecider, firing};
use capstan_domain::task::TaskState;
use capstan_engine::EngineConfig;
use capstan_envelope::{Codec, Position, StreamId, Workspace};
use capstan_eventlog::Selection;
use capstan_testkit::eventually::eventually;
use chrono::Duration as Span;

use crate::office::{Office, demo, dispatcher, now};

const LONG: Duration = Duration::from_mins(1);

/// An office with the means to make schedules.
struct Plan {
    office: Office,
    schedules: Arc<Dispatcher<ScheduleDecider, ScheduleCodec>>,
}

fn stream_of(category: &str, id: &str) -> StreamId {
    StreamId::new(Workspace::new("dev").unwrap(), category, id).unwrap()
}

fn minutely() -> CreateSchedule {
    CreateSchedule {
        agent_id: "demo".into(),
        cron_expr: "* * * * *".into(),
        prompt: "look around".into(),
        skill_paths: Some(vec!["skills/look".into()]),
        catch_up: Some(CatchUp::All),
        ..CreateSchedule::default()
    }
}

impl Plan {
    /// Opens an office whose agent is there.
    async fn make(config: EngineConfig) -> Self {
        let plan = Self::without_agent(config).await;
        plan.hire(true).await;
        plan
    }

    /// Introduces the agent.
    async fn hire(&self, active: bool) {
        let agents: Arc<Dispatcher<Agent, AgentCodec>> = dispatcher(&self.office.log);
        let demo = demo(now());
        let agent = Box::new(agent::CreateAgent {
            agent_key: demo.agent_key,
            name: demo.name,
            config: demo.config,
            active: Some(active),
            ..agent::CreateAgent::default()
        });
        let create = agent::Command::Create { workspace: demo.workspace, agent };
        let create = Requested::new(create, now());
        let stream = stream_of(AgentCodec::CATEGORY, &AgentId::from_key("dev", "demo").to_string());
        self.office.execute(&agents, &stream, &create).await;
    }

    async fn without_agent(config: EngineConfig) -> Self {
        let office = Office::open(config).await;
        let schedules = dispatcher(&office.log);
        Self { office, schedules }
    }

    /// Begins a schedule as if so many minutes ago, and nobody had fired it since.
    async fn begin(&self, name: &str, create: CreateSchedule, minutes_ago: i64) -> StreamId {
        let schedule_id = ScheduleId::from_key("dev", name);
        let stream = stream_of("schedule", &schedule_id.to_string());
        let agent = demo(now());
        let new = NewSchedule { schedule_id, workspace: "dev".into(), agent, prompt_bytes_max: 1_000 };
        let create = Command::Create(Box::new(create), Box::new(new));
        let create = Requested::new(create, now() - Span::minutes(minutes_ago));
        self.office.execute(&self.schedules, &stream, &create).await;
        stream
    }

    async fn schedule(&self, stream: &StreamId) -> Box<Schedule> {
        self.schedules.refresh(stream).await.unwrap().state.clone().unwrap()
    }

    /// Waits until no tick of the schedule is due, and gives everything that happened to it.
    async fn caught_up(&self, stream: &StreamId) -> Vec<Event> {
        eventually("the schedule has caught up", LONG, async || {
            let next = self.schedule(stream).await.next;
            next.is_none_or(|next| next.run_at > now()).then_some(())
        })
        .await;
        let commits = self.office.log.read_stream(stream, Position::START).await.unwrap();
        commits.iter().flat_map(|recorded| ScheduleCodec::decode(&recorded.commit).unwrap()).collect()
    }

    async fn task_state(&self, task_id: TaskId) -> TaskState {
        let loaded = self.office.tasks.refresh(&stream_of("task", &task_id.to_string())).await.unwrap();
        loaded.state.as_deref().unwrap().state
    }

    /// Every task in the log.
    async fn tasks(&self) -> Vec<TaskId> {
        let mut tail = self.office.log.tail(Selection::All, Position::START).await.unwrap();
        let mut tasks = Vec::new();
        loop {
            let batch = tail.next().await.unwrap();
            let begun = batch.commits.iter().map(|it| &it.commit).filter(|commit| commit.version == 1);
            let begun = begun.filter(|commit| commit.stream.category() == TaskCodec::CATEGORY);
            tasks.extend(begun.map(|commit| commit.stream.id().parse::<TaskId>().unwrap()));
            if batch.caught_up {
                return tasks;
            }
        }
    }
}

fn fired(events: &[Event]) -> Vec<(chrono::DateTime<chrono::Utc>, TaskId)> {
    let fired =
        events.iter().filter_map(|event| if let Event::TickFired(e) = event { Some(e) } else { None });
    fired.map(|e| (e.tick, e.task_id)).collect()
}

/// Every tick of `events` fired once, in order, and made exactly the tasks there are.
async fn each_tick_made_one_task(plan: &Plan, stream: &StreamId, events: &[Event], at_least: usize) {
    let fired = fired(events);
    assert!(fired.len() >= at_least, "{} ticks fired", fired.len());
    let schedule = plan.schedule(stream).await;
    for (index, (tick, task_id)) in fired.iter().enumerate() {
        assert_eq!(*tick, fired[0].0 + Span::minutes(index as i64), "a tick is left out or comes twice");
        assert_eq!(*task_id, firing::task_of_tick(&schedule, *tick));
    }
    let made: BTreeSet<TaskId> = fired.iter().map(|(_, task_id)| *task_id).collect();
    let tasks = plan.tasks().await;
    assert_eq!(tasks.len(), made.len(), "a task without a tick, or a tick without a task");
    assert_eq!(tasks.into_iter().collect::<BTreeSet<_>>(), made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_engines_that_both_believe_to_lead_make_one_task_of_each_tick() {
    let plan = Plan::make(EngineConfig::default()).await;
    let first = plan.office.engine().await;
    // Another bucket: neither knows of the other, and both lead.
    let config = EngineConfig { bucket: "RIVAL".into(), ..plan.office.config.clone() };
    let second = plan.office.candidate_of(config).await;
    second.leads().await;
    let stream = plan.begin("twice", minutely(), 80).await;
    let events = plan.caught_up(&stream).await;
    each_tick_made_one_task(&plan, &stream, &events, 80).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_dies_in_the_middle_the_next_one_fires_what_is_left() {
    let config = EngineConfig { leader_ttl: Duration::from_secs(2), ..EngineConfig::default() };
    let plan = Plan::make(config).await;
    let first = plan.office.engine().await;
    let second = plan.office.candidate().await;
    let stream = plan.begin("handed-over", minutely(), 90).await;
    eventually("some ticks have fired", LONG, async || {
        plan.schedule(&stream).await.last_tick.is_some().then_some(())
    })
    .await;
    // Without a farewell.
    drop(first);
    second.leads().await;
    let events = plan.caught_up(&stream).await;
    each_tick_made_one_task(&plan, &stream, &events, 90).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_begins_with_the_schedules_that_were_there_and_follows_their_changes() {
    let plan = Plan::make(EngineConfig::default()).await;
    let one = CreateSchedule { catch_up: Some(CatchUp::One), ..minutely() };
    let before = plan.begin("before", one.clone(), 10).await;
    let yearly = CreateSchedule { cron_expr: "0 0 1 1 *".into(), ..minutely() };
    let changed = plan.begin("changed", yearly, 10).await;
    let engine = plan.office.engine().await;
    let events = plan.caught_up(&before).await;
    assert!(matches!(events[1], Event::TicksMissed(_)) && fired(&events).len() == 1, "{events:?}");
    let update = Box::new(UpdateSchedule {
        cron_expr: Some("* * * * *".into()),
        ..UpdateSchedule::unchanged(ScheduleId::from_key("dev", "changed"))
    });
    let hasty = Command::Update { update, prompt_bytes_max: 1_000 };
    let hasty = Requested::new(hasty, now() - Span::minutes(5));
    plan.office.execute(&plan.schedules, &changed, &hasty).await;
    assert!(fired(&plan.caught_up(&changed).await).len() >= 5);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlap_skips_a_tick_or_cancels_the_open_task() {
    let plan = Plan::make(EngineConfig::default()).await;
    let engine = plan.office.engine().await;
    let skip = plan.begin("skip", CreateSchedule { overlap: Some(Overlap::Skip), ..minutely() }, 3).await;
    let events = plan.caught_up(&skip).await;
    let made = fired(&events);
    assert_eq!(made.len(), 1, "{events:?}");
    let skipped = events.iter().filter(
        |event| matches!(event, Event::TickSkipped(e) if e.reason == SkipReason::PreviousOpen && e.open_task_ids == [made[0].1]),
    );
    assert!(skipped.count() >= 2, "{events:?}");

    let replace = CreateSchedule { overlap: Some(Overlap::CancelRunning), ..minutely() };
    let replace = plan.begin("replace", replace, 3).await;
    let made = fired(&plan.caught_up(&replace).await);
    assert!(made.len() >= 3);
    let (last, earlier) = made.split_last().unwrap();
    assert_eq!(plan.task_state(last.1).await, TaskState::Queued);
    for (_, task_id) in earlier {
        assert_eq!(plan.task_state(*task_id).await, TaskState::Cancelled);
    }
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_without_its_agent_pauses_itself() {
    let plan = Plan::without_agent(EngineConfig::default()).await;
    let engine = plan.office.engine().await;
    let stream = plan.begin("orphan", minutely(), 2).await;
    let events = plan.caught_up(&stream).await;
    assert!(matches!(events.last(), Some(Event::Paused(paused)) if paused.cause == PauseCause::AgentGone));
    assert_eq!((plan.schedule(&stream).await.active, plan.tasks().await.len()), (false, 0));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_pauses_at_once_when_its_agent_takes_no_more_commands() {
    let plan = Plan::without_agent(EngineConfig::default()).await;
    let engine = plan.office.engine().await;
    let yearly = CreateSchedule { cron_expr: "0 0 1 1 *".into(), ..minutely() };
    let stream = plan.begin("idle", yearly, 0).await;
    plan.hire(false).await;
    eventually("the schedule is paused", LONG, async || (!plan.schedule(&stream).await.active).then_some(()))
        .await;
    let events = plan.caught_up(&stream).await;
    assert!(
        matches!(events.last(), Some(Event::Paused(paused)) if paused.cause == PauseCause::AgentInactive)
    );
    engine.stop().await;
}
