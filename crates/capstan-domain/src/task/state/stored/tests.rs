use crate::task::fixture::{done, queued, started, task_of};

#[test]
fn the_progress_of_a_task_with_one_run_is_small_and_repeats_nothing_the_acceptance_says() {
    for (history, bytes_max) in [(queued(), 120), (started(), 320), (done(), 130)] {
        let task = task_of(&history);
        let progress = task.progress_json().unwrap();
        assert!(progress.len() <= bytes_max, "{} bytes: {progress}", progress.len());
        let (id, message) = (task.id().to_string(), &task.accepted.message);
        assert!(!progress.contains(&id) && !progress.contains(message), "{progress}");
    }
}
