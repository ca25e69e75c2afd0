//! A caller's command whose kind is only known by name: on the bus and in batches.

use serde::Deserialize;

use crate::command::{
    AcceptAgentCommand, AppendTaskOutputRows, ArchiveAllOutputs, ArchiveOutput, ArchiveTask, CancelRun,
    CancelTask, CommandBody, ConfigureClass, CreateAgent, CreateSchedule, CreateTaskOutput, CreateWorkspace,
    DeleteAgent, DeleteChannelBinding, DeleteSchedule, EnqueueRunInput, FinalizeTaskOutput, IssueToken,
    PauseSchedule, PublishSourceEvent, ResumeSchedule, RetryTask, RevokeToken, SubmitTaskInput,
    TriggerSchedule, UnarchiveTask, UpdateAgent, UpdateSchedule, UpdateTask, UpdateWorkspace,
    UpsertChannelBinding,
};

macro_rules! any_command {
    ($($(#[$doc:meta])* $body:ident,)*) => {
        /// A caller's command of any kind.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(clippy::large_enum_variant, reason = "read once and taken apart at once, never kept in numbers")]
        pub enum AnyCommand {
            $($(#[$doc])* $body($body),)*
        }

        impl AnyCommand {
            /// The wire names of the commands that may be sent on the bus.
            pub const NAMES: &'static [&'static str] = &[$($body::NAME,)*];

            /// Reads the body of the command of this name.
            pub fn read<'de, D>(name: &str, body: D) -> Result<Self, ReadCommandError<D::Error>>
            where
                D: serde::Deserializer<'de>,
            {
                $(if name == $body::NAME {
                    let read = $body::deserialize(body).map(Self::$body);
                    return read.map_err(|source| ReadCommandError::Malformed { command: $body::NAME, source });
                })*
                Err(ReadCommandError::Unknown(name.to_owned()))
            }

            /// Its wire name.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$body(_) => $body::NAME,)* }
            }

            /// The key under which it may be repeated, when the body holds one.
            pub fn idempotency_key(&self) -> Option<&str> {
                match self { $(Self::$body(body) => body.idempotency_key(),)* }
            }
        }
    };
}

any_command! {
    /// Gives an agent something to do.
    AcceptAgentCommand,
    /// Says something to a task.
    SubmitTaskInput,
    /// Says something to the task of a run.
    EnqueueRunInput,
    /// Cancels a task.
    CancelTask,
    /// Cancels a run.
    CancelRun,
    /// Gives a task that ended badly another run.
    RetryTask,
    /// Puts a task away.
    ArchiveTask,
    /// Takes a task out of the archive.
    UnarchiveTask,
    /// Changes something about a task.
    UpdateTask,
    /// Tells tasks what happened outside.
    PublishSourceEvent,
    /// Introduces an agent.
    CreateAgent,
    /// Opens a workspace.
    CreateWorkspace,
    /// Sets the limits of an execution class.
    ConfigureClass,
    /// Begins a schedule.
    CreateSchedule,
    /// Changes a schedule.
    UpdateSchedule,
    /// Ends a schedule.
    DeleteSchedule,
    /// Stops a schedule for now.
    PauseSchedule,
    /// Lets a schedule go on.
    ResumeSchedule,
    /// Makes one task of a schedule now.
    TriggerSchedule,
    /// Changes an agent.
    UpdateAgent,
    /// Deletes an agent.
    DeleteAgent,
    /// Changes a workspace.
    UpdateWorkspace,
    /// Binds a channel.
    UpsertChannelBinding,
    /// Releases a channel.
    DeleteChannelBinding,
    /// Issues a token.
    IssueToken,
    /// Ends a token before its time.
    RevokeToken,
    /// Adds an output to a task.
    CreateTaskOutput,
    /// Adds rows to an output.
    AppendTaskOutputRows,
    /// Gives an output its final summary.
    FinalizeTaskOutput,
    /// Puts an output away.
    ArchiveOutput,
    /// Puts outputs of a workspace away.
    ArchiveAllOutputs,
}

/// A command that cannot be read. Reading it again gives the same answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadCommandError<E: std::error::Error + 'static> {
    /// No command has this name.
    #[error("read command {0:?}: unknown to this build")]
    Unknown(String),
    /// The body does not have the command's shape.
    #[error("read the body of command {command}")]
    Malformed {
        /// The command's wire name.
        command: &'static str,
        /// What was wrong.
        #[source]
        source: E,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_is_read_by_its_name() {
        let body = json!({"task_id": "018f0000-0000-7000-8000-000000000001", "idempotency_key": "k"});
        let command = AnyCommand::read("cancel-task", &body).unwrap();
        assert_eq!((command.name(), command.idempotency_key()), ("cancel-task", Some("k")));
    }

    #[test]
    fn an_unknown_name_and_a_wrong_body_are_told_apart() {
        let unknown = AnyCommand::read("launch-rocket", &json!({})).unwrap_err();
        assert!(matches!(unknown, ReadCommandError::Unknown(name) if name == "launch-rocket"));
        let malformed = AnyCommand::read("cancel-run", &json!({"later_slice": 1})).unwrap_err();
        assert!(matches!(malformed, ReadCommandError::Malformed { command: "cancel-run", .. }));
    }
}
