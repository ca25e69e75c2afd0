//! The rules of matching by example, and against a naive reference under generated moves.

#[path = "matching/generated.rs"]
mod generated;
#[path = "matching/naive.rs"]
mod naive;
#[path = "matching/tasks.rs"]
mod tasks;

use std::sync::Arc;

use capstan_domain::matching::{
    Config, DEFAULT_AGE_STEP_MS, Matching, Reach, StreamKey, WaitingReason, WorkerOffer,
};
use capstan_domain::task::event::Priority;
use capstan_domain::task::{Task, TaskState};
use tasks::{any_worker, at, enqueued, filled, ids, key, leased, offer, over, queued, stopping, task_id};

#[test]
fn priority_comes_before_age_and_age_before_nothing() {
    let mut tasks: Vec<_> = (0..4).map(|n| queued(n, "dev", &n.to_string(), "c", 10 - n as i64)).collect();
    tasks[0].priority = Priority::Urgent;
    tasks[1].priority = Priority::Low;
    let picks = filled(&tasks, 9).pick(&any_worker(), 9, at(20));
    assert_eq!(ids(&picks), [0, 3, 2, 1].map(task_id));
}

#[test]
fn a_low_task_overtakes_urgent_ones_that_come_three_steps_later() {
    let step = DEFAULT_AGE_STEP_MS / 1000;
    let mut tasks = vec![queued(0, "dev", "0", "c", 0)];
    tasks.extend(
        (1..3).map(|n| queued(n, "dev", &n.to_string(), "c", 3 * step + if n == 1 { -1 } else { 1 })),
    );
    tasks[0].priority = Priority::Low;
    tasks[1].priority = Priority::Urgent;
    tasks[2].priority = Priority::Urgent;
    let picks = filled(&tasks, 9).pick(&any_worker(), 9, at(4 * step));
    assert_eq!(ids(&picks), [1, 0, 2].map(task_id));
}

#[test]
fn workspaces_take_turns_however_deep_their_backlogs_are() {
    let mut tasks: Vec<_> = (0..6).map(|n| queued(n, "big", &n.to_string(), "c", 0)).collect();
    tasks.extend((6..8).map(|n| queued(n, "small", &n.to_string(), "d", 100)));
    let picks = filled(&tasks, 9).pick(&any_worker(), 5, at(200));
    let workspaces: Vec<_> = picks.iter().map(|pick| pick.workspace.to_string()).collect();
    assert_eq!(workspaces, ["big", "small", "big", "small", "big"]);
}

#[test]
fn a_session_has_one_attempt_at_a_time_a_stopping_one_included() {
    let (first, second) = (queued(0, "dev", "s", "c", 0), queued(1, "dev", "s", "c", 1));
    let mut matching = filled([&first, &second], 9);
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(2))), [task_id(0)]);
    for busy in
        [leased(first.clone()), stopping(first.clone()), enqueued(stopping(first.clone()), at(3), None)]
    {
        matching.observe(&key(&first), Some(&busy), |_| false);
        assert_eq!(matching.pick(&any_worker(), 9, at(4)), []);
        let why = matching.why(&key(&second), at(4));
        assert_eq!(why[0], WaitingReason::SessionBusy { task_id: task_id(0) });
    }
    matching.observe(&key(&first), Some(&over(first.clone())), |_| false);
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(5))), [task_id(1)]);
}

#[test]
fn a_class_runs_as_many_attempts_as_its_limit_allows() {
    let tasks: Vec<_> = (0..4).map(|n| queued(n, "dev", &n.to_string(), "c", n as i64)).collect();
    let mut matching = filled(&tasks, 1);
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(9))), [task_id(0)]);
    let full = WaitingReason::ClassFull { running: 1, limit: 1 };
    assert!(matching.why(&key(&tasks[1]), at(9)).contains(&full));
    matching.set_class_limit("dev", "c", Some(3));
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(9))), [1, 2].map(task_id));
    matching.set_class_limit("dev", "c", Some(0));
    matching.observe(&key(&tasks[0]), None, |_| false);
    assert_eq!(matching.pick(&any_worker(), 9, at(9)), []);
    matching.set_class_limit("dev", "c", None);
    assert_eq!(matching.pick(&any_worker(), 9, at(9)), [], "two live, one may");
    // Another lane of the same agent is another class.
    let beside = queued(9, "dev", "9", "d", 9);
    matching.observe(&key(&beside), Some(&beside), |_| false);
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(9))), [task_id(9)]);
}

