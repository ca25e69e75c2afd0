//! Matching against a naive reference that scans everything and shares no code with it but the types.
//! `PROPTEST_CASES` sets the number of cases (256 when absent).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use capstan_domain::id::{AttemptId, RunId, TaskId, WorkerId};
use capstan_domain::matching::{
    Capabilities, Config, DEFAULT_AGE_STEP_MS, Matching, Pick, Reach, StreamKey, WaitingReason, WorkerOffer,
};
use capstan_domain::task::event::{Priority, RunCause, RunStatus};
use capstan_domain::task::state::{Live, Run, Runs};
use capstan_domain::task::{Task, TaskState};
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use uuid::Uuid;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(seconds)
}

fn task_id(number: usize) -> TaskId {
    TaskId(Uuid::from_u128(number as u128 + 1))
}

/// A task that waits since `seconds`, of a session and a class.
fn queued(number: usize, workspace: &str, session: &str, class: &str, seconds: i64) -> Task {
    let task: Task = serde_json::from_value(serde_json::json!({
        "accepted": {
            "task_id": task_id(number), "workspace": workspace, "agent_id": Uuid::nil(), "agent_key": "demo",
            "agent_name": "Demo", "agent_config": {}, "message": "do it", "session_id": session,
            "instance_key": class, "policy": {}, "timeout_ms": 0, "priority": "normal", "accepted_at": at(0),
        },
        "state": "done", "priority": "normal", "archived_at": null, "queued_at": null, "available_at": null,
        "sleep": null, "wake_count": 0, "runs": [], "epoch": 0, "live": null, "inbox": [], "blocker": null,
        "blocker_revision": 0, "answered": null, "outputs": {}, "tool_calls": {},
        "children": { "by_id": {}, "joins": [] }, "watches": { "armed": {}, "fired": [], "batches": [] },
        "cost_usd": 0.0, "warned": {}, "report": { "result": null, "error": null, "is_sent": false },
    }))
    .expect("a task");
    enqueued(task, at(seconds), None)
}

fn enqueued(mut task: Task, since: DateTime<Utc>, available_at: Option<DateTime<Utc>>) -> Task {
    task.state = TaskState::Queued;
    task.queued_at = Some(since);
    task.available_at = available_at;
    task.runs = Runs(vec![Run {
        run_id: RunId::for_task(task.id(), 1),
        cause: RunCause::Accepted,
        status: RunStatus::Accepted,
        delivered: false,
        prompt: String::new(),
        resumed_from: None,
        attempts: 0,
        failed: 0,
        lost: 0,
    }]);
    task
}

fn leased(mut task: Task) -> Task {
    task.epoch += 1;
    task.state = TaskState::Running;
    task.live = Some(Live {
        attempt_id: AttemptId {
            workspace: task.accepted.workspace.clone(),
            task: task.id(),
            epoch: task.epoch,
        },
        run_id: RunId::for_task(task.id(), 1),
        attempt_no: 1,
        worker_id: WorkerId(Uuid::nil()),
        lease_ms: 30_000,
        leased_at: at(0),
        started_at: None,
        cancel_grace_until: None,
    });
    task
}

fn stopping(task: Task) -> Task {
    let mut task = leased(task);
    task.state = TaskState::Cancelled;
    if let Some(live) = &mut task.live {
        live.cancel_grace_until = Some(at(99));
    }
    task.runs.0[0].status = RunStatus::Cancelled;
    task
}

fn over(mut task: Task) -> Task {
    task.state = TaskState::Done;
    task.live = None;
    task.runs.0[0].status = RunStatus::Ok;
    task
}

fn offer(number: u128, runtimes: &[&str], access: &[&str], network_isolation: bool) -> WorkerOffer {
    let own = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    WorkerOffer {
        worker_id: WorkerId(Uuid::from_u128(number)),
        pools: Vec::new(),
        capabilities: Capabilities {
            runtimes: own(runtimes),
            network_isolation,
            workspace_access: own(access),
            tools: Vec::new(),
        },
        reach: Reach::All,
    }
}

fn any_worker() -> WorkerOffer {
    offer(1, &["gvisor", "runc"], &["none", "ro", "rw"], true)
}

fn key(task: &Task) -> StreamKey {
    StreamKey::new(&task.accepted.workspace, task.id())
}

fn filled<'a>(tasks: impl IntoIterator<Item = &'a Task>, class_limit: u32) -> Matching {
    let mut matching = Matching::new(Config { class_limit, ..Config::default() });
    for task in tasks {
        matching.observe(&key(task), Some(task));
    }
    matching
}

