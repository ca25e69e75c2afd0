//! The rules of schedules, by example and by chance.

use capstan_decider::spec::{Given, given};
use chrono::{DateTime, Duration, TimeZone, Utc};
use proptest::prelude::*;

use super::command::{CreateSchedule, NewSchedule, Obstacle, Tick, UpdateSchedule};
use super::event::{Event, PauseCause, SkipReason};
use super::*;
use crate::agent;
use crate::id::{ScheduleId, TaskId, derived};
use crate::{Change, Requested};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// Seconds after midnight, 1 January 2026, UTC.
fn at(seconds: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap() + Duration::seconds(seconds)
}

fn id() -> ScheduleId {
    ScheduleId::from_key("dev", "s")
}

fn task(n: u8) -> TaskId {
    TaskId(derived(&["test", &n.to_string()]))
}

fn daily() -> CreateSchedule {
    CreateSchedule {
        agent_id: "demo".into(),
        cron_expr: "0 9 * * *".into(),
        timezone: Some(String::new()),
        prompt: "write the report".into(),
        skill_paths: Some(vec!["skills/report".into()]),
        source_view_id: Some("view-1".into()),
        ..CreateSchedule::default()
    }
}

fn every_minute() -> CreateSchedule {
    CreateSchedule { cron_expr: "* * * * *".into(), ..daily() }
}

fn demo() -> agent::Created {
    agent::Created::named("dev", "demo", "Demo", at(0))
}

fn create_for(agent: agent::Created, create: CreateSchedule, at: DateTime<Utc>) -> Requested<Command> {
    let new = NewSchedule { schedule_id: id(), workspace: "dev".into(), agent, prompt_bytes_max: 1_000 };
    Requested::new(Command::Create(Box::new(create), Box::new(new)), at)
}

fn create(create: CreateSchedule) -> Requested<Command> {
    create_for(demo(), create, at(30))
}

fn begun(schedule: CreateSchedule) -> Given<ScheduleDecider> {
    given::<ScheduleDecider>([]).and(create(schedule))
}

fn nothing() -> UpdateSchedule {
    UpdateSchedule::unchanged(id())
}

fn update_at(update: UpdateSchedule, at: DateTime<Utc>) -> Requested<Command> {
    Requested::new(Command::Update { update: Box::new(update), prompt_bytes_max: 1_000 }, at)
}

fn update(update: UpdateSchedule) -> Requested<Command> {
    update_at(update, at(60))
}

fn tick_of(tick: DateTime<Utc>) -> Tick {
    Tick { tick, obstacle: None, open_task_ids: Vec::new() }
}

fn tick(tick: DateTime<Utc>, now: DateTime<Utc>) -> Requested<Command> {
    Requested::new(Command::Tick(tick_of(tick)), now)
}

/// A tick at its time.
fn ticked(tick: Tick) -> Requested<Command> {
    let now = tick.tick;
    Requested::new(Command::Tick(tick), now)
}

fn next_of(state: &State) -> Option<DateTime<Utc>> {
    state.as_ref().unwrap().next.map(|next| next.tick)
}

