use capstan_decider::spec::Given;

use crate::task::TaskDecider;
use crate::task::fixture::{done, finish_ok, lease, queued, say, start, started, task_of};

fn progress(history: &Given<TaskDecider>) -> String {
    task_of(history).progress_json().unwrap()
}

#[test]
fn the_progress_of_a_task_with_one_run_is_small_and_repeats_nothing_the_acceptance_says() {
    for (history, bytes_max) in [(queued(), 140), (started(), 340), (done(), 140)] {
        let task = task_of(&history);
        let progress = progress(&history);
        assert!(progress.len() <= bytes_max, "{} bytes: {progress}", progress.len());
        let (id, message) = (task.id().to_string(), &task.accepted.message);
        assert!(!progress.contains(&id) && !progress.contains(message), "{progress}");
    }
}

#[test]
fn a_long_life_takes_no_more_than_a_short_one() {
    let turn = |history: Given<TaskDecider>, number: u32| {
        let said = history.and(say(number.into(), "what now?"));
        let epoch = u64::from(number) + 1;
        said.and(lease(number + 1, 30)).and_events([start(epoch)]).and(finish_ok(epoch))
    };
    let late = (1..=40).fold(done(), turn);
    let task = task_of(&late);
    assert_eq!((task.runs.count(), task.inbox.accepted), (41, 40));
    // The ids of later runs are written out: of the newest, and of the one before it.
    assert!(progress(&late).len() <= 300, "{}", progress(&late));
}
