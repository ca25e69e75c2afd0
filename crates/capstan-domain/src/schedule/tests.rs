//! The rules of schedules, by example and by chance.

use capstan_decider::spec::{Given, given};
use chrono::{DateTime, Duration, TimeZone, Utc};
use proptest::prelude::*;

use super::command::{Create, Delete, Obstacle, Pause, Resume, Tick, Trigger, Update};
use super::event::{Event, PauseCause, SkipReason};
use super::*;
use crate::Change;
use crate::agent;
use crate::id::{ScheduleId, TaskId, derived};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// Seconds after midnight, 1 January 2026, UTC.
fn at(seconds: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap() + Duration::seconds(seconds)
}

fn id() -> ScheduleId {
    ScheduleId::of_key("dev", "s")
}

fn task(n: u8) -> TaskId {
    TaskId(derived(&["test", &n.to_string()]))
}

fn daily() -> Definition {
    Definition {
        cron_expr: "0 9 * * *".into(),
        timezone: String::new(),
        prompt: "write the report".into(),
        skill_paths: vec!["skills/report".into()],
        source_view_id: Some("view-1".into()),
        overlap: Overlap::Queue,
        catch_up: CatchUp::One,
        jitter_ms: 0,
    }
}

fn every_minute() -> Definition {
    Definition { cron_expr: "* * * * *".into(), ..daily() }
}

fn demo() -> agent::Created {
    agent::Created::named("dev", "demo", "Demo", at(0))
}

fn create(definition: Definition) -> Create {
    Create {
        schedule_id: id(),
        workspace: "dev".into(),
        agent: demo(),
        definition,
        active: true,
        prompt_bytes_max: 1_000,
        at: at(30),
    }
}

fn begun(definition: Definition) -> Given<ScheduleDecider> {
    given::<ScheduleDecider>([]).and(Command::Create(Box::new(create(definition))))
}

fn update(update: Update) -> Command {
    Command::Update(Box::new(Update { prompt_bytes_max: 1_000, at: at(60), ..update }))
}

fn tick_of(tick: DateTime<Utc>, now: DateTime<Utc>) -> Tick {
    Tick { tick, obstacle: None, open_task_ids: Vec::new(), at: now }
}

fn tick(tick: DateTime<Utc>, now: DateTime<Utc>) -> Command {
    Command::Tick(tick_of(tick, now))
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
    given::<ScheduleDecider>([]).when(Command::Create(Box::new(create(daily())))).then_with(
        |events, state| {
            let [Event::Created(created)] = events else { panic!("created") };
            assert_eq!((created.agent_name.as_str(), created.definition.timezone.as_str()), ("Demo", "UTC"));
            assert_eq!(next_of(state), Some(at(9 * 3_600)));
        },
    );
}

#[test]
fn after_the_tick_of_today_comes_that_of_tomorrow() {
    let late = Create { at: at(10 * 3_600), ..create(daily()) };
    given::<ScheduleDecider>([])
        .when(Command::Create(Box::new(late)))
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600))));
}

#[test]
fn the_same_expression_in_two_zones_has_two_instants() {
    let new_york = Definition { timezone: "America/New_York".into(), ..daily() };
    assert_eq!(next_of(&begun(new_york).state()), Some(at(14 * 3_600)));
    assert_eq!(next_of(&begun(daily()).state()), Some(at(9 * 3_600)));
}

#[test]
fn an_empty_zone_is_utc_and_an_unknown_one_is_refused() {
    let mars = create(Definition { timezone: "Mars/Base".into(), ..daily() });
    given::<ScheduleDecider>([])
        .when(Command::Create(Box::new(mars)))
        .then_rejected_with(|no| pointers(no) == ["/timezone"]);
    assert_eq!(begun(daily()).state().unwrap().definition.timezone, "UTC");
}

#[test]
fn a_schedule_made_on_a_tick_waits_for_the_following_one() {
    let on_it = Create { at: at(9 * 3_600), ..create(daily()) };
    given::<ScheduleDecider>([])
        .when(Command::Create(Box::new(on_it)))
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600))));
}

#[test]
fn a_tick_fires_once_and_names_its_task_by_schedule_and_tick() {
    let due = at(9 * 3_600);
    let key = format!("schedule:{}:{}", id(), due.timestamp());
    let task_id = TaskId::of_key("dev", demo().agent_id, &key);
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
    let refused =
        Tick { obstacle: Some(Obstacle::TaskRefused("no".into())), ..tick_of(at(9 * 3_600), at(9 * 3_600)) };
    begun(daily()).when(Command::Tick(refused)).then_with(|events, state| {
        assert_eq!(outcome(events), ["skipped 540 TaskRefused"]);
        assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600)));
        assert!(state.as_ref().unwrap().active);
    });
}

#[test]
fn a_schedule_switched_on_again_fires_at_its_next_tick_and_not_at_an_old_one() {
    let paused = begun(daily()).and(update(Update { active: Some(false), ..Update::default() }));
    assert_eq!(next_of(&paused.state()), None);
    let later = Update { active: Some(true), prompt_bytes_max: 1_000, at: at(20 * DAY), ..Update::default() };
    paused.when(Command::Update(Box::new(later))).then_with(|events, state| {
        assert!(matches!(events, [Event::Resumed(_)]), "{events:?}");
        assert_eq!(next_of(state), Some(at(20 * DAY + 9 * 3_600)));
    });
}

