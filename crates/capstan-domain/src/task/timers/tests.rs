use capstan_decider::Decider;
use capstan_decider::spec::{Given, given};

use super::*;
use crate::Requested;
use crate::task::TaskDecider;
use crate::task::command::AcceptAgentCommand;
use crate::task::command::{Accept, FinishAttempt, ReportedOutcome, WakePlan};
use crate::task::fixture::{
    GRACE_MS, accepting, agent_command, ask, at, done, expire, finish_ok, finishing, kinds, lease, leased,
    queued, report, run, say, start, started, stopping, task_of, waiting, wake_in,
};

fn dues(history: &Given<TaskDecider>) -> Vec<DateTime<Utc>> {
    timers(&task_of(history)).iter().map(|timer| timer.due).collect()
}

fn of(accept: impl Into<Accept>) -> Given<TaskDecider> {
    given::<TaskDecider>([]).and(accepting(accept))
}

#[test]
fn a_task_has_the_timers_of_its_state() {
    assert!(dues(&queued()).is_empty());
    assert!(dues(&done()).is_empty());
    // The time-out counts from the lease: an attempt that never reports ends, too.
    assert_eq!(dues(&leased()), [at(610)]);
    assert_eq!(dues(&started()), [at(610)]);
    assert_eq!(dues(&waiting()), [at(610)]);
    assert_eq!(dues(&stopping()), [at(40)]);
    let asleep = FinishAttempt { wake: Some(wake_in(10)), ..report(ReportedOutcome::Ok) };
    assert_eq!(dues(&started().and(finishing(asleep))), [at(650)]);
    assert_eq!(dues(&of(AcceptAgentCommand { queue_ttl_ms: Some(7000), ..agent_command() })), [at(7)]);
    let endless = AcceptAgentCommand { timeout_ms: Some(0), ..agent_command() };
    assert!(dues(&of(endless).and(lease(1, 1)).and_events([start(1)])).is_empty());
    let due = AcceptAgentCommand { deadline: Some(at(99)), ..agent_command() };
    assert_eq!(dues(&of(due).and(lease(1, 1))), [at(601), at(99)]);
}

#[test]
fn every_timer_acts_when_it_fires_and_then_is_gone() {
    let asleep = FinishAttempt { wake: Some(wake_in(10)), ..report(ReportedOutcome::Ok) };
    let histories = [
        started(),
        leased(),
        waiting(),
        stopping(),
        started().and(finishing(asleep)),
        of(AcceptAgentCommand { queue_ttl_ms: Some(7000), ..agent_command() }),
        of(AcceptAgentCommand { deadline: Some(at(99)), ..agent_command() }),
    ];
    for history in histories {
        let task = task_of(&history);
        let timer = timers(&task).remove(0);
        let early =
            timer.command(task.newest_attempt(), GRACE_MS).at(timer.due - chrono::Duration::milliseconds(1));
        let command = timer.command(task.newest_attempt(), GRACE_MS).at(timer.due);
        let events = TaskDecider::decide(&history.state(), &command).expect("a timer is never refused");
        assert!(!events.is_empty(), "{timer:?} must act");
        let after = capstan_decider::fold::<TaskDecider>(history.state(), &events);
        assert_eq!(TaskDecider::decide(&after, &command), Ok(Vec::new()), "{timer:?} acts once");
        assert!(!timers(after.as_ref().expect("a task")).contains(&timer));
        if !matches!(timer.kind, Kind::Wake | Kind::CancelGrace) {
            assert_eq!(TaskDecider::decide(&history.state(), &early), Ok(Vec::new()), "{timer:?} is early");
        }
    }
}

fn wake_at(instant: DateTime<Utc>) -> Requested<Command> {
    Command::Wake(Wake { wake_at: instant }).at(at(60))
}

fn expire_queue(number: u32, seconds: i64) -> Requested<Command> {
    Command::ExpireQueue(ExpireQueue { run_id: run(number) }).at(at(seconds))
}