fn pointers(rejection: &Rejection) -> Vec<&str> {
    match rejection {
        Rejection::Invalid(faults) => faults.iter().map(|fault| fault.pointer.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// The result of a tick, in short.
fn outcome(events: &[Event]) -> Vec<String> {
    let minute = |at: &DateTime<Utc>| (*at - self::at(0)).num_minutes();
    events
        .iter()
        .map(|event| match event {
            Event::TickFired(fired) => format!("fired {}", minute(&fired.tick)),
            Event::TickSkipped(skipped) => format!("skipped {} {:?}", minute(&skipped.tick), skipped.reason),
            Event::TicksMissed(e) => format!("missed {}-{} ({})", minute(&e.from), minute(&e.to), e.count),
            Event::Paused(paused) => format!("paused {:?}", paused.cause),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_schedule_begins_with_its_first_tick_strictly_after_now() {
    given::<ScheduleDecider>([]).when(create(daily())).then_with(|events, state| {
        let [Event::Created(created)] = events else { panic!("created") };
        assert_eq!((created.agent_name.as_str(), created.definition.timezone.as_str()), ("Demo", "UTC"));
        assert_eq!(next_of(state), Some(at(9 * 3_600)));
    });
}

#[test]
fn after_the_tick_of_today_comes_that_of_tomorrow() {
    let late = create_for(demo(), daily(), at(10 * 3_600));
    given::<ScheduleDecider>([])
        .when(late)
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600))));
}

#[test]
fn the_same_expression_in_two_zones_has_two_instants() {
    let new_york = CreateSchedule { timezone: Some("America/New_York".into()), ..daily() };
    assert_eq!(next_of(&begun(new_york).state()), Some(at(14 * 3_600)));
    assert_eq!(next_of(&begun(daily()).state()), Some(at(9 * 3_600)));
}

#[test]
fn an_empty_zone_is_utc_and_an_unknown_one_is_refused() {
    let mars = create(CreateSchedule { timezone: Some("Mars/Base".into()), ..daily() });
    given::<ScheduleDecider>([]).when(mars).then_rejected_with(|no| pointers(no) == ["/timezone"]);
    assert_eq!(begun(daily()).state().unwrap().definition.timezone, "UTC");
}

#[test]
fn a_schedule_made_on_a_tick_waits_for_the_following_one() {
    let on_it = create_for(demo(), daily(), at(9 * 3_600));
    given::<ScheduleDecider>([])
        .when(on_it)
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600))));
}

#[test]
fn a_tick_fires_once_and_names_its_task_by_schedule_and_tick() {
    let due = at(9 * 3_600);
    let task_id = TaskId::of_tick("dev", demo().agent_id, id(), due.timestamp());
    let fired = begun(daily()).and(tick(due, due));
    let Some(Event::TickFired(event)) = fired.events().last() else { panic!("fired") };
    assert_eq!((event.task_id, event.next.unwrap().tick), (task_id, at(DAY + 9 * 3_600)));
    fired.when(tick(due, due)).then_nothing();
}

#[test]
fn ticks_that_passed_unseen_collapse_into_the_latest() {
    begun(every_minute()).when(tick(at(MINUTE), at(10 * MINUTE + 5))).then_with(|events, state| {
        assert_eq!(outcome(events), ["missed 1-9 (9)", "fired 10"]);
        assert_eq!(next_of(state), Some(at(11 * MINUTE)));
    });
}

#[test]
fn a_tick_whose_task_is_refused_is_skipped_and_the_schedule_continues() {
    let refused = Tick { obstacle: Some(Obstacle::TaskRefused("no".into())), ..tick_of(at(9 * 3_600)) };
    begun(daily()).when(ticked(refused)).then_with(|events, state| {
        assert_eq!(outcome(events), ["skipped 540 TaskRefused"]);
        assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600)));
        assert!(state.as_ref().unwrap().active);
    });
}

#[test]
fn a_schedule_switched_on_again_fires_at_its_next_tick_and_not_at_an_old_one() {
    let paused = begun(daily()).and(update(UpdateSchedule { active: Some(false), ..nothing() }));
    assert_eq!(next_of(&paused.state()), None);
    let on = UpdateSchedule { active: Some(true), ..nothing() };
    paused.when(update_at(on, at(20 * DAY))).then_with(|events, state| {
        assert!(matches!(events, [Event::Resumed(_)]), "{events:?}");
        assert_eq!(next_of(state), Some(at(20 * DAY + 9 * 3_600)));
    });
}

