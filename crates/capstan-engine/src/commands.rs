//! Streams of the commands an engine sends.

use capstan_envelope::{Codec, StreamId, Workspace};

/// The stream of something in a workspace; none for names no stream can have.
pub(crate) fn stream_of<C: Codec>(workspace: &str, id: &str) -> Option<StreamId> {
    StreamId::new(Workspace::new(workspace).ok()?, C::CATEGORY, id).ok()
}