fn pass_deadline(deadline: i64, seconds: i64) -> Requested<Command> {
    Command::PassDeadline(PassDeadline { deadline: at(deadline), grace_ms: GRACE_MS }).at(at(seconds))
}

fn asleep() -> Given<TaskDecider> {
    given::<TaskDecider>([])
        .and(accepting(AcceptAgentCommand { dispatch_delay_ms: Some(60_000), ..agent_command() }))
}

#[test]
fn the_wake_timer_queues_the_task_with_its_message() {
    asleep().when(wake_at(at(60))).then_with(|events, state| {
        let Event::RunRequested(run) = &events[0] else { panic!("a run") };
        let task = state.as_ref().unwrap();
        assert_eq!((run.cause, task.current_prompt()), (RunCause::Wake, "do it"));
        assert_eq!(task.sleep, None);
    });
}

#[test]
fn a_woken_agent_receives_the_follow_up_it_planned() {
    let wake = WakePlan { follow_up_prompt: Some("ask Ann".into()), ..wake_in(1) };
    let asleep = started().and(finishing(FinishAttempt { wake: Some(wake), ..report(ReportedOutcome::Ok) }));
    asleep.when(wake_at(at(110))).then_with(|events, state| {
        let Event::RunRequested(next) = &events[0] else { panic!("a run") };
        assert_eq!(state.as_ref().unwrap().current_prompt(), format!("{TIME_IS_UP}\n\nask Ann"));
        assert_eq!((next.cause, next.resumed_from_run_id), (RunCause::Wake, Some(run(1))));
    });
}

#[test]
fn a_timer_of_another_sleep_or_of_a_task_that_is_awake_changes_nothing() {
    asleep().when(wake_at(at(61))).then_nothing();
    asleep().and(wake_at(at(60))).when(wake_at(at(60))).then_nothing();
    queued().when(wake_at(at(60))).then_nothing();
}

#[test]
fn an_input_wakes_a_delayed_task_with_its_command_before_the_input() {
    asleep().when(say(1, "now!")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "run requested"]);
        assert_eq!(state.as_ref().unwrap().current_prompt(), "do it\n\nnow!");
    });
}

#[test]
fn a_task_that_waits_longer_than_its_queue_ttl_is_dropped() {
    let patient = || {
        given::<TaskDecider>([])
            .and(accepting(AcceptAgentCommand { queue_ttl_ms: Some(5000), ..agent_command() }))
    };
    patient().when(expire_queue(1, 5)).then_with(|events, state| {
        assert_eq!(kinds(events), ["run ended", "dropped"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Dropped);
    });
    patient().when(expire_queue(1, 4)).then_nothing();
    patient().when(expire_queue(2, 5)).then_nothing();
    patient().and(lease(1, 1)).when(expire_queue(1, 5)).then_nothing();
    // It had its attempt: a retry is not a first wait.
    patient().and(lease(1, 1)).and(expire(1)).when(expire_queue(1, 60)).then_nothing();
    queued().when(expire_queue(1, 1_000_000)).then_nothing();
}

#[test]
fn a_task_past_its_deadline_is_cancelled_whatever_it_does() {
    let due = || {
        given::<TaskDecider>([])
            .and(accepting(AcceptAgentCommand { deadline: Some(at(100)), ..agent_command() }))
    };
    for history in [due(), due().and(lease(1, 1)), due().and(lease(1, 1)).and(ask(1, "which?"))] {
        history.when(pass_deadline(100, 100)).then_with(|_, state| {
            assert_eq!(state.as_ref().unwrap().state, TaskState::Cancelled);
        });
    }
    due().when(pass_deadline(100, 99)).then_nothing();
    due().when(pass_deadline(101, 200)).then_nothing();
    due().and(lease(1, 1)).and(finish_ok(1)).when(pass_deadline(100, 100)).then_nothing();
    leased().when(pass_deadline(100, 100)).then_nothing();
}
