//! Requests of administrators about the installation: its read models and its dead letters. They are served over HTTP only.

mod dead_letter;
mod projection;

pub use dead_letter::{DeadLetterId, DiscardDeadLetter, GetDeadLetter, ListDeadLetters, RetryDeadLetter};
pub use projection::{ListProjections, RebuildProjection, VerifyProjection};

use crate::command::Unconditional;
use crate::requests;

/// Hands the requests about the installation to a macro, as [`requests!`] takes them.
#[macro_export]
macro_rules! for_each_admin_request {
    ($callback:ident $($before:tt)*) => {
        $callback! {
            $($before)*
            ListProjections(Unconditional) = "list-projections", Get "/v1/admin/projections"
                => [200, List("projection"), Admin, "the read models and their progress"];
            RebuildProjection(Unconditional) = "rebuild-projection", Post "/v1/admin/projections/{name}/rebuild"
                => [200 202, Object("rebuild"), Admin, "rebuilds a read model"];
            VerifyProjection(Unconditional) = "verify-projection", Post "/v1/admin/projections/{name}/verify"
                => [200 202, Object("verification"), Admin, "compares the rows of a read model with the log"];
            ListDeadLetters(Unconditional) = "list-dead-letters", Get "/v1/admin/deadletters"
                => [200, List("dead-letter"), Admin, "dead letters: commands and commits that could not be processed"];
            GetDeadLetter(Unconditional) = "get-dead-letter", Get "/v1/admin/deadletters/{dead_letter_id}"
                => [200, Object("dead-letter"), Admin, "one dead letter"];
            RetryDeadLetter(Unconditional) = "retry-dead-letter", Post "/v1/admin/deadletters/{dead_letter_id}/retry"
                => [200, Object("handled-dead-letter"), Admin, "retries a dead letter"];
            DiscardDeadLetter(Unconditional) = "discard-dead-letter", Post "/v1/admin/deadletters/{dead_letter_id}/discard"
                => [200, Object("handled-dead-letter"), Admin, "discards the dead letter of a command"];
        }
    };
}

for_each_admin_request! { requests
    /// Every request about the installation and the JSON Schema of its fields.
    pub ADMIN_REQUESTS:
}
