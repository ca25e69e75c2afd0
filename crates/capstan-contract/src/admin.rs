//! Requests of administrators about the installation: its read models and its dead letters. They are served over HTTP only.

mod dead_letter;
mod projection;

pub use dead_letter::{DeadLetterId, DiscardDeadLetter, GetDeadLetter, ListDeadLetters, RetryDeadLetter};
pub use projection::{ListProjections, RebuildProjection, VerifyProjection};

use crate::command::Unconditional;
use crate::requests;

requests! {
    /// Every request about the installation and the JSON Schema of its fields.
    pub ADMIN_REQUESTS:
    ListProjections(Unconditional) = "list-projections", Get "/v1/admin/projections";
    RebuildProjection(Unconditional) = "rebuild-projection", Post "/v1/admin/projections/{name}/rebuild";
    VerifyProjection(Unconditional) = "verify-projection", Post "/v1/admin/projections/{name}/verify";
    ListDeadLetters(Unconditional) = "list-dead-letters", Get "/v1/admin/deadletters";
    GetDeadLetter(Unconditional) = "get-dead-letter", Get "/v1/admin/deadletters/{dead_letter_id}";
    RetryDeadLetter(Unconditional) = "retry-dead-letter", Post "/v1/admin/deadletters/{dead_letter_id}/retry";
    DiscardDeadLetter(Unconditional) = "discard-dead-letter", Post "/v1/admin/deadletters/{dead_letter_id}/discard";
}