#[test]
fn a_delayed_retry_waits_for_its_instant() {
    let task = queued(0, "dev", "s", "c", 0);
    let delayed = enqueued(task, at(10), Some(at(10)));
    let mut matching = filled([&delayed], 1);
    assert_eq!(matching.next_due(at(0)), Some(at(10)));
    assert_eq!(matching.pick(&any_worker(), 1, at(9)), []);
    assert!(matching.why(&key(&delayed), at(9)).contains(&WaitingReason::RetryDelay { until: at(10) }));
    assert_eq!(matching.next_due(at(10)), None);
    assert_eq!(ids(&matching.pick(&any_worker(), 1, at(10))), [task_id(0)]);
}

#[test]
fn a_run_goes_only_to_a_worker_that_meets_its_policy() {
    let mut task = queued(0, "dev", "s", "c", 0);
    Arc::make_mut(&mut task.accepted).policy.network_enabled = false;
    Arc::make_mut(&mut task.accepted).pool = Some("gpu".into());
    let mut matching = filled([&task], 1);
    let pooled = |offer: WorkerOffer, pool: &str| WorkerOffer { pools: vec![pool.into()], ..offer };
    for unfit in [
        pooled(any_worker(), "cpu"),
        pooled(offer(2, &["runc"], &["rw"], true), "gpu"),
        pooled(offer(2, &["gvisor"], &["ro"], true), "gpu"),
        pooled(offer(2, &["gvisor"], &["rw"], false), "gpu"),
    ] {
        assert_eq!(matching.pick(&unfit, 1, at(1)), []);
        matching.enrol(unfit);
        assert_eq!(matching.why(&key(&task), at(1)), [WaitingReason::NoCapableWorker]);
    }
    let fit = pooled(offer(3, &["gvisor"], &["rw"], true), "gpu");
    matching.enrol(fit.clone());
    assert_eq!(matching.why(&key(&task), at(1)), [WaitingReason::WaitingForSlot]);
    assert_eq!(ids(&matching.pick(&fit, 1, at(1))), [task_id(0)]);
    assert_eq!(matching.why(&key(&task), at(1)), [WaitingReason::BeingLeased]);
}

#[test]
fn a_worker_gets_runs_of_the_workspaces_it_may_serve_only() {
    let tasks = [queued(0, "a", "s", "c", 0), queued(1, "b", "s", "c", 1), queued(2, "b", "t", "d", 2)];
    let mut matching = filled(&tasks, 9);
    let of = |number, workspaces: &[&str]| {
        let reach = Reach::Only(workspaces.iter().map(|&name| name.to_owned()).collect());
        WorkerOffer { reach, ..offer(number, &["gvisor", "runc"], &["none", "ro", "rw"], true) }
    };
    let (of_b, of_none) = (of(2, &["b", "empty"]), of(3, &[]));
    assert_eq!(matching.pick(&of_none, 9, at(3)), []);
    matching.enrol(of_b.clone());
    assert_eq!(matching.why(&key(&tasks[0]), at(3)), [WaitingReason::NoWorker], "nobody serves a");
    assert_eq!(matching.why(&key(&tasks[1]), at(3)), [WaitingReason::WaitingForSlot]);
    assert_eq!(ids(&matching.pick(&of_b, 9, at(3))), [task_id(1), task_id(2)]);
    assert_eq!(ids(&matching.pick(&of(4, &["a", "b"]), 9, at(3))), [task_id(0)]);
}

#[test]
fn a_reservation_survives_an_input_and_ends_with_the_lease_or_its_failure() {
    let (first, second) = (queued(0, "dev", "s", "c", 0), queued(1, "dev", "s", "c", 1));
    let mut matching = filled([&first, &second], 9);
    assert_eq!(matching.pick(&any_worker(), 9, at(2)).len(), 1);
    // An input was accepted before the lease: the run is still queued, and still promised.
    matching.observe(&key(&first), Some(&first), |_| false);
    assert_eq!(matching.pick(&any_worker(), 9, at(2)), []);
    matching.unreserve(&key(&first));
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(2))), [task_id(0)]);
    // Leased and lost again, both seen at once: a new epoch ends the reservation.
    let mut lost = enqueued(leased(first.clone()), at(3), Some(at(3)));
    lost.live = None;
    matching.observe(&key(&first), Some(&lost), |_| false);
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(3))), [task_id(1)]);
}

