//! Laws that hold for a task after any sequence of commands and facts.
//!
//! Commands come from a generator that mostly asks what the present state allows, and sometimes what it does
//! not. `PROPTEST_CASES` sets the number of cases of each law (256 when absent); raise it before a release.

#[path = "laws/commands.rs"]
mod commands;
#[path = "laws/history.rs"]
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use capstan_decider::{Decider, fold};
use capstan_domain::Requested;
use capstan_domain::id::{BlockerId, InputId, RunId};
use capstan_domain::matching::Needs;
use capstan_domain::task::bounds::{PROGRESS_BYTES_MAX, REPORTED_BYTES_MAX};
use capstan_domain::task::event::{
    BlockerStatus, InputOutcome, InputSource, Join, QueueMode, RunCause, TaskBudgetSet, Verdict,
};
use capstan_domain::task::spending::Spending;
use capstan_domain::task::state::CARRIED_BYTES_MAX;
use capstan_domain::task::state::{InputState, ToolCallState};
use capstan_domain::task::timers::timers;
use capstan_domain::task::transitions::{TRANSITIONS, is_legal};
use capstan_domain::task::{Command, Event, Rejection, State, Task, TaskDecider, TaskState};
use history::{Birth, Step, births, moves, play};
use proptest::prelude::*;

fn task_of(state: &State) -> &Task {
    state.as_ref().expect("every history begins with an acceptance")
}

fn decide(state: &State, command: &Requested<Command>) -> Result<Vec<Event>, Rejection> {
    TaskDecider::decide(state, command)
}

/// Rows and usage add up, and every question to the gate is a new call: a repeat means more of it, so their callers key
/// them.
fn accumulates(command: &Command) -> bool {
    matches!(
        command,
        Command::AppendOutputRows { .. } | Command::RecordUsage { .. } | Command::CheckToolCall(_)
    )
}

/// An input that an agent has is forgotten: a repeat of its command is answered by its key, without a decision.
fn is_known_by_key(step: &Step) -> bool {
    match &step.command.command {
        Command::SubmitInput(input) => task_of(&step.after).input(input.input_id).is_none(),
        _ => false,
    }
}

/// Every edge that histories took, to see that the generator reaches the whole table.
fn edges(steps: &[Step]) -> BTreeSet<(Option<TaskState>, TaskState)> {
    let state = |state: &State| state.as_ref().map(|task| task.state);
    steps
        .iter()
        .filter(|step| state(&step.before) != state(&step.after))
        .map(|step| (state(&step.before), task_of(&step.after).state))
        .collect()
}

