//! Budgets that tasks share: of agents, of workspaces for a day, of trees.

use capstan_contract::account::AgentAccount;
use capstan_contract::{AgentCodec, WorkspaceCodec};
use capstan_domain::id::{AgentId, AttemptId, WorkerId};
use capstan_domain::matching::{StreamKey, WaitingReason};
use capstan_domain::task::command::RecordUsage;
use capstan_domain::task::event::{BudgetScope, RunCause};
use capstan_domain::task::{Command, TaskState};
use capstan_domain::usage::Usage;
use capstan_domain::{Change, agent, workspace};
use capstan_engine::protocol::{Answer, Request};
use capstan_envelope::{AppliedKeys, Carried, CarriedAccount, OlderKeys};
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::bench::Bench;
use crate::commands::Birth;
use crate::world::start;

fn alone(bench: &mut Bench, n: usize) -> StreamKey {
    bench.accept(&Birth { session: format!("s{n}"), ..Birth::default() })
}

/// Gives the agent of all tasks a budget.
fn limit_agent(bench: &mut Bench, limit_usd: f64) {
    let agent_id = AgentId::from_key("dev", "demo");
    let created = json!({
        "agent_id": agent_id, "workspace": "dev", "agent_key": "demo", "name": "Demo", "role": "r",
        "memory_scope": "m", "cost_budget_usd": limit_usd, "config": {}, "active": true, "created_at": start(),
    });
    let created: agent::Created = serde_json::from_value(created).unwrap();
    let id = bench.fresh();
    let events = [agent::Event::Created(created)];
    bench.world.tell::<AgentCodec>(&format!("dev/agent/{agent_id}"), id, &events);
    bench.settle();
}

fn limit_day(bench: &mut Bench, limit_usd: Option<f64>) {
    let created =
        workspace::Created { workspace: "dev".into(), display_name: "Dev".into(), created_at: start() };
    let updated = json!({ "workspace": "dev", "updated_at": start() });
    let mut updated: workspace::Updated = serde_json::from_value(updated).unwrap();
    updated.budget_usd_per_day = limit_usd.map_or(Change::Clear, Change::Set);
    let events = [workspace::Event::Created(created), workspace::Event::Updated(Box::new(updated))];
    let id = bench.fresh();
    bench.world.tell::<WorkspaceCodec>("dev/workspace/dev", id, &events);
    bench.settle();
}

fn spend(bench: &mut Bench, attempt: &AttemptId, cost_usd: f64) {
    let key = StreamKey::new(&attempt.workspace, attempt.task);
    let usage = Usage { cost_usd, ..Usage::default() };
    let command = Command::RecordUsage { command: RecordUsage { usage }, attempt_id: attempt.clone() };
    bench.send(&key, &command.at(bench.now));
}

fn lease(bench: &mut Bench, worker: WorkerId) -> Option<AttemptId> {
    bench.lease_now(worker, 1).pop().map(|leased| leased.attempt_id)
}

fn why(bench: &mut Bench, key: &StreamKey) -> Vec<WaitingReason> {
    let call = bench.ask(Request::Why { workspace: key.workspace.to_string(), task_id: key.task_id });
    match bench.answers.remove(&call) {
        Some(Answer::Why(reasons)) => reasons,
        other => panic!("not told but {other:?}"),
    }
}

fn stopped_for(bench: &Bench, key: &StreamKey) -> Option<BudgetScope> {
    bench.world.task(key).blocker.as_ref().and_then(|blocker| blocker.opened.budget)
}

fn warnings(bench: &Bench) -> usize {
    let names = bench.world.log.iter().flat_map(|recorded| &recorded.commit.events);
    names.filter(|event| event.name == "budget-warned").count()
}

