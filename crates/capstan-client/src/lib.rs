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
pub use attempt::{Attempt, BlockerReport, RunResult, WakePlan};
pub use capstan_contract::command::{
    AcceptAgentCommand, AppendLogs, AppendOutputRows, AppendRunEvents, BlockerQuestion, CheckToolCall,
    CreateAgent, FinalizeOutput, LogLine, ProduceOutput, RegisterWorker, Renewal, ReportToolCall, RunEvent,
    SubmitTaskInput, UpsertChannelBinding, WorkerCapabilities,
};
pub use capstan_contract::lease::{
    ClaimedInput, ClaimedToolCall, LeasedAttempt, RegisteredWorker, RenewAnswer, RenewStatus,
};
pub use capstan_domain::id::{AgentId, AttemptId, InputId, OutputId, RunId, TaskId, ToolCallId, WorkerId};
pub use capstan_domain::policy::RunPolicy;
pub use capstan_domain::task::event::{InputKind, OutputStatus, RunCause};
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
pub use tool_call::{GateAnswer, ToolDecision};
pub use workspace::Workspace;
