//! The streams commands are decided on.

use capstan_contract::{
    AgentCodec, ChannelCodec, ClassCodec, ScheduleCodec, SessionCodec, TaskCodec, TokenCodec, WorkspaceCodec,
};
use capstan_domain::channel;
use capstan_domain::id::{AgentId, ScheduleId, TaskId, TokenId};
use capstan_envelope::{Codec, StreamId, Workspace};
use uuid::Uuid;

use crate::problem::Problem;

/// A stream of this kind; an id that is not valid in a stream's name is not found.
fn of<C: Codec>(workspace: &Workspace, id: &str) -> Result<StreamId, Problem> {
    StreamId::new(workspace.clone(), C::CATEGORY, id).map_err(|_| Problem::not_found(C::CATEGORY))
}

/// The stream of a workspace.
pub(crate) fn workspace(workspace: &Workspace) -> Result<StreamId, Problem> {
    of::<WorkspaceCodec>(workspace, workspace.as_str())
}

/// The stream of an agent.
pub(crate) fn agent(workspace: &Workspace, id: AgentId) -> Result<StreamId, Problem> {
    of::<AgentCodec>(workspace, &id.to_string())
}

/// The stream of a schedule.
pub(crate) fn schedule(workspace: &Workspace, id: ScheduleId) -> Result<StreamId, Problem> {
    of::<ScheduleCodec>(workspace, &id.to_string())
}

/// The stream of a task.
pub(crate) fn task(workspace: &Workspace, id: TaskId) -> Result<StreamId, Problem> {
    of::<TaskCodec>(workspace, &id.to_string())
}

/// The stream of a session of an agent.
pub(crate) fn session(workspace: &Workspace, id: Uuid) -> Result<StreamId, Problem> {
    of::<SessionCodec>(workspace, &id.to_string())
}

/// The stream of a token.
pub(crate) fn token(workspace: &Workspace, id: TokenId) -> Result<StreamId, Problem> {
    of::<TokenCodec>(workspace, &id.to_string())
}

/// The stream of an execution class.
pub(crate) fn class(workspace: &Workspace, instance_key: &str) -> Result<StreamId, Problem> {
    of::<ClassCodec>(workspace, instance_key)
}

/// The stream of a channel: one for all workspaces, so that two workspaces that bind the same address conflict.
pub(crate) fn channel(address: &channel::Address) -> Result<StreamId, Problem> {
    let shared = Workspace::new(channel::WORKSPACE).map_err(Problem::internal)?;
    of::<ChannelCodec>(&shared, &address.channel_id().to_string())
}
