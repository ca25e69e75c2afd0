//! The dispatchers: one for each kind of stream.

use std::sync::Arc;

use capstan_contract::{
    AgentCodec, ChannelCodec, ClassCodec, ScheduleCodec, SessionCodec, TaskCodec, TokenCodec, WorkspaceCodec,
};
use capstan_dispatch::{Dispatchable, Dispatcher, DispatcherConfig, NoSnapshots, Snapshots, StreamCache};
use capstan_domain::agent::Agent;
use capstan_domain::channel::Channel;
use capstan_domain::class::Class;
use capstan_domain::schedule::ScheduleDecider;
use capstan_domain::session::Session;
use capstan_domain::task::TaskDecider;
use capstan_domain::token::Token;
use capstan_domain::workspace::Workspace;
use capstan_engine::Deciders;
use capstan_envelope::{Codec, Recorded};
use capstan_eventlog::EventLog;

/// Executes commands of workspaces.
pub type Workspaces = Dispatcher<Workspace, WorkspaceCodec>;
/// Executes commands of agents.
pub type Agents = Dispatcher<Agent, AgentCodec>;
/// Executes commands of schedules.
pub type Schedules = Dispatcher<ScheduleDecider, ScheduleCodec>;
/// Executes commands of channels.
pub type Channels = Dispatcher<Channel, ChannelCodec>;
/// Executes commands of execution classes.
pub type Classes = Dispatcher<Class, ClassCodec>;
/// Executes commands on sessions.
pub type Sessions = Dispatcher<Session, SessionCodec>;
/// Executes commands of tasks.
pub type Tasks = Dispatcher<TaskDecider, TaskCodec>;
/// Executes commands of tokens, and caches the tokens.
pub type Tokens = Dispatcher<Token, TokenCodec>;

/// The dispatchers of this process.
#[derive(Clone, Debug)]
pub struct Dispatchers {
    /// Commands of workspaces.
    pub workspaces: Arc<Workspaces>,
    /// Commands of agents.
    pub agents: Arc<Agents>,
    /// Commands of schedules.
    pub schedules: Arc<Schedules>,
    /// Commands of channels.
    pub channels: Arc<Channels>,
    /// Commands of execution classes.
    pub classes: Arc<Classes>,
    /// Commands on sessions.
    pub sessions: Arc<Sessions>,
    /// Commands of tasks.
    pub tasks: Arc<Tasks>,
    /// Commands of tokens.
    pub tokens: Arc<Tokens>,
}

impl Dispatchers {
    /// Dispatchers on one log. `snapshots` save reading whole streams, except those of tokens: a snapshot may lag behind
    /// a revocation, so tokens are read from the log alone. All keep the streams they have seen in `cache`.
    pub fn new(log: &Arc<dyn EventLog>, snapshots: &Arc<dyn Snapshots>, cache: &StreamCache) -> Self {
        let no_snapshots: Arc<dyn Snapshots> = Arc::new(NoSnapshots);
        Self {
            workspaces: dispatcher(log, snapshots, cache),
            agents: dispatcher(log, snapshots, cache),
            schedules: dispatcher(log, snapshots, cache),
            channels: dispatcher(log, snapshots, cache),
            classes: dispatcher(log, snapshots, cache),
            sessions: dispatcher(log, snapshots, cache),
            tasks: dispatcher(log, snapshots, cache),
            tokens: dispatcher(log, &no_snapshots, cache),
        }
    }

    /// Updates the cache of the stream a commit belongs to.
    pub fn observe(&self, recorded: &Recorded) {
        self.workspaces.observe(recorded);
        self.agents.observe(recorded);
        self.schedules.observe(recorded);
        self.channels.observe(recorded);
        self.classes.observe(recorded);
        self.sessions.observe(recorded);
        self.tasks.observe(recorded);
        self.tokens.observe(recorded);
    }

    /// The dispatchers the engine uses.
    pub fn deciders(&self) -> Deciders {
        Deciders {
            tasks: self.tasks.clone(),
            schedules: self.schedules.clone(),
            classes: self.classes.clone(),
            agents: self.agents.clone(),
        }
    }
}

fn dispatcher<D: Dispatchable, C: Codec<Event = D::Event>>(
    log: &Arc<dyn EventLog>,
    snapshots: &Arc<dyn Snapshots>,
    cache: &StreamCache,
) -> Arc<Dispatcher<D, C>> {
    Arc::new(Dispatcher::new(log.clone(), snapshots.clone(), DispatcherConfig::new(cache.clone())))
}
