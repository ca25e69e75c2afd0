use capstan_decider::spec::Given;
use serde_json::json;

use super::*;
use crate::Requested;
use crate::task::command::{Command, FinishAttempt, FireWatch, ReportedOutcome, SubtaskSpec, Wake};
use crate::task::event::Join;
use crate::task::fixture::{
    at, cancel, fingerprint, finish_ok, finishing, finishing_by, kinds, lease, report, say, start, started,
    task_id, task_of, wake_in,
};
use crate::task::{Rejection, TaskDecider, TaskState};

fn watch() -> SourceWatch {
    SourceWatch {
        integration: " Gmail ".into(),
        reason: None,
        query: None,
        thread_id: Some("t-1 ".into()),
        message_id: None,
        entity_key: None,
        entity_label: None,
        source_output_id: None,
        event_types: Vec::new(),
    }
}

fn ok(watches: Vec<SourceWatch>) -> FinishAttempt {
    FinishAttempt { source_watches: Some(watches), ..report(ReportedOutcome::Ok) }
}

fn watching() -> Given<TaskDecider> {
    started().and(finishing(ok(vec![watch()])))
}

fn event(items: &[&str]) -> FireWatch {
    FireWatch {
        integration: "gmail".into(),
        correlation_keys: vec!["t-0".into(), "t-1".into()],
        items: items.iter().map(|item| json!(item)).collect(),
        event_type: None,
    }
}

fn news(items: &[&str]) -> Requested<Command> {
    firing(event(items))
}

fn firing(command: FireWatch) -> Requested<Command> {
    let fingerprint = fingerprint(&command.identity(task_id()));
    Command::FireWatch { command, fingerprint }.at(at(60))
}

/// Sleeps, and is woken by its timer, and runs again.
fn woken(given: Given<TaskDecider>, run_no: u32) -> Given<TaskDecider> {
    let wake_at = task_of(&given).progress.sleep.unwrap().wake_at;
    let seconds = (wake_at - at(0)).num_seconds();
    given
        .and(Command::Wake(Wake { wake_at }).at(wake_at))
        .and(lease(run_no, seconds))
        .and_events([start(run_no.into())])
}

#[test]
fn a_task_that_watches_sleeps_five_minutes_and_then_looks_into_the_very_thread() {
    started().when(finishing(ok(vec![watch()]))).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "armed", "slept"]);
        let sleep = state.as_ref().unwrap().sleep.clone().unwrap();
        assert_eq!(sleep.wake_at, at(50 + 300));
        let prompt = sleep.follow_up_prompt.unwrap();
        assert!(prompt.contains("gmail thread t-1"), "{prompt}");
    });
    let outlook = SourceWatch { integration: "outlook".into(), ..watch() };
    let prompt = wake(&[clean(&outlook)]).follow_up_prompt.unwrap();
    assert!(prompt.contains("outlook conversation t-1"), "{prompt}");
    let own = FinishAttempt { wake: Some(wake_in(30)), ..ok(vec![watch()]) };
    started().when(finishing(own)).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().sleep.as_ref().unwrap().wake_at, at(50 + 1800));
    });
}

#[test]
fn a_question_beats_a_watch_and_the_watch_stays_armed() {
    let asks = FinishAttempt { waiting_for_input: true, ..ok(vec![watch()]) };
    started().when(finishing(asks)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "armed", "asked"]);
        assert_eq!(state.as_ref().unwrap().watches.len(), 1);
    });
}

#[test]
fn without_a_plan_a_task_sleeps_while_it_watches_and_else_is_done() {
    let again = woken(watching(), 2);
    again
        .when(finish_ok(2))
        .then_with(|events, _| assert_eq!(kinds(events), ["attempt ended", "run ended", "slept"]));
    started().when(finish_ok(1)).then_with(|events, _| assert_eq!(kinds(events).last(), Some(&"done")));
    woken(watching(), 2).when(finishing_by(2, ok(Vec::new()))).then_with(|events, _| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "disarmed", "done"]);
    });
}

#[test]
fn news_wake_a_sleeping_task_once_whatever_their_order() {
    let fired = || watching().and(news(&["b", "a", "b"]));
    watching().when(news(&["a"])).then_with(|events, state| {
        assert_eq!(kinds(events), ["fired", "said", "run requested"]);
        let prompt = state.as_ref().unwrap().current_prompt();
        assert!(prompt.starts_with("News from gmail:\n- a") && prompt.contains("thread t-1"), "{prompt}");
    });
    fired().when(news(&["a", "b"])).then([]);
    fired().when(news(&["c"])).then_with(|events, _| assert_eq!(kinds(events), ["fired", "said"]));
    // A watch that fired and is not requested again ends with the run that was informed.
    fired().and(lease(2, 61)).when(finish_ok(2)).then_with(|events, state| {
        assert_eq!(kinds(events), ["started", "attempt ended", "run ended", "disarmed", "done"]);
        assert!(state.as_ref().unwrap().watches.is_empty());
    });
    let rearmed = fired().and(lease(2, 61)).and(finishing_by(2, ok(vec![watch()])));
    rearmed.when(news(&["a", "b"])).then([]);
}