fn ids(picks: &[Pick]) -> Vec<TaskId> {
    picks.iter().map(|pick| pick.task_id).collect()
}

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
        matching.observe(&key(&first), Some(&busy));
        assert_eq!(matching.pick(&any_worker(), 9, at(4)), []);
        let why = matching.why(&key(&second), at(4));
        assert_eq!(why[0], WaitingReason::SessionBusy { task_id: task_id(0) });
    }
    matching.observe(&key(&first), Some(&over(first.clone())));
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
    matching.observe(&key(&tasks[0]), None);
    assert_eq!(matching.pick(&any_worker(), 9, at(9)), []);
    matching.set_class_limit("dev", "c", None);
    assert_eq!(matching.pick(&any_worker(), 9, at(9)), [], "two live, one may");
    // Another lane of the same agent is another class.
    let beside = queued(9, "dev", "9", "d", 9);
    matching.observe(&key(&beside), Some(&beside));
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
    Arc::make_mut(&mut task.accepted).agent_config.insert("pool".into(), "gpu".into());
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
    matching.observe(&key(&first), Some(&first));
    assert_eq!(matching.pick(&any_worker(), 9, at(2)), []);
    matching.unreserve(&key(&first));
    assert_eq!(ids(&matching.pick(&any_worker(), 9, at(2))), [task_id(0)]);
    // Leased and lost again, both seen at once: a new epoch ends the reservation.
    let mut lost = enqueued(leased(first.clone()), at(3), Some(at(3)));
    lost.live = None;
    matching.observe(&key(&first), Some(&lost));
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
        matching.observe(&key(&task), Some(&task));
    }
    let began = std::time::Instant::now();
    let picked = (0..20_002).map_while(|_| matching.pick(&any_worker(), 1, at(1)).pop()).count();
    assert_eq!(picked, 20_001, "the free ones and one of the crowded class");
    // A scan for each pick would look at a thousand million entries.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "picking took {:?}", began.elapsed());
}

/// What everything above says, by looking at everything every time.
#[derive(Default)]
struct Naive {
    tasks: BTreeMap<TaskId, Task>,
    reserved: BTreeMap<TaskId, u64>,
    limits: BTreeMap<String, u32>,
    last_turn: BTreeMap<String, u64>,
    turn: u64,
}

impl Naive {
    fn observe(&mut self, id: TaskId, task: Option<&Task>) {
        match task {
            Some(task) => self.tasks.insert(id, task.clone()),
            None => self.tasks.remove(&id),
        };
        if task
            .is_none_or(|task| task.state != TaskState::Queued || self.reserved.get(&id) != Some(&task.epoch))
        {
            self.reserved.remove(&id);
        }
    }

    fn holds(&self, task: &Task) -> bool {
        task.live.is_some() || self.reserved.contains_key(&task.id())
    }

    fn holding(&self, of: impl Fn(&Task) -> bool) -> u32 {
        self.tasks.values().filter(|task| self.holds(task) && of(task)).count() as u32
    }

    fn rank(task: &Task) -> (DateTime<Utc>, DateTime<Utc>, TaskId) {
        let steps = Priority::Urgent as i64 - task.priority as i64;
        let since = task.queued_at.expect("a queued task has a time");
        (since + Duration::milliseconds(DEFAULT_AGE_STEP_MS) * steps as i32, since, task.id())
    }

    fn waits(&self, task: &Task, now: DateTime<Utc>) -> bool {
        task.state == TaskState::Queued
            && !self.reserved.contains_key(&task.id())
            && task.available_at.is_none_or(|due| due <= now)
    }

    fn same_session(a: &Task, b: &Task) -> bool {
        a.accepted.workspace == b.accepted.workspace && a.accepted.session_id == b.accepted.session_id
    }

    fn class_running(&self, of: &Task) -> u32 {
        self.holding(|task| {
            task.accepted.workspace == of.accepted.workspace
                && task.accepted.instance_key == of.accepted.instance_key
        })
    }

    fn eligible(&self, task: &Task, offer: &WorkerOffer, now: DateTime<Utc>) -> bool {
        let policy = &task.accepted.policy;
        let can = &offer.capabilities;
        let first = self
            .tasks
            .values()
            .filter(|other| Self::same_session(task, other) && self.waits(other, now))
            .map(Self::rank)
            .min();
        self.waits(task, now)
            && self.holding(|other| Self::same_session(task, other)) == 0
            && first == Some(Self::rank(task))
            && self.class_running(task) < self.limit(task)
            && can.runtimes.contains(&policy.runtime_type)
            && can.workspace_access.contains(&policy.workspace_access)
            && (policy.network_enabled || can.network_isolation)
    }

    fn limit(&self, task: &Task) -> u32 {
        let name = format!("{}/{}", task.accepted.workspace, task.accepted.instance_key);
        self.limits.get(&name).copied().unwrap_or(1)
    }