proptest! {
    #[test]
    fn the_state_changes_only_along_the_table(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let before = step.before.as_ref().map(|task| task.state);
            let mut inside = step.before.clone();
            for event in &step.events {
                inside = TaskDecider::evolve(inside, event);
                let now = task_of(&inside).state;
                prop_assert!(is_legal(before, now), "{before:?} to {now:?} by {:?}", step.command);
            }
        }
    }

    #[test]
    fn an_unfinished_task_always_has_an_owner(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let task = task_of(&step.after);
            prop_assert_eq!(task.owner().is_none(), task.state.is_terminal(), "after {:?}: {:?}", step.command, task);
        }
    }

    #[test]
    fn parts_of_a_task_agree_with_its_state(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let task = task_of(&step.after);
            let why = format!("after {:?}: {task:?}", step.command);
            let waits = task.blocker.is_some() || task.executing_call().is_some();
            prop_assert!(waits || task.state != TaskState::Waiting, "waiting, {}", why);
            prop_assert!(task.blocker.is_none() || task.state == TaskState::Waiting, "blocker, {}", why);
            prop_assert_eq!(task.sleep.is_some(), task.state == TaskState::Sleeping, "sleep, {}", why);
            prop_assert_eq!(task.queued_at.is_some(), task.state == TaskState::Queued, "queue, {}", why);
            let is_active = task.state == TaskState::Queued || task.working_attempt().is_some();
            prop_assert_eq!(task.active_run().is_some(), is_active, "run, {}", why);
            let mut earlier = task.runs.kept.iter().rev().skip(1);
            prop_assert!(earlier.all(|run| run.status.is_terminal()), "earlier runs, {}", why);
            if let Some(live) = &task.live {
                let is_over = task.run(live.run_id).expect("a live run is known").status.is_terminal();
                prop_assert_eq!(live.cancel_grace_until.is_some(), is_over, "a stopping attempt, {}", why);
            }
            if matches!(task.state, TaskState::Queued | TaskState::Sleeping) || task.state.is_terminal() {
                prop_assert_eq!(task.working_attempt(), None, "nobody works, {}", why);
            }
        }
    }

    #[test]
    fn the_same_command_again_has_no_second_effect(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let again = decide(&step.after, &step.command);
            if !accumulates(&step.command.command) && !is_known_by_key(&step) {
                let is_quiet = again.as_ref().map_or(true, Vec::is_empty);
                prop_assert!(is_quiet, "{:?} again gave {again:?}", step.command);
            }
        }
    }

    #[test]
    fn nothing_is_carried_out_that_was_not_approved_before(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            for event in &step.events {
                let Event::ToolExecutionStarted(started) = event else { continue };
                let call = &task_of(&step.before).tool_calls[&started.tool_call_id];
                let was_approved =
                    matches!(call.state, ToolCallState::Approved { .. } | ToolCallState::Executing { .. });
                prop_assert!(was_approved && !task_of(&step.before).state.is_terminal(), "{:?}", call.state);
            }
        }
    }

    #[test]
    fn no_lease_follows_a_spent_budget(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            if step.events.iter().any(|event| matches!(event, Event::AttemptLeased(_))) {
                let spending = task_of(&step.before).own_budget();
                prop_assert!(!spending.is_some_and(Spending::is_exceeded), "{spending:?}");
            }
        }
    }

    #[test]
    fn epochs_grow_and_at_most_one_attempt_lives(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            for event in &step.events {
                if let Event::AttemptLeased(leased) = event {
                    let before = task_of(&step.before);
                    prop_assert!(leased.attempt_id.epoch > before.epoch);
                    prop_assert_eq!(&before.live, &None, "leased beside a live attempt");
                }
            }
        }
    }

    #[test]
    fn a_stale_attempt_changes_nothing(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let (Some(fence), Some(task)) = (step.command.command.attempt_id(), &step.before) else { continue };
            if task.live.as_ref().is_none_or(|live| live.attempt_id != *fence) {
                prop_assert!(step.events.is_empty(), "{:?} acted", step.command);
                if let Err(rejection) = &step.answer {
                    prop_assert_eq!(rejection, &Rejection::LeaseLost { current_epoch: task.epoch });
                }
            }
        }
    }

    #[test]
    fn every_input_is_consumed_at_most_once_and_never_lost(birth in births(), moves in moves()) {
        let mut accepted: BTreeMap<u32, InputOutcome> = BTreeMap::new();
        let mut consumed: BTreeSet<u32> = BTreeSet::new();
        let mut deferred: BTreeSet<u32> = BTreeSet::new();
        let mut ids: BTreeSet<InputId> = BTreeSet::new();
        for step in play(&birth, &moves) {
            for event in &step.events {
                if let Event::InputDeferred(e) = event {
                    deferred.insert(e.seq);
                }
                let now: Vec<u32> = match event {
                    Event::InputAccepted(e) => {
                        prop_assert_eq!(accepted.insert(e.seq, e.outcome), None, "accepted twice");
                        prop_assert!(ids.insert(e.input_id), "two inputs of one id");
                        // What says nothing to the agent is done with.
                        if e.message.is_empty() { vec![e.seq] } else { Vec::new() }
                    }
                    Event::InputConsumed(e) => vec![e.seq],
                    Event::RunRequested(e) => e.inputs.iter().collect(),
                    _ => Vec::new(),
                };
                for seq in now {
                    prop_assert!(accepted.contains_key(&seq), "consumed before it was accepted");
                    prop_assert!(consumed.insert(seq), "consumed twice by {:?}", step.command);
                }
            }
            let task = task_of(&step.after);
            let inbox: BTreeSet<_> = task.inbox.iter().map(|input| input.seq).collect();
            let left = accepted.keys().copied().filter(|seq| !consumed.contains(seq)).collect();
            prop_assert_eq!(inbox, left, "the inbox has exactly what no agent has");
            prop_assert_eq!(task.inbox.accepted as usize, accepted.len());
            for input in task.inbox.iter() {
                if let InputState::Claimed(by) = &input.state {
                    let holder = task.working_attempt().map(|live| &live.attempt_id);
                    prop_assert_eq!(holder, Some(by), "claimed by an attempt that works");
                }
            }
            if matches!(task.state, TaskState::Done | TaskState::Sleeping) {
                prop_assert_eq!(task.pending_inputs().count(), 0, "stranded while {:?}", task.state);
            }
            if task.state == TaskState::Waiting {
                // What a person said answers the question, unless it asks for a turn of its own or the question takes
                // several people or an answer of a shape. Money and decisions on tool calls do not come with what was said before, and what the
                // agent deferred waits for the end of its turn.
                let works = task.working_attempt().is_some();
                let takes_all = task.blocker.as_ref().is_some_and(|blocker| {
                    let asked = &blocker.opened;
                    asked.approvers.is_none()
                        && asked.answer_schema.is_none()
                        && asked.budget.is_none()
                        && asked.tool_call_id.is_none()
                });
                let may_answer = |input: &&capstan_domain::task::state::Input| {
                    input.source == InputSource::Caller
                        && input.queue_mode != QueueMode::Queue
                        && !(works && deferred.contains(&input.seq))
                };
                prop_assert!(!takes_all || !task.pending_inputs().any(|input| may_answer(&input)), "stranded");
            }
        }
    }

    #[test]
    fn what_reached_no_agent_is_said_again_by_the_next_run(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let Some(before) = &step.before else { continue };
            for event in &step.events {
                let Event::RunRequested(requested) = event else { continue };
                if requested.cause == RunCause::Wake {
                    continue;
                }
                let prompt = task_of(&step.after).current_prompt();
                let said = before.inbox.iter().filter(|input| requested.inputs.contains(input.seq));
                for input in said {
                    prop_assert!(prompt.contains(&input.message), "an input's text is missing");
                }
                let ended_well = matches!(step.command.command, Command::Finish { .. });
                if let Some(undelivered) = before.undelivered_prompt().filter(|_| !ended_well) {
                    prop_assert!(prompt.starts_with(undelivered), "{prompt:?}");
                }
            }
        }
    }

    #[test]
    fn every_blocker_ends_once_with_the_state_it_stands_for(birth in births(), moves in moves()) {
        let mut open: BTreeSet<BlockerId> = BTreeSet::new();
        let mut ever: BTreeSet<BlockerId> = BTreeSet::new();
        for step in play(&birth, &moves) {
            for event in &step.events {
                match event {
                    Event::BlockerOpened(e) => {
                        prop_assert!(ever.insert(e.blocker_id), "a revision came twice");
                        open.insert(e.blocker_id);
                    }
                    Event::BlockerClosed(e) => prop_assert!(open.remove(&e.blocker_id), "closed, but not open"),
                    _ => {}
                }
            }
            let held: BTreeSet<_> = task_of(&step.after).blocker.iter().map(|b| b.opened.blocker_id).collect();
            prop_assert_eq!(&held, &open);
        }
    }

    #[test]
    fn a_question_with_a_schema_is_answered_by_a_rejection_or_by_what_was_checked(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let Some(asked) = step.before.as_ref().and_then(|task| task.blocker.as_ref()) else { continue };
            let asked = &asked.opened;
            let answers = |event: &&Event| match event {
                Event::BlockerClosed(e) => e.blocker_id == asked.blocker_id && e.status == BlockerStatus::Resolved,
                _ => false,
            };
            let Some(Event::BlockerClosed(closed)) = step.events.iter().find(answers) else { continue };
            if asked.answer_schema.is_none() {
                continue;
            }
            let action = closed.resolution.as_ref().and_then(|resolution| resolution.action);
            let is_checked = match &step.command.command {
                Command::SubmitInput(input) => input.checked_for == Some(asked.blocker_id),
                _ => false,
            };
            prop_assert!(is_checked || action == Some(Verdict::Reject), "closed by {:?}", step.command);
        }
    }

    #[test]
    fn a_task_that_is_over_watches_nothing_and_waits_for_nobody(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let task = task_of(&step.after);
            let mut armed: BTreeSet<_> = step.before.iter().flat_map(|task| task.watches.keys().copied()).collect();
            for event in &step.events {
                match event {
                    Event::WatchArmed(e) => prop_assert!(armed.insert(e.watch_id), "armed twice"),
                    Event::WatchDisarmed(e) => prop_assert!(armed.remove(&e.watch_id), "disarmed, but not armed"),
                    Event::WatchFired(e) => prop_assert!(armed.contains(&e.watch_id), "fired, but not armed"),
                    _ => {}
                }
            }
            prop_assert_eq!(armed, task.watches.keys().copied().collect());
            prop_assert!(task.watches.fired.iter().all(|id| task.watches.contains_key(id)));
            if task.state.is_terminal() {
                prop_assert!(task.watches.is_empty() && task.children.joins.is_empty(), "after {:?}", step.command);
            }
        }
    }

    #[test]
    fn what_a_task_waits_for_together_is_told_once_and_only_when_it_is_over(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let task = task_of(&step.after);
            for join in &task.children.joins {
                let over = join.task_ids.iter().filter(|id| task.children[*id].ended.is_some()).count();
                let is_met = if join.join == Join::Any { over > 0 } else { over == join.task_ids.len() };
                prop_assert!(!is_met, "nobody was told after {:?}", step.command);
            }
            if task.state == TaskState::Waiting
                && let Some(join) = task.blocker.as_ref().and_then(|blocker| blocker.opened.join.as_ref())
            {
                prop_assert!(task.children.joins.contains(join), "waits for what is over");
            }
        }
    }

    #[test]
    fn every_run_and_attempt_ends_exactly_once(birth in births(), moves in moves()) {
        let mut runs: BTreeMap<RunId, bool> = BTreeMap::new();
        let mut attempts = BTreeMap::new();
        for step in play(&birth, &moves) {
            for event in &step.events {
                match event {
                    Event::RunRequested(e) => prop_assert_eq!(runs.insert(e.run_id, false), None),
                    Event::RunEnded(e) => prop_assert_eq!(runs.insert(e.run_id, true), Some(false)),
                    Event::AttemptLeased(e) => prop_assert_eq!(attempts.insert(e.attempt_id.clone(), false), None),
                    Event::AttemptEnded(e) => {
                        prop_assert_eq!(attempts.insert(e.attempt_id.clone(), true), Some(false));
                    }
                    _ => {}
                }
            }
            let task = task_of(&step.after);
            let live = attempts.values().filter(|ended| !**ended).count();
            prop_assert_eq!(live, usize::from(task.live.is_some()));
            if task.state.is_terminal() {
                prop_assert!(runs.values().all(|ended| *ended), "a run outlives its task");
            }
        }
    }

    #[test]
    fn a_reduced_task_does_what_the_whole_one_does(birth in births(), moves in moves()) {
        // What a run is told is read by whoever executes it, which a reduced task is not for.
        let reduce = |state: State| {
            let mut task = state?;
            task.accepted = Arc::new(task.accepted.reduced());
            // A prompt is kept where it is not the message, which the reduced task does not have.
            task.runs.kept.iter_mut().for_each(|run| run.prompt = None);
            Some(task)
        };
        let mut reduced: State = None;
        for step in play(&birth, &moves) {
            if reduced.is_none() {
                reduced = reduce(step.before.clone());
            }
            reduced = reduce(fold::<TaskDecider>(reduced, &step.events));
            let whole = task_of(&step.after);
            let kept = task_of(&reduced);
            prop_assert_eq!(&reduced, &reduce(step.after.clone()), "after {:?}", step.command);
            prop_assert_eq!(timers(kept), timers(whole));
            prop_assert_eq!(Needs::of(kept), Needs::of(whole));
            prop_assert_eq!(kept.own_budget(), whole.own_budget());
        }
    }

    #[test]
    fn a_task_at_rest_stays_so_until_something_sets_it_in_motion(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            let was_at_rest = step.before.as_ref().is_some_and(|task| task.is_at_rest());
            if was_at_rest && !step.events.iter().any(Event::sets_in_motion) {
                prop_assert!(task_of(&step.after).is_at_rest(), "after {:?}", step.command);
            }
        }
    }

    #[test]
    fn a_timer_acts_when_it_rings_and_is_then_gone(birth in births(), moves in moves()) {
        for step in play(&birth, &moves) {
            for timer in timers(task_of(&step.after)) {
                let newest = task_of(&step.after).newest_attempt();
                let command = timer.command(newest, 1000).at(timer.due);
                let events = decide(&step.after, &command);
                prop_assert!(events.as_ref().is_ok_and(|events| !events.is_empty()), "{timer:?} gave {events:?}");
                let after = fold::<TaskDecider>(step.after.clone(), &events.unwrap_or_default());
                prop_assert!(!timers(task_of(&after)).contains(&timer), "{timer:?} would ring for ever");
            }
        }
    }

    #[test]
    fn any_task_can_be_brought_to_a_good_end(birth in births(), moves in moves()) {
        let Some(last) = play(&birth, &moves).pop() else { return Ok(()) };
        let (mut state, mut now) = (last.after, last.at);
        // Somebody pays.
        let paid = TaskBudgetSet { budget_usd: None, at: now };
        state = fold::<TaskDecider>(state, &[Event::TaskBudgetSet(paid)]);
        for _ in 0..60 {
            let Some(command) = history::helpful(task_of(&state), now) else { break };
            now = command.at;
            let events = decide(&state, &command);
            prop_assert!(events.as_ref().is_ok_and(|e| !e.is_empty()), "{:?} gave {events:?}", command);
            state = fold::<TaskDecider>(state, &events.unwrap_or_default());
        }
        prop_assert!(task_of(&state).state.is_terminal(), "stuck: {:?}", state);
        prop_assert_eq!(&task_of(&state).live, &None);
    }

    #[test]
    fn a_snapshot_and_the_tail_after_it_give_the_same_task(birth in births(), moves in moves(), cut in 0..100_usize) {
        let events: Vec<Event> = play(&birth, &moves).into_iter().flat_map(|step| step.events).collect();
        let full = fold::<TaskDecider>(None, &events);
        let (early, late) = events.split_at(cut.min(events.len()));
        let snapshot = serde_json::to_string(&fold::<TaskDecider>(None, early)).expect("a state is serialisable");
        let read: State = serde_json::from_str(&snapshot).expect("a snapshot reads back");
        prop_assert_eq!(&fold::<TaskDecider>(read, late), &full);
        let value = serde_json::to_value(&full).expect("a state is a value");
        prop_assert_eq!(&serde_json::from_value::<State>(value).expect("a value reads back"), &full);
    }

    #[test]
    fn the_acceptance_as_stored_and_the_progress_give_the_same_task(birth in births(), moves in moves()) {
        let mut stored = None;
        for step in play(&birth, &moves) {
            if let [Event::TaskAccepted(accepted), ..] = &step.events[..] {
                stored = Some(Arc::clone(accepted));
            }
            let task = task_of(&step.after);
            let progress = task.progress_json().expect("a progress is JSON");
            for accepted in [stored.as_ref().expect("accepted"), &task.accepted] {
                let read = Task::of_parts(Arc::clone(accepted), &progress).expect("a progress reads back");
                prop_assert_eq!(&read, task, "of {}", progress);
            }
        }
    }

    #[test]
    fn facts_in_any_order_never_panic_nor_do_decisions_after_them(
        birth in births(),
        first in moves(),
        second in moves(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let steps: Vec<Step> = play(&birth, &first).into_iter().chain(play(&birth, &second)).collect();
        let events: Vec<Event> = steps.iter().flat_map(|step| step.events.clone()).collect();
        let mut state = State::default();
        for index in order {
            state = TaskDecider::evolve(state, index.get(&events));
            if let Some(task) = &state {
                let _ = (task.owner(), timers(task), task.undelivered_prompt());
            }
            let _ = decide(&state, &index.get(&steps).command);
        }
    }
}