#[test]
fn a_blank_prompt_is_refused() {
    let blank = || Some("  ".to_owned());
    begun(daily()).when(update(Update { prompt: blank(), ..Update::default() })).then_rejected_with(|no| {
        matches!(no, Rejection::Invalid(faults) if faults[0].pointer == "/prompt"
            && faults[0].message == "prompt cannot be empty")
    });
}

#[test]
fn all_faults_are_reported_together() {
    let bad = Definition {
        cron_expr: "61 * * * *".into(),
        timezone: "Nowhere".into(),
        prompt: " ".into(),
        skill_paths: vec![" ".into()],
        jitter_ms: -1,
        ..daily()
    };
    given::<ScheduleDecider>([]).when(Command::Create(Box::new(create(bad)))).then_rejected_with(|no| {
        assert_eq!(pointers(no), ["/timezone", "/jitter_ms", "/cron_expr", "/skill_paths", "/prompt"]);
        true
    });
}

#[test]
fn an_expression_that_never_fires_is_refused() {
    for cron in ["0 0 30 2 *", "", "0 9 * *", "@daily", "0 9 * * * *"] {
        let never = create(Definition { cron_expr: cron.into(), ..daily() });
        given::<ScheduleDecider>([])
            .when(Command::Create(Box::new(never)))
            .then_rejected_with(|no| pointers(no) == ["/cron_expr"]);
        begun(daily())
            .when(update(Update { cron_expr: Some(cron.into()), ..Update::default() }))
            .then_rejected_with(|no| pointers(no) == ["/cron_expr"]);
    }
}

#[test]
fn an_inactive_agent_gets_no_schedule_and_a_long_prompt_is_too_large() {
    let mut idle = create(daily());
    idle.agent.active = false;
    given::<ScheduleDecider>([])
        .when(Command::Create(Box::new(idle)))
        .then_rejected(Rejection::AgentInactive("demo".into()));
    let long = create(Definition { prompt: "x".repeat(1_001), ..daily() });
    given::<ScheduleDecider>([])
        .when(Command::Create(Box::new(long)))
        .then_rejected(Rejection::TooLarge { limit_bytes: 1_000 });
}

#[test]
fn an_update_changes_what_is_given_and_leaves_the_next_tick_alone() {
    let given = Update { prompt: Some("other".into()), source_view_id: Change::Clear, ..Update::default() };
    begun(daily()).when(update(given)).then_with(|events, state| {
        let [Event::Changed(changed)] = events else { panic!("changed") };
        assert_eq!(
            (changed.definition.prompt.as_str(), &changed.definition.source_view_id),
            ("other", &None)
        );
        assert_eq!(changed.definition.skill_paths, daily().skill_paths);
        assert_eq!(next_of(state), Some(at(9 * 3_600)));
    });
    begun(daily()).when(update(Update::default())).then_nothing();
}

#[test]
fn other_times_have_another_next_tick_but_never_one_that_ended() {
    let hourly = Update { cron_expr: Some(" 0  * * * * ".into()), ..Update::default() };
    begun(daily()).when(update(hourly.clone())).then_with(|events, state| {
        let [Event::Changed(changed)] = events else { panic!("changed") };
        assert_eq!(changed.definition.cron_expr, "0 * * * *");
        assert_eq!(next_of(state), Some(at(3_600)));
    });
    // The engine's clock was ahead: the tick of nine o'clock has fired, by the caller's clock it is to come.
    let due = at(9 * 3_600);
    let early = Update { prompt_bytes_max: 1_000, at: due - Duration::seconds(1), ..hourly };
    begun(daily())
        .and(tick(due, due))
        .when(Command::Update(Box::new(early)))
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(10 * 3_600))));
}

#[test]
fn a_zone_alone_moves_the_next_tick_too() {
    begun(daily())
        .when(update(Update { timezone: Some("Europe/Berlin".into()), ..Update::default() }))
        .then_with(|_, state| assert_eq!(next_of(state), Some(at(8 * 3_600))));
}

#[test]
fn a_paused_schedule_lets_ticks_pass_and_resumes_from_now() {
    let pause = || {
        let cause = PauseCause::Asked;
        Command::Pause(Pause { cause, reason: Some(" holidays ".into()), at: at(60) })
    };
    let paused = begun(daily()).and(pause());
    let Some(Event::Paused(event)) = paused.events().last() else { panic!("paused") };
    assert_eq!(event.reason.as_deref(), Some("holidays"));
    given::<ScheduleDecider>(paused.events().to_vec()).when(pause()).then_nothing();
    given::<ScheduleDecider>(paused.events().to_vec())
        .when(tick(at(9 * 3_600), at(9 * 3_600)))
        .then_nothing();
    let resumed = paused.and(Command::Resume(Resume { at: at(3 * DAY) }));
    assert_eq!(next_of(&resumed.state()), Some(at(3 * DAY + 9 * 3_600)));
    resumed.when(Command::Resume(Resume { at: at(3 * DAY) })).then_nothing();
}