    fn pick(&mut self, offer: &WorkerOffer, max: usize, now: DateTime<Utc>) -> Vec<TaskId> {
        let mut picks = Vec::new();
        while picks.len() < max {
            let turn_of = |task: &Task| {
                let workspace = &task.accepted.workspace;
                let running = self.holding(|other| other.accepted.workspace == *workspace);
                (running, self.last_turn.get(workspace).copied().unwrap_or(0), workspace.clone())
            };
            let eligible = self.tasks.values().filter(|task| self.eligible(task, offer, now));
            let Some(next) = eligible.min_by_key(|task| (turn_of(task), Self::rank(task))).cloned() else {
                break;
            };
            self.turn += 1;
            self.last_turn.insert(next.accepted.workspace.clone(), self.turn);
            self.reserved.insert(next.id(), next.epoch);
            picks.push(next.id());
        }
        picks
    }
}

#[derive(Clone, Debug)]
enum Move {
    Enqueue { since: i64, delay: Option<i64> },
    Prioritise(u8),
    Lease,
    Stop,
    Reopen,
    End,
    Touch,
    Forget,
    Unreserve,
    Pick { who: u8, max: usize },
    Limit(Option<u32>),
    Advance(i64),
}

fn moves() -> impl Strategy<Value = Vec<(usize, Move)>> {
    let one = prop_oneof![
        8 => (0..1200_i64, prop::option::weighted(0.3, 0..20_i64))
            .prop_map(|(since, delay)| Move::Enqueue { since, delay }),
        1 => (0..4_u8).prop_map(Move::Prioritise),
        4 => Just(Move::Lease),
        1 => Just(Move::Stop),
        1 => Just(Move::Reopen),
        3 => Just(Move::End),
        1 => Just(Move::Touch),
        1 => Just(Move::Forget),
        1 => Just(Move::Unreserve),
        8 => (0..3_u8, 1..4_usize).prop_map(|(who, max)| Move::Pick { who, max }),
        1 => prop::option::of(0..4_u32).prop_map(Move::Limit),
        2 => (0..15_i64).prop_map(Move::Advance),
    ];
    prop::collection::vec((0..16_usize, one), 0..120)
}

/// Frozen properties of a task: workspace, session, class, policy.
fn places() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    prop::collection::vec((0..3_u8, 0..6_u8, 0..4_u8), 16)
}

fn born((workspace, session, class): (u8, u8, u8), number: usize) -> Task {
    let mut task = queued(number, &format!("w{workspace}"), &session.to_string(), &class.to_string(), 0);
    // A class stands for its policy, as the derived key does; class 3 has two, to be sure.
    Arc::make_mut(&mut task.accepted).policy.network_enabled = class != 1;
    if class == 2 || (class == 3 && number.is_multiple_of(2)) {
        Arc::make_mut(&mut task.accepted).policy.runtime_type = "runc".into();
    }
    over(task)
}

proptest! {
    #[test]
    fn matching_does_what_the_naive_reference_does(places in places(), moves in moves()) {
        let workers = [any_worker(), offer(2, &["gvisor"], &["rw"], false), offer(3, &["runc"], &["rw"], true)];
        let mut matching = Matching::new(Config::default());
        let mut naive = Naive::default();
        let mut tasks: Vec<Task> = places.iter().enumerate().map(|(n, place)| born(*place, n)).collect();
        let mut seconds = 2000;
        for (number, one) in moves {
            let now = at(seconds);
            let before = tasks[number].clone();
            let id = before.id();
            let name = key(&before);
            let after = match one {
                Move::Enqueue { since, delay } if before.live.is_none() => {
                    Some(enqueued(before, at(seconds - since), delay.map(|delay| at(seconds + delay))))
                }
                Move::Prioritise(level) => {
                    let priority = [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent][level as usize];
                    Some(Task { priority, ..before })
                }
                Move::Lease if before.live.is_none() && before.state == TaskState::Queued => Some(leased(before)),
                Move::Stop if before.live.is_none() => Some(stopping(before)),
                Move::Reopen if before.live.is_some() => Some(enqueued(before, now, None)),
                Move::End => Some(over(before)),
                Move::Touch => Some(before),
                Move::Forget => {
                    matching.observe(&name, None);
                    naive.observe(id, None);
                    tasks[number] = over(before);
                    None
                }
                Move::Unreserve => {
                    matching.unreserve(&name);
                    naive.reserved.remove(&id);
                    None
                }
                Move::Pick { who, max } => {
                    let worker = &workers[who as usize];
                    prop_assert_eq!(ids(&matching.pick(worker, max, now)), naive.pick(worker, max, now));
                    None
                }
                Move::Limit(limit) => {
                    let (workspace, class) = (&before.accepted.workspace, &before.accepted.instance_key);
                    matching.set_class_limit(workspace, class, limit);
                    let class = format!("{workspace}/{class}");
                    match limit {
                        Some(limit) => naive.limits.insert(class, limit),
                        None => naive.limits.remove(&class),
                    };
                    None
                }
                Move::Advance(by) => {
                    seconds += by;
                    None
                }
                Move::Enqueue { .. } | Move::Lease | Move::Stop | Move::Reopen => None,
            };
            if let Some(task) = after {
                matching.observe(&name, Some(&task));
                naive.observe(id, Some(&task));
                tasks[number] = task;
            }
            check(&mut matching, &naive, &tasks, at(seconds))?;
        }
        // Everything that may go goes, in the same order.
        let all = matching.pick(&workers[0], 99, at(seconds));
        prop_assert_eq!(ids(&all), naive.pick(&workers[0], 99, at(seconds)));
        let distinct: BTreeSet<_> = ids(&all).into_iter().collect();
        prop_assert_eq!(distinct.len(), all.len());
    }
}

