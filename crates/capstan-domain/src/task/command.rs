//! Commands of a task. Each carries every fresh id it may need.

mod acceptance;
mod attempt;
mod blocker;
mod budget;
mod input;
mod lifecycle;
mod output;
mod plan;
mod tool_call;

pub use acceptance::{Accept, MESSAGE_BYTES_MAX, Parent};
pub use attempt::{
    ExpireLease, ExpireQueue, Finish, Lease, RecordUsage, ReleaseAttempt, Start, TimeOutAttempt, WakePlan,
};
pub use blocker::{BlockerItemSpec, BlockerSpec, DeadlineSpec, ExpireBlocker, OpenBlocker};
pub use budget::{LiftBudget, StopForBudget, WarnBudget};
pub use input::{AckInput, ClaimInput, DeferInput, ItemSpec, SubmitInput};
pub use lifecycle::{
    Archive, Cancel, CancelRun, PassDeadline, PayloadChange, Retry, Unarchive, Update, Wake,
};
pub use output::{AppendOutputRows, ArchiveOutputs, FinalizeOutput, ProduceOutput};
pub use plan::{ChildEnded, FanOut, FireWatch, ParentHeard, SubtaskSpec};
pub use tool_call::{CheckToolCall, EndToolCall, StartToolCall};

use chrono::{DateTime, Utc};

use crate::Requested;

/// A request to a task.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Command {
    Accept(Box<Accept>),
    SubmitInput(SubmitInput),
    Cancel(Cancel),
    CancelRun(CancelRun),
    Retry(Retry),
    Archive(Archive),
    Unarchive(Unarchive),
    Update(Box<Update>),
    ChildEnded(Box<ChildEnded>),
    ParentHeard(ParentHeard),
    FireWatch(FireWatch),
    Wake(Wake),
    Lease(Lease),
    Start(Start),
    ExpireLease(ExpireLease),
    ReleaseAttempt(ReleaseAttempt),
    TimeOutAttempt(TimeOutAttempt),
    ExpireQueue(ExpireQueue),
    PassDeadline(PassDeadline),
    Finish(Box<Finish>),
    OpenBlocker(OpenBlocker),
    ExpireBlocker(ExpireBlocker),
    ClaimInput(ClaimInput),
    AckInput(AckInput),
    DeferInput(DeferInput),
    ProduceOutput(Box<ProduceOutput>),
    AppendOutputRows(AppendOutputRows),
    FinalizeOutput(FinalizeOutput),
    ArchiveOutputs(ArchiveOutputs),
    RecordUsage(RecordUsage),
    CheckToolCall(Box<CheckToolCall>),
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
