//! Streams and contexts of the commands an engine sends.

use capstan_dispatch::CommandContext;
use capstan_envelope::{Actor, Codec, StreamId, Workspace};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The stream of something in a workspace; none for names no stream can have.
pub(crate) fn stream_of<C: Codec>(workspace: &str, id: &str) -> Option<StreamId> {
    StreamId::new(Workspace::new(workspace).ok()?, C::CATEGORY, id).ok()
}

/// The context of a command of the engine that belongs to the conversation of another stream.
pub(crate) fn context(
    command_id: Uuid,
    command: &'static str,
    correlation_id: Uuid,
    at: DateTime<Utc>,
) -> CommandContext {
    CommandContext { correlation_id, ..CommandContext::new(command_id, command, Actor::Engine, at) }
}
