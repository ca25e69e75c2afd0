//! The HTTP client that the command line, the worker and tests use.
//!
//! **Scope.** [`Client`] sends the requests of the contract to one server: [`Client::send`] puts the fields of any of them
//! in path, query string and body and reads its [`Sendable::Answer`]. Problem documents are [`Error::Problem`];
//! [`EventStream`] follows a live stream over any number of lost connections.
//!
//! **Limits.** It knows neither NATS nor Postgres, and of the server's crates only contract and domain. Answers are read
//! into types of the contract or of this crate, which ignore unknown fields. It repeats no write by itself: the caller
//! decides about a repetition and its idempotency key ([`Error::is_retryable`] helps).
//!
//! **Entry points.** `client.rs` is one connection's life, `answer.rs` what each request is answered with,
//! `event_stream.rs` the live side.

mod answer;
mod client;
mod error;
mod event_stream;
mod sse;

pub use answer::{
    Accepted, Agent, Channel, Claimed, Class, InputAccepted, Output, Page, Produced, Receipt, Run, Schedule,
    Sendable, Task, Workspace,
};
pub use capstan_contract::command::{
    AcceptAgentCommand, AckInput, AppendLogs, AppendOutputRows, AppendRunEvents, AskedItem, AskedKind,
    CheckToolCall, ClaimConditions, ClaimInput, ClaimToolCall, CreateAgent, DeferInput, DrainWorker,
    FetchAttempt, FinalizeOutput, FinishAttempt, IdempotencyKey, LeaseAttempts, LeaseConditions, LogLine,
    LogStream, OpenBlocker, ProduceOutput, REPORTS_MAX, RecordUsage, RegisterWorker, RenewLeases, Renewal,
    ReportToolCall, ReportedOutcome, ReturnAttempt, RunEvent, SendReports, SubtaskSpec, WakePlan,
    WorkerCapabilities,
};
pub use capstan_contract::lease::{
    AttemptPage, ClaimedInput, ClaimedToolCall, Decision, LeasedAttempt, RegisteredWorker, RenewAnswer,
    RenewStatus, ReportOutcomes, ToolDecision,
};
pub use capstan_contract::stream::{
    Place, StreamOptions, SubscribeRunEvents, SubscribeTaskLive, SubscribeWorkspaceLive,
};
pub use capstan_contract::strict;
pub use capstan_domain::id::{AgentId, AttemptId, InputId, OutputId, RunId, TaskId, ToolCallId, WorkerId};
pub use capstan_domain::outcome_text::ErrorClass;
pub use capstan_domain::policy::RunPolicy;
pub use capstan_domain::task::event::{InputKind, Join, OutputStatus, Question, RunCause, SourceWatch};
pub use capstan_domain::usage::{ModelUsage, Usage};
pub use client::{Client, ClientConfig, report_of};
pub use error::{Error, Fault, Problem};
pub use event_stream::{EventStream, LiveEvent};
pub use sse::{SseEvent, SseParser};