#[test]
fn a_blank_prompt_is_refused() {
    let blank = || Some("  ".to_owned());
    begun(daily()).when(update(UpdateSchedule { prompt: blank(), ..nothing() })).then_rejected_with(|no| {
        matches!(no, Rejection::Invalid(faults) if faults[0].pointer == "/prompt"
            && faults[0].message == "prompt cannot be empty")
    });
}

#[test]
fn all_faults_are_reported_together() {
    let bad = CreateSchedule {
        cron_expr: "61 * * * *".into(),
        timezone: Some("Nowhere".into()),
        prompt: " ".into(),
        skill_paths: Some(vec![" ".into()]),
        jitter_ms: Some(-1),
        ..daily()
    };
    given::<ScheduleDecider>([]).when(create(bad)).then_rejected_with(|no| {
        assert_eq!(pointers(no), ["/timezone", "/jitter_ms", "/cron_expr", "/skill_paths", "/prompt"]);
        true
    });
}

#[test]
fn an_expression_that_never_fires_is_refused() {
    for cron in ["0 0 30 2 *", "", "0 9 * *", "@daily", "0 9 * * * *"] {
        let never = create(CreateSchedule { cron_expr: cron.into(), ..daily() });
        given::<ScheduleDecider>([]).when(never).then_rejected_with(|no| pointers(no) == ["/cron_expr"]);
        let mute = create(CreateSchedule { cron_expr: cron.into(), prompt: " ".into(), ..daily() });
        given::<ScheduleDecider>([]).when(mute).then_rejected_with(|no| {
            let mut found = pointers(no);
            found.sort_unstable();
            found == ["/cron_expr", "/prompt"]
        });
        begun(daily())
            .when(update(UpdateSchedule { cron_expr: Some(cron.into()), ..nothing() }))
            .then_rejected_with(|no| pointers(no) == ["/cron_expr"]);
    }
}

#[test]
fn an_inactive_agent_gets_no_schedule_and_a_long_prompt_is_too_large() {
    let idle = create_for(agent::Created { active: false, ..demo() }, daily(), at(30));
    given::<ScheduleDecider>([]).when(idle).then_rejected(Rejection::AgentInactive("demo".into()));
    let long = create(CreateSchedule { prompt: "x".repeat(1_001), ..daily() });
    given::<ScheduleDecider>([]).when(long).then_rejected(Rejection::TooLarge { limit_bytes: 1_000 });
}

#[test]
fn an_update_changes_what_is_given_and_leaves_the_next_tick_alone() {
    let given = UpdateSchedule { prompt: Some("other".into()), source_view_id: Change::Clear, ..nothing() };
    begun(daily()).when(update(given)).then_with(|events, state| {
        let [Event::Changed(changed)] = events else { panic!("changed") };
        assert_eq!(
            (changed.definition.prompt.as_str(), &changed.definition.source_view_id),
            ("other", &None)
        );
        assert_eq!(Some(&changed.definition.skill_paths), daily().skill_paths.as_ref());
        assert_eq!(next_of(state), Some(at(9 * 3_600)));
    });
    begun(daily()).when(update(nothing())).then_nothing();
}

#[test]
fn other_times_have_another_next_tick_but_never_one_that_ended() {
    let hourly = UpdateSchedule { cron_expr: Some(" 0  * * * * ".into()), ..nothing() };
    begun(daily()).when(update(hourly.clone())).then_with(|events, state| {
        let [Event::Changed(changed)] = events else { panic!("changed") };
        assert_eq!(changed.definition.cron_expr, "0 * * * *");
        assert_eq!(next_of(state), Some(at(3_600)));
    });
    // The engine's clock was ahead: the tick of nine o'clock has fired, by the caller's clock it is to come.
    let due = at(9 * 3_600);
    let early = update_at(hourly, due - Duration::seconds(1));
    begun(daily())
        .and(tick(due, due))
        .when(early)
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(10 * 3_600))));
}

#[test]
fn a_zone_alone_moves_the_next_tick_too() {
    begun(daily())
        .when(update(UpdateSchedule { timezone: Some("Europe/Berlin".into()), ..nothing() }))
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(8 * 3_600))));
}

