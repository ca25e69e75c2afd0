//! Commands of a task. Those that callers send are their bodies on the wire.
//!
//! Facts that no caller sends (fresh ids, looked-up state, limits of the server) stand beside the body in the variant:
//! `grace_ms` is the time a worker has to stop, in milliseconds; `message_bytes_max` is the longest message, in bytes;
//! `attempt_id` is the attempt that reports, none for a caller from outside; `fitting` are the earlier inputs that satisfy the
//! schema of the question.

mod acceptance;
mod attempt;
mod blocker;
mod budget;
mod input;
mod lifecycle;
mod output;
mod plan;
mod tool_call;

pub use acceptance::{Accept, AcceptAgentCommand, MESSAGE_BYTES_MAX, Parent};
pub use attempt::{
    ExpireLease, ExpireQueue, FinishAttempt, Lease, RecordUsage, ReleaseAttempt, ReportedOutcome,
    ReturnAttempt, StartAttempt, TimeOutAttempt, WakePlan,
};
pub use blocker::{AskedDeadline, AskedItem, AskedKind, ExpireBlocker, OpenBlocker};
pub use budget::{LiftBudget, StopForBudget, WarnBudget};
pub use input::{
    AckInput, ClaimInput, DecidedItem, DeferInput, EnqueueRunInput, SubmitInput, SubmitTaskInput,
};
pub use lifecycle::{
    ArchiveTask, CancelRun, CancelTask, PassDeadline, RetryTask, TaskPayload, UnarchiveTask, UpdateTask, Wake,
};
pub use output::{
    AppendOutputRows, AppendTaskOutputRows, ArchiveOutput, ArchiveOutputs, CreateTaskOutput, FinalizeOutput,
    FinalizeTaskOutput, NewOutputStatus, ProduceOutput,
};
pub use plan::{ChildEnded, FireWatch, ParentHeard, PublishSourceEvent, SubtaskSpec};
pub use tool_call::{CheckToolCall, EndToolCall, StartToolCall, ToolCheck};

use chrono::{DateTime, Utc};

use crate::Requested;
use crate::id::{AttemptId, InputId, OutputId};

/// A request to a task: a command and the facts beside it.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Command {
    Accept(Box<Accept>),
    SubmitInput(SubmitInput),
    Cancel { command: CancelTask, grace_ms: i64 },
    CancelRun { command: CancelRun, grace_ms: i64 },
    Retry { command: RetryTask, input_id: InputId, message_bytes_max: usize },
    Archive { command: ArchiveTask, grace_ms: i64 },
    Unarchive(UnarchiveTask),
    Update { command: Box<UpdateTask>, message_bytes_max: usize },
    ChildEnded(Box<ChildEnded>),
    ParentHeard(ParentHeard),
    FireWatch(FireWatch),
    Wake(Wake),
    Lease(Lease),
    Start { attempt_id: AttemptId },
    ExpireLease(ExpireLease),
    Return { command: ReturnAttempt, attempt_id: AttemptId },
    ReleaseAttempt(ReleaseAttempt),
    TimeOutAttempt(TimeOutAttempt),
    ExpireQueue(ExpireQueue),
    PassDeadline(PassDeadline),
    Finish { command: Box<FinishAttempt>, attempt_id: AttemptId },
    OpenBlocker { command: Box<OpenBlocker>, attempt_id: AttemptId, fitting: Vec<InputId> },
    ExpireBlocker(ExpireBlocker),
    ClaimInput { attempt_id: AttemptId },
    AckInput { command: AckInput, attempt_id: AttemptId },
    DeferInput { command: DeferInput, attempt_id: AttemptId },
    ProduceOutput { command: Box<ProduceOutput>, output_id: OutputId, attempt_id: Option<AttemptId> },
    AppendOutputRows { command: AppendOutputRows, attempt_id: Option<AttemptId> },
    FinalizeOutput { command: FinalizeOutput, attempt_id: Option<AttemptId> },
    ArchiveOutputs(ArchiveOutputs),
    RecordUsage { command: RecordUsage, attempt_id: AttemptId },
    CheckToolCall(Box<ToolCheck>),
    StartToolCall(StartToolCall),
    EndToolCall(Box<EndToolCall>),
    StopForBudget(StopForBudget),
    WarnBudget(WarnBudget),
    LiftBudget(LiftBudget),
}

impl Command {
    /// The command, received at this time.
    pub fn at(self, at: DateTime<Utc>) -> Requested<Self> {
        Requested { command: self, at }
    }
}