/// The agent's ten dollars, and two tasks that run.
fn of_an_agent() -> (Bench, WorkerId, Vec<StreamKey>, Vec<AttemptId>) {
    let mut bench = Bench::new();
    limit_agent(&mut bench, 10.0);
    let worker = bench.worker();
    let keys: Vec<_> = (0..3).map(|n| alone(&mut bench, n)).collect();
    let attempts = (0..2).map(|_| lease(&mut bench, worker).unwrap()).collect();
    (bench, worker, keys, attempts)
}

#[test]
fn an_agents_hard_mark_stops_all_its_runs_and_holds_what_waits() {
    let (mut bench, worker, keys, attempts) = of_an_agent();
    spend(&mut bench, &attempts[0], 6.0);
    assert_eq!(stopped_for(&bench, &keys[0]), None);
    spend(&mut bench, &attempts[1], 4.0);
    for key in &keys[..2] {
        assert_eq!(bench.world.state(key), TaskState::Waiting);
        assert_eq!(stopped_for(&bench, key), Some(BudgetScope::Agent));
    }
    let leases = bench.world.leases.len();
    assert_eq!(lease(&mut bench, worker), None, "no new lease after the hard mark");
    let held = WaitingReason::BudgetExceeded { scope: BudgetScope::Agent, limit_usd: 10.0, spent_usd: 10.0 };
    assert_eq!(why(&mut bench, &keys[2]), [held]);
    bench.pass_ms(3_600_000);
    let worker = bench.worker();
    assert_eq!(lease(&mut bench, worker), None);
    assert_eq!(bench.world.leases.len(), leases);
}

/// Carries the agent forward with what was spent on it `before` the last commits of the log.
fn carry_agent(bench: &mut Bench, cost_usd: f64, before: usize) {
    let agent_id = AgentId::from_key("dev", "demo");
    let created: agent::Created = serde_json::from_value(json!({
        "agent_id": agent_id, "workspace": "dev", "agent_key": "demo", "name": "Demo", "role": "r",
        "memory_scope": "m", "cost_budget_usd": 10.0, "config": {}, "active": true, "created_at": start(),
    }))
    .unwrap();
    let usage = Usage { cost_usd, ..Usage::default() };
    let (created_at, updated_at) = (start(), start());
    let account = AgentAccount { usage, warned_limit_usd: None, created_at, updated_at };
    let through = bench.world.log[bench.world.log.len() - 1 - before].position;
    let carried = Carried {
        state: to_raw_value(&agent::State { profile: Some(created), config_version: 1 }).unwrap(),
        keys: AppliedKeys::default(),
        older: OlderKeys::default(),
        shown: None,
        spent: Some(CarriedAccount { through, account: to_raw_value(&account).unwrap() }),
    };
    let id = bench.fresh();
    bench.world.carry(&format!("dev/agent/{agent_id}"), id, &carried);
    bench.settle();
}

#[test]
fn what_an_agent_spent_before_its_log_begins_counts_unless_more_was_spent_meanwhile() {
    let (mut bench, worker, keys, attempts) = of_an_agent();
    spend(&mut bench, &attempts[0], 1.0);
    let since = bench.world.log.len();
    spend(&mut bench, &attempts[0], 1.0);
    let stale = bench.world.log.len() - since;
    carry_agent(&mut bench, 100.0, stale);
    assert_eq!(stopped_for(&bench, &keys[0]), None, "the account was read before the last report");
    carry_agent(&mut bench, 10.0, 0);
    assert_eq!(lease(&mut bench, worker), None);
    let held = WaitingReason::BudgetExceeded { scope: BudgetScope::Agent, limit_usd: 10.0, spent_usd: 10.0 };
    assert_eq!(why(&mut bench, &keys[2]), [held]);
}

