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

mod answer_schema;
mod app;
mod as_of;
mod asked;
mod asyncapi;
mod auth;
mod batch;
mod body;
mod call;
mod commands;
mod conventions;
mod dead_letters;
mod dispatchers;
mod frames;
mod history;
mod interaction;
mod known;
mod logs;
mod lookup;
pub mod nats;
mod objects_only;
mod openapi;
mod operation;
mod parameters;
mod preview;
mod problem;
mod query_parameter;
mod quota;
mod rates;
mod readiness;
mod reads;
mod receipt;
mod routes;
mod run_snapshots;
mod serving;
mod shown;
mod task_batch;
mod why;

pub use app::{ApiConfig, App, NatsConfig, Parts};
pub use auth::{Access, AdminToken, AdminTokenTooShort};
pub use batch::BATCH;
pub use call::CallContext;
pub use commands::{NAMES as COMMAND_NAMES, execute};
pub use conventions::{CORRELATION, POSITION};
pub use dead_letters::DeadLetters;
pub use dispatchers::{
    Agents, Channels, Classes, Dispatchers, Schedules, Sessions, Tasks, Tokens, Workspaces,
};
pub use operation::{Answer, Operation, Scope, Verb};
pub use problem::{Code, MEDIA_TYPE, Problem, ProblemDocument};
pub use query_parameter::{ParameterKind, QueryParameter};
pub use rates::RateLimit;
pub use readiness::{Check, Finding, ReadModelsCheck};
pub use reads::Reads;
pub use receipt::{Receipt, Reply};
pub use routes::{operations, router};
pub use serving::serve;