#[test]
fn every_waiting_task_knows_who_goes_first() {
    let tasks: Vec<_> = (0..3).map(|n| queued(n, "dev", &(n / 2).to_string(), "c", n as i64)).collect();
    let mut matching = filled(&tasks, 9);
    matching.enrol(any_worker());
    assert_eq!(matching.why(&key(&tasks[0]), at(5)), [WaitingReason::WaitingForSlot]);
    for behind in [1, 2] {
        let expected = [WaitingReason::BehindOthers { task_id: task_id(0) }];
        assert_eq!(matching.why(&key(&tasks[behind]), at(5)), expected);
    }
    matching.dismiss(any_worker().worker_id);
    assert_eq!(matching.why(&key(&tasks[0]), at(5)), [WaitingReason::NoWorker]);
    assert_eq!(matching.why(&StreamKey::new("dev", task_id(9)), at(5)), []);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test itself is timed, not a rule")]
fn picking_does_not_scan_the_queue() {
    // One session holds 20 000 tasks, one class 20 000 more, and 20 000 can go.
    let template = queued(0, "dev", "s", "c", 0);
    let mut matching = Matching::new(Config::default());
    for number in 0..60_000_usize {
        let mut task = template.clone();
        Arc::make_mut(&mut task.accepted).task_id = task_id(number);
        if number % 3 != 0 {
            Arc::make_mut(&mut task.accepted).session_id = number.to_string();
        }
        if number % 3 == 2 {
            Arc::make_mut(&mut task.accepted).instance_key = number.to_string();
        }
        matching.observe(&key(&task), Some(&task), |_| false);
    }
    let began = std::time::Instant::now();
    let picked = (0..20_002).map_while(|_| matching.pick(&any_worker(), 1, at(1)).pop()).count();
    assert_eq!(picked, 20_001, "the free ones and one of the crowded class");
    // A scan for each pick would look at a thousand million entries.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "picking took {:?}", began.elapsed());
}

fn after(mut task: Task, before: usize) -> Task {
    Arc::make_mut(&mut task.accepted).runs_after = Some(task_id(before));
    task
}

#[test]
fn a_task_waits_while_the_one_it_runs_after_is_open() {
    let key = |number| StreamKey::new("w", task_id(number));
    let worker = offer(1, &["gvisor"], &["rw"], true);
    let first = || queued(0, "w", "s", "a", 0);
    let second = after(queued(1, "w", "s", "b", 1), 0);
    let waiting = || {
        let mut task = leased(first());
        (task.state, task.live) = (TaskState::Waiting, None);
        task
    };
    // In whatever order the two are seen, as when an engine begins.
    for is_first_seen_first in [true, false] {
        let mut matching = Matching::new(Config { class_limit: 1, age_step_ms: DEFAULT_AGE_STEP_MS });
        matching.enrol(worker.clone());
        if is_first_seen_first {
            matching.observe(&key(0), Some(&waiting()), |_| false);
        }
        matching.observe(&key(1), Some(&second), |before| is_first_seen_first && *before == key(0));
        matching.observe(&key(0), Some(&waiting()), |_| false);
        assert!(matching.pick(&worker, 9, at(5)).is_empty(), "nobody lives, but the first is not over");
        let reason = WaitingReason::SessionBusy { task_id: task_id(0) };
        assert_eq!(matching.why(&key(1), at(5)), [reason]);
        matching.observe(&key(0), Some(&over(first())), |_| false);
        let picked = matching.pick(&worker, 9, at(6));
        assert_eq!(picked.iter().map(|pick| pick.task_id).collect::<Vec<_>>(), [task_id(1)]);
    }
}

#[test]
fn a_task_waits_again_when_the_one_it_runs_after_is_opened_again() {
    let key = |number| StreamKey::new("w", task_id(number));
    let worker = offer(1, &["gvisor"], &["rw"], true);
    let mut matching = Matching::new(Config::default());
    matching.observe(&key(1), Some(&after(queued(1, "w", "s", "b", 1), 0)), |_| false);
    matching.observe(&key(0), Some(&queued(0, "w", "s", "a", 9)), |_| false);
    let picked = matching.pick(&worker, 9, at(10));
    assert_eq!(picked.iter().map(|pick| pick.task_id).collect::<Vec<_>>(), [task_id(0)]);
    matching.observe(&key(1), None, |_| false);
    matching.observe(&key(0), None, |_| false);
    assert_eq!(matching.depth().queued, 0);
}