#[test]
fn a_warning_is_recorded_once_and_again_for_another_limit() {
    let (mut bench, _, _, attempts) = of_an_agent();
    spend(&mut bench, &attempts[0], 7.9);
    assert_eq!(warnings(&bench), 0);
    spend(&mut bench, &attempts[0], 0.2);
    spend(&mut bench, &attempts[1], 0.2);
    assert_eq!(warnings(&bench), 1);
    limit_agent(&mut bench, 10.2);
    spend(&mut bench, &attempts[1], 0.2);
    assert_eq!(warnings(&bench), 2);
}

#[test]
fn raising_the_agents_budget_resumes_what_was_stopped_and_releases_what_was_held() {
    let (mut bench, worker, keys, attempts) = of_an_agent();
    spend(&mut bench, &attempts[0], 10.0);
    limit_agent(&mut bench, 20.0);
    for key in &keys[..2] {
        let run = bench.world.task(key).current_run().unwrap();
        assert_eq!((bench.world.state(key), run.cause), (TaskState::Queued, RunCause::Budget));
    }
    // The stopped attempts still hold their sessions until their grace is over.
    assert!(lease(&mut bench, worker).is_some(), "what was held is free");
    bench.pass_ms(11_000);
    assert_eq!(bench.lease_now(worker, 4).len(), 2);
}

#[test]
fn a_new_leader_knows_the_spending() {
    let (mut bench, _, keys, attempts) = of_an_agent();
    spend(&mut bench, &attempts[0], 9.0);
    for lag in [0, 1, 5] {
        bench.fail_over(lag);
        let worker = bench.worker();
        assert_eq!(stopped_for(&bench, &keys[0]), None, "nothing counts twice");
        assert!(bench.lease_now(worker, 0).is_empty());
    }
    spend(&mut bench, &attempts[1], 1.0);
    assert_eq!(stopped_for(&bench, &keys[0]), Some(BudgetScope::Agent), "and nothing is forgotten");
    bench.fail_over(2);
    let worker = bench.worker();
    assert_eq!(lease(&mut bench, worker), None);
}

#[test]
fn a_spent_day_ends_at_midnight() {
    let mut bench = Bench::new();
    limit_day(&mut bench, Some(5.0));
    let worker = bench.worker();
    let keys: Vec<_> = (0..2).map(|n| alone(&mut bench, n)).collect();
    let attempt = lease(&mut bench, worker).unwrap();
    spend(&mut bench, &attempt, 5.0);
    assert_eq!(stopped_for(&bench, &keys[0]), Some(BudgetScope::Workspace));
    assert_eq!(lease(&mut bench, worker), None);
    let midnight = (bench.now.date_naive().succ_opt().unwrap()).and_hms_opt(0, 0, 0).unwrap().and_utc();
    bench.pass_ms((midnight - bench.now).num_milliseconds() - 1);
    assert_eq!(stopped_for(&bench, &keys[0]), Some(BudgetScope::Workspace));
    bench.pass_ms(1);
    assert_eq!(bench.world.state(&keys[0]), TaskState::Queued);
    let worker = bench.worker();
    assert_eq!(bench.lease_now(worker, 4).len(), 2);
}

#[test]
fn clearing_a_workspaces_budget_releases_everything() {
    let mut bench = Bench::new();
    limit_day(&mut bench, Some(5.0));
    let worker = bench.worker();
    let key = alone(&mut bench, 0);
    let attempt = lease(&mut bench, worker).unwrap();
    spend(&mut bench, &attempt, 6.0);
    assert_eq!(bench.world.state(&key), TaskState::Waiting);
    limit_day(&mut bench, None);
    assert_eq!(bench.world.state(&key), TaskState::Queued);
}

