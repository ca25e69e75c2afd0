//! The streams the engine sends commands to.

use std::sync::Arc;

use capstan_contract::{AgentCodec, ClassCodec, ScheduleCodec, TaskCodec};
use capstan_dispatch::Dispatcher;
use capstan_domain::agent::Agent;
use capstan_domain::class::Class;
use capstan_domain::schedule::ScheduleDecider;
use capstan_domain::task::TaskDecider;

pub(crate) type Classes = Dispatcher<Class, ClassCodec>;

/// The dispatchers the engine sends commands through.
#[derive(Clone, Debug)]
pub struct Deciders {
    /// Dispatcher of tasks, for leases and timers.
    pub tasks: Arc<Dispatcher<TaskDecider, TaskCodec>>,
    /// Dispatcher of schedules, for ticks.
    pub schedules: Arc<Dispatcher<ScheduleDecider, ScheduleCodec>>,
    /// Dispatcher of classes, for their failures and cool-downs.
    pub classes: Arc<Dispatcher<Class, ClassCodec>>,
    /// Dispatcher of agents; used for reading only.
    pub agents: Arc<Dispatcher<Agent, AgentCodec>>,
}