proptest! {
    // Histories of long texts take long.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_task_holds_a_bounded_number_of_bytes_however_long_its_texts_are(
        birth in births(),
        first in moves(),
        second in moves(),
        text_bytes in 1000..100_000_usize,
    ) {
        let moves: Vec<_> = first.into_iter().chain(second).collect();
        for step in play(&Birth { text_bytes, ..birth }, &moves) {
            let task = task_of(&step.after);
            let bytes = task.progress_json().expect("a progress is JSON").len();
            prop_assert_eq!(bytes, task.progress_bytes());
            prop_assert!(bytes <= PROGRESS_BYTES_MAX + REPORTED_BYTES_MAX, "{bytes} after {:?}", step.command.command.name());
            if task.is_at_rest() {
                let carried = task.carried();
                let text = serde_json::to_string(&carried).expect("a task is JSON");
                prop_assert!(text.len() <= CARRIED_BYTES_MAX, "{} bytes are carried forward", text.len());
                prop_assert_eq!(&serde_json::from_str::<Task>(&text).expect("it reads back"), &carried);
                prop_assert_eq!(&carried.accepted, &task.accepted);
                prop_assert_eq!(&carried.carried(), &carried);
            }
            // A payload that was changed is a part of the progress, whatever became of the task.
            let is_over = task.state == TaskState::Done && task.is_at_rest() && task.changes.payload.is_none();
            let left = 8000 + 28 * task.outputs.len() + 200 * task.children.len() + open_outputs(task);
            prop_assert!(!is_over || bytes <= left, "{bytes} of {left} after the end: {}", task.progress_json().unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// So the decider accepts by the bound only what it would accept after measuring.
    #[test]
    fn a_task_is_never_larger_than_the_bound_of_its_size(
        birth in births(),
        first in moves(),
        second in moves(),
        text_bytes in prop_oneof![Just(0_usize), 100..40_000_usize],
    ) {
        let moves: Vec<_> = first.into_iter().chain(second).collect();
        let mut known: State = None;
        for step in play(&Birth { text_bytes, ..birth }, &moves) {
            known = if known.is_none() { step.after.clone() } else { fold::<TaskDecider>(known, &step.events) };
            prop_assert_eq!(&known, &step.after);
            let task = task_of(&known);
            let bound = task.size_bound();
            let why = format!("after {:?}", step.events);
            let accepted = serde_json::to_string(&*task.accepted).expect("an acceptance is JSON").len();
            prop_assert!(bound.accepted >= accepted, "{} of {accepted} {}", bound.accepted, why);
            prop_assert!(bound.progress >= task.progress_bytes(), "{} of {} {}", bound.progress, task.progress_bytes(), why);
            let carried = task.carried_bound(&bound, 0);
            prop_assert!(carried >= task.carried_bytes(), "{carried} of {} {}", task.carried_bytes(), why);
        }
    }
}

/// Bytes of the outputs whose texts are kept: the newest, and those that wait for a decision.
fn open_outputs(task: &Task) -> usize {
    task.outputs.named().count() * 700
}

/// Histories of a generator that is always the same.
fn histories(count: usize) -> impl Iterator<Item = Vec<Step>> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let case = move |_| (births(), moves()).new_tree(&mut runner).expect("a case").current();
    (0..count).map(case).map(|(birth, moves)| play(&birth, &moves))
}

#[test]
fn the_generator_walks_every_edge_of_the_table() {
    let mut seen =
        edges(&play(&Birth { max_attempts: 1, ..Birth::default() }, &history::losing_every_attempt()));
    histories(600).for_each(|steps| seen.extend(edges(&steps)));
    let table: BTreeSet<_> = TRANSITIONS.iter().map(|edge| (edge.from, edge.to)).collect();
    let missed: Vec<_> = table.difference(&seen).collect();
    assert!(missed.is_empty(), "never walked: {missed:?}");
}

#[test]
fn every_command_takes_part_in_the_laws() {
    let mut missed: BTreeSet<_> = Command::NAMES.iter().copied().collect();
    let mut left = histories(5000);
    while let Some(steps) = left.next().filter(|_| !missed.is_empty()) {
        for step in steps.iter().filter(|step| !step.events.is_empty()) {
            missed.remove(step.command.command.name());
        }
    }
    assert!(missed.is_empty(), "never acted: {missed:?}");
}
