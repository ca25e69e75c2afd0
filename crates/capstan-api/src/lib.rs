//! HTTP, NATS services and live streams onto commands and queries.
//!
//! **What it is.** The edge: it reads requests strictly, asks the dispatchers, the engine, the read models and the
//! live hub, and answers in one form whichever way the request came. [`router`] is the HTTP surface, [`nats`] the
//! same commands on the bus, [`Problem`] every no.
//!
//! **What it refuses to be.** It holds no rule, no SQL and no state but caches; any number of replicas may run.
//!
//! **Where to start.** `app.rs` lists what it is made of, `routes.rs` the routes, `commands.rs` and one file beside it
//! for each command. `conventions.rs` is what holds for every answer.

mod app;
mod auth;
mod body;
mod call;
mod commands;
mod conventions;
mod frames;
mod history;
mod known;
mod logs;
mod lookup;
pub mod nats;
mod objects_only;
mod parameters;
mod problem;
mod quota;
mod readiness;
mod reads;
mod receipt;
mod routes;
mod serving;
mod shown;
mod why;

pub use app::{Agents, ApiConfig, App, Channels, Classes, NatsConfig, Parts, Tasks, Workspaces};
pub use auth::{Access, AdminToken};
pub use call::CallContext;
pub use commands::{NAMES as COMMAND_NAMES, execute};
pub use conventions::{CORRELATION, POSITION};
pub use problem::{Code, MEDIA_TYPE, Problem, ProblemDocument};
pub use readiness::{Check, Finding, ReadModelsCheck};
pub use reads::Reads;
pub use receipt::{Receipt, Reply};
pub use routes::router;
pub use serving::serve;
