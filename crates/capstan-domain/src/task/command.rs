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

pub(crate) use acceptance::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX};
pub use acceptance::{Accept, AcceptAgentCommand, MESSAGE_BYTES_MAX, Parent};
pub use attempt::{
    ExpireLease, ExpireQueue, FinishAttempt, Lease, RecordUsage, ReleaseAttempt, ReleaseCause,
    ReportedOutcome, ReturnAttempt, StartAttempt, TimeOutAttempt, WakePlan,
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

/// Declares the commands of a task, and their names for those that must know of each.
macro_rules! commands {
    ($($name:ident $holds:tt,)*) => {
        /// A request to a task: a command and the facts beside it.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each variant is documented at its struct")]
        pub enum Command {
            $($name $holds,)*
        }

        impl Command {
            /// The names of all commands.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// The name of the command, one of [`Self::NAMES`].
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)*
                }
            }
        }
    };
}

commands! {
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
    FireWatch {
        command: FireWatch,
        /// Of the [`FireWatch::identity`], under the key of the log.
        fingerprint: String,
    },
    Wake(Wake),
    Lease(Lease),
    Start(StartAttempt),
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
    ProduceOutput {
        command: Box<ProduceOutput>,
        /// Of the [`ProduceOutput::identity`], under the key of the log.
        fingerprint: String,
        output_id: OutputId,
        attempt_id: Option<AttemptId>,
    },
    AppendOutputRows { command: AppendOutputRows, attempt_id: Option<AttemptId> },
    FinalizeOutput {
        command: FinalizeOutput,
        /// Of the [`FinalizeOutput::identity`], under the key of the log.
        fingerprint: String,
        attempt_id: Option<AttemptId>,
    },
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
    /// The attempt whose lease the command needs: that of a worker's report, and that of the engine about a lease.
    pub fn attempt_id(&self) -> Option<&AttemptId> {
        match self {
            Self::Start(StartAttempt { attempt_id })
            | Self::Return { attempt_id, .. }
            | Self::ClaimInput { attempt_id }
            | Self::AckInput { attempt_id, .. }
            | Self::DeferInput { attempt_id, .. }
            | Self::RecordUsage { attempt_id, .. }
            | Self::Finish { attempt_id, .. }
            | Self::OpenBlocker { attempt_id, .. } => Some(attempt_id),
            Self::ExpireLease(command) => Some(&command.attempt_id),
            Self::ReleaseAttempt(command) => Some(&command.attempt_id),
            Self::TimeOutAttempt(command) => Some(&command.attempt_id),
            Self::CheckToolCall(command) => Some(&command.attempt_id),
            Self::ProduceOutput { attempt_id, .. }
            | Self::AppendOutputRows { attempt_id, .. }
            | Self::FinalizeOutput { attempt_id, .. } => attempt_id.as_ref(),
            Self::Accept(_)
            | Self::SubmitInput(_)
            | Self::Cancel { .. }
            | Self::CancelRun { .. }
            | Self::Retry { .. }
            | Self::Archive { .. }
            | Self::Unarchive(_)
            | Self::Update { .. }
            | Self::ChildEnded(_)
            | Self::ParentHeard(_)
            | Self::FireWatch { .. }
            | Self::Wake(_)
            | Self::Lease(_)
            | Self::ExpireBlocker(_)
            | Self::ExpireQueue(_)
            | Self::PassDeadline(_)
            | Self::StartToolCall(_)
            | Self::EndToolCall(_)
            | Self::StopForBudget(_)
            | Self::WarnBudget(_)
            | Self::LiftBudget(_)
            | Self::ArchiveOutputs(_) => None,
        }
    }

    /// The attempt of which the command is a report: its agent runs, or ran.
    pub(super) fn reported_attempt(&self) -> Option<&AttemptId> {
        let is_no_report = matches!(
            self,
            Self::Start(_)
                | Self::Return { .. }
                | Self::ExpireLease(_)
                | Self::ReleaseAttempt(_)
                | Self::TimeOutAttempt(_)
        );
        self.attempt_id().filter(|_| !is_no_report)
    }

    /// The command, received at this time.
    pub fn at(self, at: DateTime<Utc>) -> Requested<Self> {
        Requested { command: self, at }
    }
}