#[test]
fn news_for_others_change_nothing() {
    let other = |change: fn(&mut FireWatch)| {
        let mut fire = event(&["a"]);
        change(&mut fire);
        watching().when(firing(fire)).then([]);
    };
    other(|fire| fire.integration = "slack".into());
    other(|fire| fire.correlation_keys = vec!["t-2".into()]);
    let typed = SourceWatch { event_types: vec![" fs.create ".into()], ..watch() };
    let given = || started().and(finishing(ok(vec![typed.clone()])));
    let of = |kind: &str| firing(FireWatch { event_type: Some(kind.into()), ..event(&["a"]) });
    given().when(of("fs.delete")).then([]);
    given().when(of("fs.create")).then_with(|events, _| assert_eq!(kinds(events)[0], "fired"));
}

#[test]
fn news_answer_no_question() {
    let asks = || started().and(finishing(FinishAttempt { waiting_for_input: true, ..ok(vec![watch()]) }));
    asks().when(news(&["a"])).then_with(|events, state| {
        assert_eq!(kinds(events), ["fired", "said"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Waiting);
    });
    asks().and(news(&["a"])).when(say(1, "yes")).then_with(|_, state| {
        let prompt = state.as_ref().unwrap().current_prompt();
        assert!(prompt.starts_with("News from gmail") && prompt.ends_with("yes"), "{prompt}");
    });
}

#[test]
fn news_resume_a_parent_that_waits_for_its_children_and_it_waits_again() {
    let subtasks = vec![SubtaskSpec { prompt: "one".into(), ..SubtaskSpec::default() }];
    let report = FinishAttempt { subtasks, join: Some(Join::All), ..ok(vec![watch()]) };
    let waiting = started().and(finishing(report));
    let resumed = waiting.and(news(&["a"])).and(lease(2, 61));
    resumed.when(finish_ok(2)).then_with(|events, _| {
        assert_eq!(kinds(events), ["started", "attempt ended", "run ended", "disarmed", "asked"]);
    });
}

#[test]
fn watches_about_a_child_go_to_it_and_the_parent_checks_in_an_hour() {
    let child = |label: &str, output: Option<&str>| SubtaskSpec {
        prompt: "look".into(),
        label: Some(label.into()),
        source_output_id: output.map(str::to_owned),
        ..SubtaskSpec::default()
    };
    let by_label = SourceWatch { entity_label: Some(" ANN ".into()), ..watch() };
    let by_output =
        SourceWatch { source_output_id: Some("o-2".into()), thread_id: Some("t-2".into()), ..watch() };
    let plan = |rest: Option<SourceWatch>| {
        let watches = [Some(by_label.clone()), Some(by_output.clone()), rest].into_iter().flatten().collect();
        let subtasks = vec![child("Ann", None), child("Bob", Some("o-2"))];
        finishing(FinishAttempt { subtasks, ..ok(watches) })
    };
    started().when(plan(None)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "spawned", "slept"]);
        let Event::SubtasksSpawned(spawned) = &events[2] else { panic!("spawned") };
        let handed: Vec<_> =
            spawned.subtasks.iter().map(|subtask| subtask.watches[0].thread_id.as_deref().unwrap()).collect();
        assert_eq!(handed, ["t-1", "t-2"]);
        assert_eq!(state.as_ref().unwrap().sleep.as_ref().unwrap().wake_at, at(50 + 3600));
    });
    let third = SourceWatch { thread_id: Some("t-3".into()), ..watch() };
    started().when(plan(Some(third))).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "spawned", "armed", "slept"]);
        assert_eq!(state.as_ref().unwrap().watches.len(), 1);
    });
    // A parent's own watches end with the hand-over.
    woken(watching(), 2)
        .when({
            let subtasks = vec![child("Ann", None)];
            finishing_by(2, FinishAttempt { subtasks, ..ok(vec![by_label.clone()]) })
        })
        .then_with(|events, _| {
            let cause = events.iter().find_map(|event| match event {
                Event::WatchDisarmed(disarmed) => Some(disarmed.cause),
                _ => None,
            });
            assert_eq!(cause, Some(DisarmCause::HandedOff));
        });
}

