//! Everything a leader needs from outside.

use std::sync::Arc;

use capstan_dispatch::OpenTasks;
use capstan_eventlog::EventLog;
use futures_util::future::BoxFuture;

use crate::config::EngineConfig;
use crate::deciders::Deciders;
use crate::tool_caller::ToolCaller;

/// Opens a connection to NATS, over which an engine keeps its leadership and does nothing else.
pub type Connect =
    Arc<dyn Fn() -> BoxFuture<'static, Result<async_nats::Client, async_nats::ConnectError>> + Send + Sync>;

/// Everything a leader needs from outside.
#[derive(Clone)]
pub(crate) struct Dependencies {
    pub(crate) config: EngineConfig,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) deciders: Deciders,
    pub(crate) open_tasks: Arc<dyn OpenTasks>,
    pub(crate) nats: async_nats::Client,
    pub(crate) connect: Connect,
    pub(crate) tools: ToolCaller,
}
