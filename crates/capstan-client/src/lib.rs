//! The HTTP client that the command line, the worker and tests use.
//!
//! **Scope.** [`Client`] speaks `/v1` of one server: typed requests and answers, problem documents as
//! [`Error::Problem`], and [`EventStream`], which follows a live stream over any number of lost connections.
//!
//! **Limits.** It knows neither NATS nor Postgres, and of the server's crates only contract and domain. Bodies of commands
//! and answers to workers are the contract's, exported again here; other answers are read into types of this crate. All
//! of them ignore unknown fields. It repeats no write by itself: the caller decides about a repetition and its idempotency
//! key ([`Error::is_retryable`] helps).
//!
//! **Entry points.** `client.rs` is one connection's life, `task.rs` what most callers want, `worker.rs`,
//! `attempt.rs` and `tool_call.rs` the worker protocol, `event_stream.rs` the live side.

mod agent;
mod attempt;
mod channel;
mod class;
mod client;
mod dead_letter;
mod error;
mod event_stream;
mod output;
mod page;
mod projection;
mod readiness;
mod run;
mod schedule;
mod sse;
mod task;
mod tool_call;
mod worker;
mod workspace;

pub use agent::Agent;
pub use attempt::Attempt;
pub use capstan_contract::command::{
    AcceptAgentCommand, AppendLogs, AppendOutputRows, AppendRunEvents, AskedItem, AskedKind, BlockerQuestion,
    CheckToolCall, CreateAgent, FinalizeOutput, FinishAttempt, LogLine, OpenBlocker, ProduceOutput,
    RegisterWorker, Renewal, ReportToolCall, RunEvent, SourceWatchRequest, SubmitTaskInput, SubtaskRequest,
    UpsertChannelBinding, WakeRequest, WorkerCapabilities,
};
pub use capstan_contract::lease::{
    ClaimedInput, ClaimedToolCall, Decision, LeasedAttempt, RegisteredWorker, RenewAnswer, RenewStatus,
    ToolDecision,
};
pub use capstan_domain::id::{AgentId, AttemptId, InputId, OutputId, RunId, TaskId, ToolCallId, WorkerId};
pub use capstan_domain::outcome_text::ErrorClass;
pub use capstan_domain::policy::RunPolicy;
pub use capstan_domain::task::event::{AttemptOutcome, InputKind, Join, OutputStatus, RunCause};
pub use capstan_domain::usage::{ModelUsage, Usage};
pub use channel::Channel;
pub use class::Class;
pub use client::{Client, ClientConfig};
pub use dead_letter::DeadLetter;
pub use error::{Error, Fault, Problem};
pub use event_stream::{EventStream, Follow, LiveEvent};
pub use output::{Output, OutputFilter};
pub use page::{Page, Receipt};
pub use projection::Projection;
pub use readiness::Readiness;
pub use run::{Run, RunFilter};
pub use schedule::{Schedule, ScheduleFilter};
pub use sse::{SseEvent, SseParser};
pub use task::{Accepted, InputAccepted, Task, TaskFilter};
pub use workspace::Workspace;