#[test]
fn a_paused_schedule_lets_ticks_pass_and_resumes_from_now() {
    let pause = || {
        let (cause, reason) = (PauseCause::Asked, Some(" holidays ".to_owned()));
        Requested::new(Command::Pause { cause, reason }, at(60))
    };
    let paused = begun(daily()).and(pause());
    let Some(Event::Paused(event)) = paused.events().last() else { panic!("paused") };
    assert_eq!(event.reason.as_deref(), Some("holidays"));
    given::<ScheduleDecider>(paused.events().to_vec()).when(pause()).then_nothing();
    given::<ScheduleDecider>(paused.events().to_vec())
        .when(tick(at(9 * 3_600), at(9 * 3_600)))
        .then_nothing();
    let resumed = paused.and(Requested::new(Command::Resume, at(3 * DAY)));
    assert_eq!(next_of(&resumed.state()), Some(at(3 * DAY + 9 * 3_600)));
    resumed.when(Requested::new(Command::Resume, at(3 * DAY))).then_nothing();
}

#[test]
fn a_deleted_schedule_is_not_there_any_more() {
    let deleted = begun(daily()).and(Requested::new(Command::Delete, at(60)));
    let history = deleted.events().to_vec();
    for command in [
        Requested::new(Command::Delete, at(61)),
        Requested::new(Command::Resume, at(61)),
        Requested::new(Command::Trigger { task_id: task(1) }, at(61)),
        update(nothing()),
    ] {
        given::<ScheduleDecider>(history.clone()).when(command).then_rejected(Rejection::NotFound);
    }
    deleted.when(tick(at(9 * 3_600), at(9 * 3_600))).then_nothing();
}

#[test]
fn a_trigger_makes_a_task_beside_the_ticks_also_of_a_paused_schedule() {
    let pause = Command::Pause { cause: PauseCause::Asked, reason: None };
    let paused = begun(daily()).and(Requested::new(pause, at(40)));
    for given in [begun(daily()), paused] {
        let before = next_of(&given.state());
        given.when(Requested::new(Command::Trigger { task_id: task(1) }, at(50))).then_with(
            |events, state| {
                assert!(matches!(events, [Event::Triggered(e)] if e.task_id == task(1)));
                assert_eq!(next_of(state), before);
                assert_eq!(state.as_ref().unwrap().last_task_id, Some(task(1)));
            },
        );
    }
}

#[test]
fn a_tick_before_its_time_or_of_another_rhythm_changes_nothing() {
    begun(daily()).when(tick(at(9 * 3_600), at(9 * 3_600 - 1))).then_nothing();
    begun(daily()).when(tick(at(8 * 3_600), at(9 * 3_600))).then_nothing();
}

#[test]
fn overlap_decides_what_an_open_task_means_for_the_tick() {
    let due = at(9 * 3_600);
    for (overlap, told, cancelled) in [
        (Overlap::Queue, "fired 540", vec![]),
        (Overlap::Skip, "skipped 540 PreviousOpen", vec![]),
        (Overlap::CancelRunning, "fired 540", vec![task(1)]),
    ] {
        let open = Tick { open_task_ids: vec![task(1)], ..tick_of(due) };
        begun(CreateSchedule { overlap: Some(overlap), ..daily() }).when(ticked(open)).then_with(
            |events, state| {
                assert_eq!(outcome(events), [told]);
                if let Event::TickFired(fired) = &events[0] {
                    assert_eq!(fired.cancelled_task_ids, cancelled);
                }
                assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600)));
            },
        );
    }
}

