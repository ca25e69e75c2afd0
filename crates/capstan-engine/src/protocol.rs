//! What travels between the engine and its client: JSON over core NATS request/reply, inside one release only.

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

/// Something the engine is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// A worker introduces itself.
    Register {
        /// The worker.
        worker: RegisterWorker,
        /// The workspaces whoever asks may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// A worker wants attempts.
    Lease {
        /// The worker.
        worker_id: WorkerId,
        /// How many it takes.
        max: u32,
        /// How long it waits for the first, in milliseconds.
        wait_ms: u64,
        /// The workspaces whoever asks may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// A worker no longer waits for an answer: it hung up.
    HangUp {
        /// The worker.
        worker_id: WorkerId,
    },
    /// A worker still lives, and so do its attempts.
    Renew {
        /// The worker.
        worker_id: WorkerId,
        /// Its attempts.
        renewals: Vec<Renewal>,
        /// How long it waits for news, in milliseconds.
        wait_ms: u64,
        /// The workspaces whoever asks may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// A worker wants nothing new.
    Drain {
        /// The worker.
        worker_id: WorkerId,
        /// The workspaces whoever asks may serve.
        #[serde(default)]
        reach: Reach,
    },
    /// Why is this task not running?
    Why {
        /// Its workspace.
        workspace: String,
        /// The task.
        task_id: TaskId,
    },
    /// A worker wants an approved call of a tool it carries out.
    ClaimToolCall {
        /// The worker.
        worker_id: WorkerId,
        /// How long it waits for one, in milliseconds.
        wait_ms: u64,
    },
    /// Who watches for this?
    Watchers(SourceKeys),
    /// Who works here?
    Workers,
}

/// What an event outside is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceKeys {
    /// Where it is told.
    pub workspace: String,
    /// Where it happened.
    pub integration: String,
    /// What it is about.
    pub correlation_keys: Vec<String>,
    /// What kind of event it is.
    pub event_type: Option<String>,
    /// The answer knows everything up to here.
    pub position: Position,
}

impl Request {
    /// Where it is sent.
    pub fn subject(&self, subjects: &Subjects) -> String {
        match self {
            Self::Register { .. } => subjects.engine_register(),
            Self::Lease { .. } | Self::HangUp { .. } => subjects.engine_lease(),
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

/// What the engine answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", content = "with", rename_all = "snake_case")]
pub enum Answer {
    /// The worker is known from now on.
    Registered(RegisteredWorker),
    /// The attempts the worker has from now on, each a `LeasedAttempt`.
    Leased(Vec<Box<RawValue>>),
    /// What became of each renewal.
    Renewed(Vec<RenewAnswer>),
    /// The worker gets nothing new.
    Draining,
    /// Nothing is kept for the worker that hung up.
    HungUp,
    /// What keeps the task from running; empty when it does not wait in the queue.
    Why(Vec<WaitingReason>),
    /// The call the worker has claimed, if there was one.
    ToolCall(Option<Box<ClaimedToolCall>>),
    /// The tasks that watch for each key.
    Watchers(BTreeMap<String, Vec<TaskId>>),
    /// The workers known.
    Workers(Vec<WorkerView>),
    /// This engine does not know the worker: it must introduce itself again.
    UnknownWorker,
    /// The request could not be read.
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
    /// How many attempts it runs at once.
    pub slots: u32,
    /// Names and values to choose it by.
    pub labels: BTreeMap<String, String>,
    /// The tools it carries out.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Whether it can be given work.
    pub status: WorkerStatus,
    /// Attempts it holds.
    pub attempts: u32,
    /// When it last asked or renewed.
    pub last_seen_at: DateTime<Utc>,
}

/// Whether a worker can be given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStatus {
    /// It asks and renews.
    Active,
    /// It finishes what it has.
    Draining,
    /// It has not been heard of for longer than a lease.
    Deaf,
}
