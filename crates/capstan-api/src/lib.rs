//! Commands and queries over HTTP and NATS, and live streams.
//!
//! **What it is.** The edge: it parses requests strictly, calls the dispatchers, the engine, the read models and the live
//! hub, and responds in one form on every transport. [`router`] is the HTTP surface, [`nats`] the same commands and
//! queries over NATS, [`Problem`] every error response.
//!
//! **What it is not.** It holds no rule, no SQL and no state but caches; any number of replicas may run.
//!
//! **Where to start.** `http/routes/table.rs` makes every operation from the lists of the contract. `use_case/` holds the
//! commands and queries, one file for each kind of entity; nothing below it knows a transport. `http/` and `nats/` are the
//! transports, `describe/` draws the published documents from the operations. `app.rs` lists the parts the crate is made of.

mod answered;
mod app;
mod auth;
mod call;
mod describe;
mod header_fields;
mod http;
mod json_schema;
mod metric;
pub mod nats;
mod operation;
mod prefer;
mod problem;
mod receipt;
mod request;
mod use_case;

pub use answered::Answered;
pub use app::dispatchers::{
    Agents, Channels, Classes, Dispatchers, Schedules, Sessions, Tasks, Tokens, Workspaces,
};
pub use app::{ApiConfig, App, NatsConfig, Parts};
pub use auth::access::{Access, AdminToken, AdminTokenTooShort};
pub use auth::rates::RateLimit;
pub use call::CallContext;
pub use capstan_contract::command::COMMAND_NAMES;
pub use http::headers::{CORRELATION, POSITION};
pub use http::routes::{operations, router};
pub use http::serving::serve;
pub use metric::ALL as METRICS;
pub use operation::{Answer, Operation, Scope, Verb};
pub use problem::{Code, MEDIA_TYPE, Problem, ProblemDocument};
pub use receipt::{Receipt, Reply, Success};
pub use use_case::batch::BATCH;
pub use use_case::commands::execute;
pub use use_case::dead_letters::store::DeadLetters;
pub use use_case::read::Reads;
pub use use_case::readiness::{Check, Finding, ReadModelsCheck};
