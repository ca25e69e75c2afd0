//! HTTP, NATS services and live streams onto commands and queries.
//!
//! **What it is.** The edge: it reads requests strictly, asks the dispatchers, the engine, the read models and the
//! live hub, and answers in one form whichever way the request came. [`router`] is the HTTP surface, [`nats`] the
//! same commands on the bus, [`Problem`] every no.
//!
//! **What it refuses to be.** It holds no rule, no SQL and no state but caches; any number of replicas may run.
//!
//! **Where to start.** `app.rs` lists what it is made of, `routes/table.rs` the routes, `commands.rs` and one file beside it
//! for each command. `conventions.rs` is what holds for every answer.

mod app;
mod auth;
mod call;
mod describe;
mod http;
pub mod nats;
mod operation;
mod problem;
mod receipt;
mod use_case;

pub use app::dispatchers::{
    Agents, Channels, Classes, Dispatchers, Schedules, Sessions, Tasks, Tokens, Workspaces,
};
pub use app::{ApiConfig, App, NatsConfig, Parts};
pub use auth::rates::RateLimit;
pub use auth::{Access, AdminToken, AdminTokenTooShort};
pub use call::CallContext;
pub use http::conventions::{CORRELATION, POSITION};
pub use http::routes::{operations, router};
pub use http::serving::serve;
pub use operation::query_parameter::{ParameterKind, QueryParameter};
pub use operation::{Answer, Operation, Scope, Verb};
pub use problem::{Code, MEDIA_TYPE, Problem, ProblemDocument};
pub use receipt::{Receipt, Reply};
pub use use_case::batch::BATCH;
pub use use_case::commands::{NAMES as COMMAND_NAMES, execute};
pub use use_case::dead_letters::DeadLetters;
pub use use_case::read::Reads;
pub use use_case::readiness::{Check, Finding, ReadModelsCheck};
