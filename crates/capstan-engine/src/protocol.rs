//! Messages between the engine and its client: JSON over core NATS request/reply, within one release only.

use std::collections::BTreeMap;

use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::{ClaimedToolCall, RegisteredWorker, RenewAnswer};
use capstan_contract::subject::Subjects;
use capstan_domain::id::{TaskId, WorkerId};
use capstan_domain::matching::{Reach, WaitingReason};
use capstan_envelope::Position;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A request to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Registers a worker.
    Register {
        /// The worker.
        worker: RegisterWorker,
        /// The workspaces the caller may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// Leases attempts to a worker.
    Lease {
        /// The worker.
        worker_id: WorkerId,
        /// Most attempts it takes.
        max: u32,
        /// Longest wait for the first, in milliseconds.
        wait_ms: u64,
        /// The workspaces the caller may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// Ends the polls of a worker that no longer waits for an answer.
    EndPolls {
        /// The worker.
        worker_id: WorkerId,
    },
    /// Renews the leases of a worker's attempts.
    Renew {
        /// The worker.
        worker_id: WorkerId,
        /// Its attempts.
        renewals: Vec<Renewal>,
        /// Longest wait for news, in milliseconds.
        wait_ms: u64,
        /// The workspaces the caller may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// Stops leasing to a worker.
    Drain {
        /// The worker.
        worker_id: WorkerId,
        /// The workspaces the caller may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// Reads the reasons a task is not running.
    Why {
        /// Its workspace.
        workspace: String,
        /// The task.
        task_id: TaskId,
    },
    /// Claims an approved call of a tool the worker executes.
    ClaimToolCall {
        /// The worker.
        worker_id: WorkerId,
        /// Longest wait for one, in milliseconds.
        wait_ms: u64,
        /// The workspaces the caller may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// Finds the tasks that watch for an external event.
    Watchers(SourceKeys),
    /// Lists the workers.
    Workers,
}

/// The keys of an external event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceKeys {
    /// The workspace that received it.
    pub workspace: String,
    /// The integration it comes from.
    pub integration: String,
    /// The things it is about.
    pub correlation_keys: Vec<String>,
    /// The kind of event.
    pub event_type: Option<String>,
    /// The answer includes every commit up to here.
    pub position: Position,
}

impl Request {
    /// The subject it is sent to.
    pub fn subject(&self, subjects: &Subjects) -> String {
        match self {
            Self::Register { .. } => subjects.engine_register(),
            Self::Lease { .. } | Self::EndPolls { .. } => subjects.engine_lease(),
            Self::Renew { .. } => subjects.engine_renew(),
            Self::Drain { .. } => subjects.engine_drain(),
            Self::Why { .. } => subjects.engine_why(),
            Self::ClaimToolCall { .. } => subjects.engine_tool_calls(),
            Self::Watchers(_) => subjects.engine_watchers(),
            Self::Workers => subjects.engine_workers(),
        }
    }
}

/// Every subject the engine answers on.
pub(crate) fn subjects_served(subjects: &Subjects) -> [String; 8] {
    [
        subjects.engine_register(),
        subjects.engine_lease(),
        subjects.engine_renew(),
        subjects.engine_drain(),
        subjects.engine_why(),
        subjects.engine_watchers(),
        subjects.engine_workers(),
        subjects.engine_tool_calls(),
    ]
}

/// An answer of the engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", content = "with", rename_all = "snake_case")]
pub enum Answer {
    /// The worker is registered.
    Registered(RegisteredWorker),
    /// The attempts leased to the worker, each a `LeasedAttempt`.
    Leased(Vec<Box<RawValue>>),
    /// The outcome of each renewal.
    Renewed(Vec<RenewAnswer>),
    /// The worker gets no more leases.
    Draining,
    /// The worker's polls have ended.
    PollsEnded,
    /// The reasons the task is not running; empty when it does not wait in the queue.
    Why(Vec<WaitingReason>),
    /// The call the worker has claimed, if there was one.
    ToolCall(Option<Box<ClaimedToolCall>>),
    /// The tasks that watch for each key.
    Watchers(BTreeMap<String, Vec<TaskId>>),
    /// The registered workers.
    Workers(Vec<WorkerView>),
    /// This engine does not know the worker: it must register again.
    UnknownWorker,
    /// The request is not readable.
    Unreadable,
}

/// A worker as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its id.
    pub worker_id: WorkerId,
    /// Its name.
    pub name: String,
    /// The pools it serves.
    pub pools: Vec<String>,
    /// Most attempts it runs at once.
    pub slots: u32,
    /// Names and values to select it by.
    pub labels: BTreeMap<String, String>,
    /// The tools it executes.
    #[serde(default)]
    pub tools: Vec<String>,
    /// The workspaces it may serve.
    #[serde(default)]
    pub reach: Reach,
    /// Its availability.
    pub status: WorkerStatus,
    /// The number of attempts it holds.
    pub attempts: u32,
    /// The time of its last request or renewal.
    pub last_seen_at: DateTime<Utc>,
}

/// The availability of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStatus {
    /// It sends requests and renewals.
    Active,
    /// It finishes the attempts it holds.
    Draining,
    /// It has sent nothing for longer than a lease.
    Deaf,
}
