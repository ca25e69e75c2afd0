//! Tasks in the states that matter for matching, and workers.

use std::sync::Arc;

use capstan_domain::id::{AttemptId, RunId, TaskId, WorkerId};
use capstan_domain::matching::{Capabilities, Config, Matching, Pick, Reach, StreamKey, WorkerOffer};
use capstan_domain::task::event::{RunCause, RunStatus, TaskAccepted};
use capstan_domain::task::state::{Live, Run};
use capstan_domain::task::{Task, TaskState};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(seconds)
}

pub(crate) fn task_id(number: usize) -> TaskId {
    TaskId(Uuid::from_u128(number as u128 + 1))
}

/// A task that waits since `seconds`, of a session and a class.
pub(crate) fn queued(number: usize, workspace: &str, session: &str, class: &str, seconds: i64) -> Task {
    let accepted: TaskAccepted = serde_json::from_value(serde_json::json!({
        "task_id": task_id(number), "workspace": workspace, "agent_id": Uuid::nil(), "agent_key": "demo",
        "agent_name": "Demo", "agent_config_version": 1, "message": "do it",
        "session_id": session, "instance_key": class, "policy": {}, "timeout_ms": 0, "priority": "normal",
        "accepted_at": at(0),
    }))
    .expect("an acceptance");
    let task = Task::of_parts(Arc::new(accepted), r#"{"state":"done"}"#).expect("a task");
    enqueued(task, at(seconds), None)
}

pub(crate) fn enqueued(mut task: Task, since: DateTime<Utc>, available_at: Option<DateTime<Utc>>) -> Task {
    task.state = TaskState::Queued;
    task.queued_at = Some(since);
    task.available_at = available_at;
    task.runs.kept = vec![Run {
        run_no: 1,
        run_id: RunId::for_task(task.id(), 1),
        cause: RunCause::Accepted,
        status: RunStatus::Accepted,
        delivered: false,
        prompt: None,
        resumed_from: None,
        attempts: 0,
        failed: 0,
        lost: 0,
    }];
    task
}

pub(crate) fn leased(mut task: Task) -> Task {
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
        is_started: false,
        acknowledged: None,
        cancel_grace_until: None,
    });
    task
}

pub(crate) fn stopping(task: Task) -> Task {
    let mut task = leased(task);
    task.state = TaskState::Cancelled;
    if let Some(live) = &mut task.live {
        live.cancel_grace_until = Some(at(99));
    }
    task.runs.kept[0].status = RunStatus::Cancelled;
    task
}

pub(crate) fn over(mut task: Task) -> Task {
    task.state = TaskState::Done;
    task.live = None;
    task.runs.kept[0].status = RunStatus::Ok;
    task
}

pub(crate) fn offer(
    number: u128,
    runtimes: &[&str],
    access: &[&str],
    network_isolation: bool,
) -> WorkerOffer {
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

pub(crate) fn any_worker() -> WorkerOffer {
    offer(1, &["gvisor", "runc"], &["none", "ro", "rw"], true)
}

pub(crate) fn key(task: &Task) -> StreamKey {
    StreamKey::new(&task.accepted.workspace, task.id())
}

pub(crate) fn filled<'a>(tasks: impl IntoIterator<Item = &'a Task>, class_limit: u32) -> Matching {
    let mut matching = Matching::new(Config { class_limit, ..Config::default() });
    for task in tasks {
        matching.observe(&key(task), Some(task), |_| false);
    }
    matching
}

pub(crate) fn ids(picks: &[Pick]) -> Vec<TaskId> {
    picks.iter().map(|pick| pick.task_id).collect()
}