#[test]
fn a_deleted_schedule_is_not_there_any_more() {
    let deleted = begun(daily()).and(Command::Delete(Delete { at: at(60) }));
    let history = deleted.events().to_vec();
    for command in [
        Command::Delete(Delete { at: at(61) }),
        Command::Resume(Resume { at: at(61) }),
        Command::Trigger(Trigger { task_id: task(1), at: at(61) }),
        update(Update::default()),
    ] {
        given::<ScheduleDecider>(history.clone()).when(command).then_rejected(Rejection::NotFound);
    }
    deleted.when(tick(at(9 * 3_600), at(9 * 3_600))).then_nothing();
}

#[test]
fn a_trigger_makes_a_task_beside_the_ticks_also_of_a_paused_schedule() {
    let paused =
        begun(daily()).and(Command::Pause(Pause { cause: PauseCause::Asked, reason: None, at: at(40) }));
    for given in [begun(daily()), paused] {
        let before = next_of(&given.state());
        given.when(Command::Trigger(Trigger { task_id: task(1), at: at(50) })).then_with(|events, state| {
            assert!(matches!(events, [Event::Triggered(e)] if e.task_id == task(1)));
            assert_eq!(next_of(state), before);
            assert_eq!(state.as_ref().unwrap().last_task_id, Some(task(1)));
        });
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
        let open = Tick { open_task_ids: vec![task(1)], ..tick_of(due, due) };
        begun(Definition { overlap, ..daily() }).when(Command::Tick(open)).then_with(|events, state| {
            assert_eq!(outcome(events), [told]);
            if let Event::TickFired(fired) = &events[0] {
                assert_eq!(fired.cancelled_task_ids, cancelled);
            }
            assert_eq!(next_of(state), Some(at(DAY + 9 * 3_600)));
        });
    }
}

#[test]
fn a_schedule_whose_agent_is_gone_or_inactive_pauses_itself_with_a_reason() {
    let due = at(9 * 3_600);
    for (obstacle, told) in [
        (Obstacle::AgentGone, ["skipped 540 AgentGone", "paused AgentGone"]),
        (Obstacle::AgentInactive, ["skipped 540 AgentInactive", "paused AgentInactive"]),
    ] {
        let stopped = Tick { obstacle: Some(obstacle), ..tick_of(due, due) };
        begun(daily()).when(Command::Tick(stopped)).then_with(|events, state| {
            assert_eq!(outcome(events), told);
            let Event::Paused(paused) = &events[1] else { panic!("paused") };
            assert!(paused.reason.is_some());
            assert_eq!((state.as_ref().unwrap().active, next_of(state)), (false, None));
        });
    }
}

#[test]
fn without_catching_up_only_a_tick_that_is_on_time_fires() {
    let none = || Definition { catch_up: CatchUp::None, ..daily() };
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
        let mut given = begun(Definition { catch_up, ..every_minute() });
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
    let hasty = begun(Definition { jitter_ms: JITTER_MS_MAX, ..every_minute() }).state().unwrap();
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
    let given = begun(Definition { prompt: prompt.clone(), ..daily() });
    let state = given.state().unwrap();
    let due = at(9 * 3_600);
    let events = given.when(tick(due, due)).events();
    let accept = firing::accept_of(&state, &events, &demo()).unwrap();
    assert_eq!(accept.task_id, firing::task_of_tick(&state, due));
    assert_eq!(accept.command.message, prompt);
    assert_eq!(accept.command.session_id, Some(format!("schedule-session:{}:{}", id(), due.timestamp())));
    assert_eq!(accept.command.lane, Some(format!("schedule-lane:{}", id())));
    assert_eq!(accept.command.label, Some(format!("Schedule: line one {}…", "x".repeat(51))));
    assert_eq!(accept.command.spawned_by, Some(format!("schedule:{}", id())));
    assert_eq!(accept.command.source_view_id.as_deref(), Some("view-1"));
    assert_eq!((accept.schedule_id, accept.skill_paths), (Some(id().to_string()), daily().skill_paths));
    assert_eq!(accept.command.input_provenance["source"], "scheduled_task");
    let skipped = Tick { open_task_ids: vec![task(1)], ..tick_of(due, due) };
    let skipping = begun(Definition { overlap: Overlap::Skip, ..daily() });
    let events = skipping.when(Command::Tick(skipped)).events();
    assert_eq!(firing::accept_of(&state, &events, &demo()), None);
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
        let definition = Definition { cron_expr, catch_up, jitter_ms, ..daily() };
        let mut given = begun(definition);
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
    let open = Tick { open_task_ids: vec![task(1), task(2)], ..tick_of(due, due) };
    let events = begun(Definition { overlap: Overlap::Skip, ..daily() }).when(Command::Tick(open)).events();
    let [Event::TickSkipped(skipped)] = events.as_slice() else { panic!("skipped") };
    assert_eq!((skipped.reason, skipped.open_task_ids.len()), (SkipReason::PreviousOpen, 2));
}