#[test]
fn a_schedule_whose_agent_is_gone_or_inactive_pauses_itself_with_a_reason() {
    let due = at(9 * 3_600);
    for (obstacle, told) in [
        (Obstacle::AgentGone, ["skipped 540 AgentGone", "paused AgentGone"]),
        (Obstacle::AgentInactive, ["skipped 540 AgentInactive", "paused AgentInactive"]),
    ] {
        let stopped = Tick { obstacle: Some(obstacle), ..tick_of(due) };
        begun(daily()).when(ticked(stopped)).then_with(|events, state| {
            assert_eq!(outcome(events), told);
            let Event::Paused(paused) = &events[1] else { panic!("paused") };
            assert!(paused.reason.is_some());
            assert_eq!((state.as_ref().unwrap().active, next_of(state)), (false, None));
        });
    }
}

#[test]
fn without_catching_up_only_a_tick_that_is_on_time_fires() {
    let none = || CreateSchedule { catch_up: Some(CatchUp::None), ..daily() };
    let due = at(9 * 3_600);
    begun(none())
        .when(tick(due, due + Duration::milliseconds(LATE_MS)))
        .then_with(|events, _| assert_eq!(outcome(events), ["fired 540"]));
    begun(none()).when(tick(due, due + Duration::milliseconds(LATE_MS + 1))).then_with(|events, state| {
        assert_eq!(outcome(events), ["missed 540-540 (1)"]);
        assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600)));
    });
}

#[test]
fn a_year_of_minutes_is_looked_at_in_steps_and_only_the_latest_fire() {
    for (catch_up, fires) in [(CatchUp::One, 1), (CatchUp::All, CATCH_UP_MAX), (CatchUp::None, 1)] {
        let now = at(30 * DAY + 7);
        let mut given = begun(CreateSchedule { catch_up: Some(catch_up), ..every_minute() });
        while let Some(next) = given.state().unwrap().next.filter(|next| next.run_at <= now) {
            given = given.and(tick(next.tick, now));
        }
        let events = given.events();
        let fired: Vec<_> = events.iter().filter(|event| matches!(event, Event::TickFired(_))).collect();
        assert_eq!(fired.len(), fires, "{catch_up:?}");
        assert!(matches!(fired.last(), Some(Event::TickFired(e)) if e.tick == at(30 * DAY)));
        let missed: u64 =
            events.iter().map(|event| if let Event::TicksMissed(e) = event { e.count } else { 0 }).sum();
        assert_eq!(missed + fires as u64, 30 * 24 * 60);
    }
}

#[test]
fn jitter_delays_a_tick_by_an_amount_of_its_own_and_never_past_the_next_one() {
    let hasty = begun(CreateSchedule { jitter_ms: Some(JITTER_MS_MAX), ..every_minute() }).state().unwrap();
    let ticks = hasty.preview(at(0), 200);
    let delays: std::collections::BTreeSet<_> =
        ticks.iter().map(|next| (next.run_at - next.tick).num_milliseconds()).collect();
    assert!(delays.len() > 150 && delays.iter().all(|ms| (0..60_000).contains(ms)), "{delays:?}");
    assert_eq!(hasty.preview(at(0), 200), ticks);
    let first = hasty.next.unwrap();
    let between = first.run_at - Duration::milliseconds(1);
    assert_eq!(hasty.preview(between, 1), [first], "a tick whose delay runs is the next one");
}

