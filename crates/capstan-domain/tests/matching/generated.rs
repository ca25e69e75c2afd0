//! Generated moves, after each of which matching answers as the naive reference does.
//! `PROPTEST_CASES` sets the number of cases (256 when absent).

use std::collections::BTreeSet;
use std::sync::Arc;

use capstan_domain::matching::{Config, Matching, WaitingReason};
use capstan_domain::task::event::Priority;
use capstan_domain::task::{Task, TaskState};
use chrono::{DateTime, Utc};
use proptest::prelude::*;

use crate::naive::Naive;
use crate::tasks::{any_worker, at, enqueued, ids, key, leased, offer, over, queued, stopping, task_id};

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
    // Some have a session of their own, and some join that of the first of them.
    let session = match session {
        4 => task_id(number).to_string(),
        5 => task_id(0).to_string(),
        _ => session.to_string(),
    };
    let mut task = queued(number, &format!("w{workspace}"), &session, &class.to_string(), 0);
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
                    let mut after = before;
                    after.priority = priority;
                    Some(after)
                }
                Move::Lease if before.live.is_none() && before.state == TaskState::Queued => Some(leased(before)),
                Move::Stop if before.live.is_none() => Some(stopping(before)),
                Move::Reopen if before.live.is_some() => Some(enqueued(before, now, None)),
                Move::End => Some(over(before)),
                Move::Touch => Some(before),
                Move::Forget => {
                    matching.observe(&name, None, |_| false);
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
                matching.observe(&name, Some(&task), |_| false);
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
