//! The streams the engine sends commands to.

use std::sync::Arc;

use capstan_contract::{AgentCodec, ScheduleCodec, TaskCodec};
use capstan_dispatch::Dispatcher;
use capstan_domain::agent::Agent;
use capstan_domain::schedule::ScheduleDecider;
use capstan_domain::task::TaskDecider;

/// What the engine acts through.
#[derive(Clone, Debug)]
pub struct Deciders {
    /// Tasks: leases and timers.
    pub tasks: Arc<Dispatcher<TaskDecider, TaskCodec>>,
    /// Schedules: their ticks.
    pub schedules: Arc<Dispatcher<ScheduleDecider, ScheduleCodec>>,
    /// Agents; only ever read.
    pub agents: Arc<Dispatcher<Agent, AgentCodec>>,
}