#[test]
fn equal_watches_are_one_and_a_later_one_continues_and_replaces_the_earlier() {
    started().when(finishing(ok(vec![watch(), watch()]))).then_with(|events, _| {
        assert_eq!(kinds(events).iter().filter(|kind| **kind == "armed").count(), 1);
    });
    let query = SourceWatch { thread_id: None, query: Some("from:ann".into()), ..watch() };
    woken(watching(), 2).when(finishing_by(2, ok(vec![query.clone()]))).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "disarmed", "armed", "slept"]);
        let kept: Vec<_> = state.as_ref().unwrap().watches.values().cloned().collect();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].thread_id.as_deref(), kept[0].query.as_deref()), (Some("t-1"), Some("from:ann")));
    });
    let first = started().and(finishing(ok(vec![query.clone()])));
    let other = SourceWatch { query: Some("from:bob".into()), ..query };
    woken(first, 2).when(finishing_by(2, ok(vec![other]))).then_with(|_, state| {
        let kept: Vec<_> =
            state.as_ref().unwrap().watches.values().map(|watch| watch.query.clone()).collect();
        assert_eq!(kept, [Some("from:bob".to_owned())]);
    });
    // The very same watch stays as it is.
    woken(watching(), 2).when(finishing_by(2, ok(vec![watch()]))).then_with(|events, _| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "slept"]);
    });
}

#[test]
fn every_fault_of_a_watch_is_refused_and_none_is_dropped() {
    let nowhere = SourceWatch { thread_id: Some(" ".into()), ..watch() };
    let nobody = SourceWatch { integration: " ".into(), ..watch() };
    let fax = SourceWatch { integration: "fax".into(), ..watch() };
    let long = SourceWatch { query: Some("q".repeat(TEXT_BYTES_MAX + 1)), ..watch() };
    let mute = SourceWatch { event_types: vec!["reply".into(), " ".into()], ..watch() };
    let watches = vec![watch(), watch(), nowhere, nobody, fax, long, mute];
    started().when(finishing(ok(watches))).then_rejected_with(|rejection| {
        let Rejection::Invalid(faults) = rejection else { return false };
        let found: Vec<_> =
            faults.iter().map(|fault| (fault.pointer.as_str(), fault.message.as_str())).collect();
        let expected = [
            ("/source_watches/2", "at least one of query, thread_id and message_id is required"),
            ("/source_watches/3/integration", "integration is required"),
            ("/source_watches/4/integration", "unsupported source watch integration \"fax\""),
            ("/source_watches/5/query", "must be at most 4096 bytes"),
            ("/source_watches/6/event_types/1", "an event type cannot be empty"),
        ];
        assert_eq!(found, expected);
        true
    });
}

#[test]
fn whatever_ends_a_task_ends_its_watches_in_the_same_decision() {
    watching().when(cancel()).then_with(|events, _| assert_eq!(kinds(events), ["disarmed", "cancelled"]));
    let boom = FinishAttempt { error: Some("boom".into()), ..report(ReportedOutcome::Error) };
    let failing = FinishAttempt { error_class: Some(crate::outcome_text::ErrorClass::Terminal), ..boom };
    woken(watching(), 2).when(finishing_by(2, failing)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "disarmed", "failed"]);
        assert!(state.as_ref().unwrap().watches.is_empty());
    });
    // W-91: only a good end arms watches.
    let failed = FinishAttempt { outcome: ReportedOutcome::Timeout, ..ok(vec![watch()]) };
    started().when(finishing(failed)).then_with(|events, _| assert!(!kinds(events).contains(&"armed")));
}

/// W-33, W-94
#[test]
fn a_task_that_keeps_waking_itself_sleeps_longer_and_longer_and_one_that_only_watches_gives_up() {
    let mut given = watching();
    let (mut sleeps, mut run_no) = (Vec::new(), 1);
    while task_of(&given).state == TaskState::Sleeping {
        let before = task_of(&given).progress.sleep.unwrap().wake_at;
        run_no += 1;
        given = woken(given, run_no);
        given = given.and(finish_ok(u64::from(run_no)).command.at(before));
        if let Some(sleep) = task_of(&given).progress.sleep {
            sleeps.push((sleep.wake_at - before).num_minutes());
        }
    }
    assert_eq!(task_of(&given).state, TaskState::Done);
    assert_eq!(sleeps.len(), 29);
    assert_eq!(sleeps[..12], [5, 5, 5, 5, 5, 5, 5, 5, 5, 10, 20, 40]);
    assert!(sleeps[17..].iter().all(|minutes| *minutes == 24 * 60), "{sleeps:?}");
    // An input of a caller restarts the count.
    let spoken = watching().and(say(1, "hi"));
    assert_eq!(task_of(&spoken).wake_count, 0);
}

#[test]
fn a_child_is_born_with_its_watches() {
    use crate::task::command::Accept;
    use crate::task::fixture::{accept, accepting};
    let accept = Accept { watches: vec![clean(&watch())], ..accept() };
    let born = capstan_decider::spec::given::<TaskDecider>([]).and(accepting(accept));
    assert_eq!(task_of(&born).watches.len(), 1);
    // Its first run may ask for more without meeting them.
    let other = SourceWatch { integration: "slack".into(), ..watch() };
    let given = born.and(lease(1, 10)).and(finishing(ok(vec![clean(&watch()), other])));
    assert_eq!(task_of(&given).watches.len(), 2);
}