#[test]
fn what_children_spend_counts_for_the_tree_and_stops_all_of_it() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let parent = bench.accept(&Birth { session: "p".into(), budget_usd: Some(10.0), ..Birth::default() });
    let of_parent = lease(&mut bench, worker).unwrap();
    let children: Vec<_> = (0..3)
        .map(|n| {
            let birth = Birth { session: format!("c{n}"), parent: Some(parent.task_id), ..Birth::default() };
            bench.accept(&birth)
        })
        .collect();
    let of_children: Vec<_> = (0..2).map(|_| lease(&mut bench, worker).unwrap()).collect();
    spend(&mut bench, &of_parent, 3.0);
    spend(&mut bench, &of_children[0], 3.0);
    spend(&mut bench, &of_children[1], 3.0);
    assert_eq!(warnings(&bench), 1, "most of the tree's budget is spent");
    assert_eq!(stopped_for(&bench, &parent), None);
    spend(&mut bench, &of_children[1], 1.0);
    for key in [&parent, &children[0], &children[1]] {
        assert_eq!(stopped_for(&bench, key), Some(BudgetScope::Task), "{key:?}");
    }
    assert_eq!(lease(&mut bench, worker), None, "the third child is held");
    assert!(matches!(why(&mut bench, &children[2])[..], [WaitingReason::BudgetExceeded { .. }]));
    bench.fail_over(4);
    let worker = bench.worker();
    assert_eq!(lease(&mut bench, worker), None, "a new leader sees the tree, too");
}

#[test]
fn a_task_that_is_stopped_by_its_own_report_waits_until_its_budget_is_raised() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let key = bench.accept(&Birth { budget_usd: Some(1.0), ..Birth::default() });
    let attempt = lease(&mut bench, worker).unwrap();
    spend(&mut bench, &attempt, 1.5);
    assert_eq!(stopped_for(&bench, &key), Some(BudgetScope::Task));
    bench.pass_ms(60_000);
    assert_eq!(lease(&mut bench, worker), None);
    assert_eq!(bench.world.state(&key), TaskState::Waiting);
    let exceeded = bench.world.log.iter().flat_map(|recorded| &recorded.commit.events);
    assert_eq!(exceeded.filter(|event| event.name == "budget-exceeded").count(), 1);
}

/// Costs, changes of budgets and crashes in any order: no lease is recorded while a budget in the log is exceeded.
#[test]
fn no_lease_is_recorded_after_a_hard_mark_whatever_happens() {
    let mut leases = 0;
    for seed in 0..200_u64 {
        let mut bench = Bench::new();
        let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |n: u64| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % n
        };
        let (mut limit, mut spent) = (3.0, 0.0);
        limit_agent(&mut bench, limit);
        let mut worker = bench.worker();
        let mut held: Vec<AttemptId> = Vec::new();
        for n in 0..60 {
            match below(8) {
                0 | 1 => drop(alone(&mut bench, n)),
                2 | 3 => {
                    let attempt = lease(&mut bench, worker);
                    assert!(attempt.is_none() || spent < limit, "seed {seed}: leased at {spent} of {limit}");
                    leases += usize::from(attempt.is_some());
                    held.extend(attempt);
                }
                4 | 5 if !held.is_empty() => {
                    let attempt = held[below(held.len() as u64) as usize].clone();
                    let key = StreamKey::new("dev", attempt.task);
                    let is_working = bench
                        .world
                        .task(&key)
                        .working_attempt()
                        .is_some_and(|live| live.attempt_id == attempt);
                    if is_working {
                        spent += 0.75;
                        spend(&mut bench, &attempt, 0.75);
                    }
                }
                6 => {
                    limit += 1.0;
                    limit_agent(&mut bench, limit);
                }
                7 => {
                    bench.fail_over(below(6) as usize);
                    worker = bench.worker();
                }
                _ => {
                    bench.pass_ms(5_000);
                    worker = bench.worker();
                }
            }
            let running = bench.world.tasks.values().filter_map(|(_, state)| state.as_deref());
            let is_running = |task: &&capstan_domain::task::Task| task.state == TaskState::Running;
            assert!(
                spent < limit || running.filter(is_running).count() == 0,
                "seed {seed}: something runs on"
            );
        }
    }
    assert!(leases > 500, "the lives were too quiet: {leases}");
}