fn check(
    matching: &mut Matching,
    naive: &Naive,
    tasks: &[Task],
    now: DateTime<Utc>,
) -> Result<(), TestCaseError> {
    let depth = matching.depth();
    prop_assert_eq!(depth.running, naive.holding(|_| true) as usize);
    let known = || naive.tasks.values().filter(|task| task.state == TaskState::Queued);
    prop_assert_eq!(depth.queued, known().count());
    let delayed = known().filter(|task| !naive.reserved.contains_key(&task.id()));
    let due = delayed.filter_map(|task| task.available_at).filter(|due| *due > now).min();
    prop_assert_eq!(matching.next_due(now), due);
    matching.enrol(any_worker());
    for task in tasks {
        let reasons = matching.why(&key(task), now);
        let Some(task) = naive.tasks.get(&task.id()).filter(|task| task.state == TaskState::Queued) else {
            prop_assert_eq!(reasons, []);
            continue;
        };
        if naive.reserved.contains_key(&task.id()) {
            prop_assert_eq!(reasons, [WaitingReason::BeingLeased]);
            continue;
        }
        let says = |of: fn(&WaitingReason) -> bool| reasons.iter().any(of);
        let is_late = task.available_at.is_some_and(|due| due > now);
        prop_assert_eq!(says(|reason| matches!(reason, WaitingReason::RetryDelay { .. })), is_late);
        let is_busy = naive.holding(|other| Naive::same_session(task, other)) > 0;
        prop_assert_eq!(says(|reason| matches!(reason, WaitingReason::SessionBusy { .. })), is_busy);
        let is_full = naive.class_running(task) >= naive.limit(task);
        prop_assert_eq!(says(|reason| matches!(reason, WaitingReason::ClassFull { .. })), is_full);
        let is_next = says(|reason| matches!(reason, WaitingReason::WaitingForSlot));
        prop_assert!(!is_next || naive.eligible(task, &any_worker(), now), "{:?} for {:?}", reasons, task);
        prop_assert!(!reasons.is_empty());
    }
    Ok(())
}

fn after(mut task: Task, before: usize) -> Task {
    std::sync::Arc::make_mut(&mut task.accepted).runs_after = Some(task_id(before));
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
            matching.observe(&key(0), Some(&waiting()));
        }
        matching.observe(&key(1), Some(&second));
        matching.observe(&key(0), Some(&waiting()));
        assert!(matching.pick(&worker, 9, at(5)).is_empty(), "nobody lives, but the first is not over");
        let reason = WaitingReason::SessionBusy { task_id: task_id(0) };
        assert_eq!(matching.why(&key(1), at(5)), [reason]);
        matching.observe(&key(0), Some(&over(first())));
        let picked = matching.pick(&worker, 9, at(6));
        assert_eq!(picked.iter().map(|pick| pick.task_id).collect::<Vec<_>>(), [task_id(1)]);
    }
}

#[test]
fn a_task_waits_again_when_the_one_it_runs_after_is_opened_again() {
    let key = |number| StreamKey::new("w", task_id(number));
    let worker = offer(1, &["gvisor"], &["rw"], true);
    let mut matching = Matching::new(Config::default());
    matching.observe(&key(1), Some(&after(queued(1, "w", "s", "b", 1), 0)));
    matching.observe(&key(0), Some(&queued(0, "w", "s", "a", 9)));
    let picked = matching.pick(&worker, 9, at(10));
    assert_eq!(picked.iter().map(|pick| pick.task_id).collect::<Vec<_>>(), [task_id(0)]);
    matching.observe(&key(1), None);
    matching.observe(&key(0), None);
    assert_eq!(matching.depth().queued, 0);
}