#[test]
fn the_task_of_a_tick_carries_the_definition_of_the_schedule() {
    let prompt = format!("line one\n{}", "x".repeat(80));
    let given = begun(CreateSchedule { prompt: prompt.clone(), ..daily() });
    let state = given.state().unwrap();
    let due = at(9 * 3_600);
    let events = given.when(tick(due, due)).events();
    let accept = firing::accept_of(&state, &events, &demo().into()).unwrap();
    assert_eq!(accept.task_id, firing::task_of_tick(&state, due));
    assert_eq!(accept.command.message, prompt);
    assert_eq!(accept.command.session_id, Some(format!("schedule-session:{}:{}", id(), due.timestamp())));
    assert_eq!(accept.command.lane, Some(format!("schedule-lane:{}", id())));
    assert_eq!(accept.command.label, Some(format!("Schedule: line one {}…", "x".repeat(51))));
    assert_eq!(accept.command.spawned_by, Some(format!("schedule:{}", id())));
    assert_eq!(accept.command.source_view_id.as_deref(), Some("view-1"));
    assert_eq!(
        (accept.schedule_id, accept.skill_paths),
        (Some(id().to_string()), daily().skill_paths.unwrap())
    );
    assert_eq!(accept.command.input_provenance["source"], "scheduled_task");
    let skipped = Tick { open_task_ids: vec![task(1)], ..tick_of(due) };
    let skipping = begun(CreateSchedule { overlap: Some(Overlap::Skip), ..daily() });
    let events = skipping.when(ticked(skipped)).events();
    assert_eq!(firing::accept_of(&state, &events, &demo().into()), None);
}

fn any_catch_up() -> impl Strategy<Value = CatchUp> {
    prop_oneof![Just(CatchUp::One), Just(CatchUp::All), Just(CatchUp::None)]
}

proptest! {
    /// Whatever the downtimes: every tick ends exactly once, in order, and none before its time.
    #[test]
    fn every_tick_ends_exactly_once_and_in_order(
        catch_up in any_catch_up(),
        step in 1_i64..30,
        jitter_ms in prop_oneof![Just(0), 1..200_000_i64],
        downtimes in prop::collection::vec(1_i64..40_000, 1..12),
    ) {
        let cron_expr = format!("*/{step} * * * *");
        let (jitter_ms, of_missed) = (Some(jitter_ms), Some(catch_up));
        let mut given = begun(CreateSchedule { cron_expr, catch_up: of_missed, jitter_ms, ..daily() });
        let schedule = given.state().unwrap();
        let mut now = at(30);
        for downtime in downtimes {
            now += Duration::seconds(downtime);
            let mut made = 0;
            while let Some(next) = given.state().unwrap().next.filter(|next| next.run_at <= now) {
                let before = given.events().len();
                given = given.and(tick(next.tick, now));
                prop_assert!(given.events().len() > before, "a due tick changes nothing");
                made += given.events()[before..].iter().filter(|e| matches!(e, Event::TickFired(_))).count();
            }
            let most = if catch_up == CatchUp::All { CATCH_UP_MAX } else { 1 };
            prop_assert!(made <= most);
        }
        let mut expected = schedule.definition.rhythm(id()).unwrap().after(at(30)).collect_up_to(now);
        for event in given.events() {
            let (from, to, count) = match event {
                Event::TickFired(e) => {
                    prop_assert!(e.at >= expected[0].run_at);
                    (e.tick, e.tick, 1)
                }
                Event::TicksMissed(e) => (e.from, e.to, e.count as usize),
                _ => continue,
            };
            prop_assert_eq!(from, expected[0].tick);
            prop_assert_eq!(to, expected[count - 1].tick);
            expected.drain(..count);
        }
        prop_assert_eq!(expected, Vec::new());
    }
}

trait UpTo: Iterator<Item = Next> + Sized {
    /// The ticks that are due.
    fn collect_up_to(self, now: DateTime<Utc>) -> Vec<Next> {
        self.take_while(|next| next.run_at <= now).collect()
    }
}

impl<I: Iterator<Item = Next>> UpTo for I {}

#[test]
fn a_skipped_tick_records_the_reason() {
    let due = at(9 * 3_600);
    let open = Tick { open_task_ids: vec![task(1), task(2)], ..tick_of(due) };
    let events =
        begun(CreateSchedule { overlap: Some(Overlap::Skip), ..daily() }).when(ticked(open)).events();
    let [Event::TickSkipped(skipped)] = events.as_slice() else { panic!("skipped") };
    assert_eq!((skipped.reason, skipped.open_task_ids.len()), (SkipReason::PreviousOpen, 2));
}
