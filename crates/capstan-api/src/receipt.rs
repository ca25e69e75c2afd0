//! The reply to a command that was accepted.

use capstan_dispatch::{CommandContext, Decided, Dispatchable};
use capstan_domain::id::{InputId, OutputId, TaskId};
use capstan_domain::task::event::InputOutcome;
use capstan_envelope::{Position, StreamId};
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::answered::{Answered, Object};
use crate::auth::bearer::Secret;

/// The proof that a command is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receipt {
    /// The command; the id of its commit.
    pub command_id: Uuid,
    /// The entity that `version` counts the commits of: the id of a task, of an agent, a schedule, a token or a channel's
    /// binding, the key of a class, the name of a workspace. Absent when the command may be about many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Reads at this position show its effect.
    pub position: Position,
    /// The entity's version after it.
    pub version: u64,
    /// True when the command had been executed before and was not executed again.
    pub duplicate: bool,
}

/// The kind of a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// The command created the entity.
    Created,
    /// The command is stored; its effect follows.
    Accepted,
    /// The command took effect, or had taken it before.
    Done,
}

impl Success {
    /// The HTTP status, which replies over NATS carry too.
    pub fn status(self) -> u16 {
        match self {
            Self::Created => 201,
            Self::Accepted => 202,
            Self::Done => 200,
        }
    }
}

/// The reply to a command.
#[derive(Debug)]
pub struct Reply {
    /// The kind of success.
    pub success: Success,
    /// The proof that the command is stored.
    pub receipt: Receipt,
    /// The id and the outcome of an input; the outcome is absent in a repeat of a command that is archived.
    pub input: Option<(InputId, Option<InputOutcome>)>,
    /// True when the command became an input of its session's task.
    pub continued: bool,
    /// The output of a task that the command is about.
    pub output_id: Option<OutputId>,
    /// The task that a schedule made.
    pub task_id: Option<TaskId>,
    /// True when the caller preferred a reply without the entity.
    pub is_minimal: bool,
    /// The entity by its name; absent when the read models are too far behind to show it.
    pub entity: Option<(&'static str, Box<RawValue>)>,
    /// Version and position of the entity shown, when they differ from the receipt.
    pub shown_at: Option<(u64, Position)>,
    /// The secret of a new token, which is returned only once and not stored.
    pub secret: Option<Secret>,
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("receipt", &self.receipt)?;
        if self.continued {
            body.serialize_entry("continued", &true)?;
        }
        if let Some((input_id, outcome)) = &self.input {
            // A repeat changes nothing; the outcome of the first one is shown beside it.
            if self.receipt.duplicate {
                body.serialize_entry("outcome", "duplicate")?;
                if let Some(outcome) = outcome {
                    body.serialize_entry("first_outcome", outcome)?;
                }
            } else {
                body.serialize_entry("outcome", outcome)?;
            }
            body.serialize_entry("input_id", input_id)?;
        }
        if let Some(task_id) = &self.task_id {
            body.serialize_entry("task_id", task_id)?;
        }
        if let Some(output_id) = &self.output_id {
            body.serialize_entry("output_id", output_id)?;
        }
        if let Some((name, json)) = &self.entity {
            body.serialize_entry(name, json)?;
        }
        if let Some(secret) = &self.secret {
            body.serialize_entry("secret", secret)?;
        }
        body.end()
    }
}

impl Reply {
    /// The reply to a command that was accepted.
    pub(crate) fn new<D: Dispatchable>(
        success: Success,
        stream: &StreamId,
        context: &CommandContext,
        decided: &Decided<D>,
    ) -> Self {
        let receipt = Receipt {
            command_id: context.command_id,
            id: Some(stream.id().to_owned()),
            position: decided.position,
            version: decided.version,
            duplicate: decided.duplicate,
        };
        // A repeat creates nothing.
        let success = if decided.duplicate { Success::Done } else { success };
        Self::from_receipt(success, receipt)
    }

    /// A reply with this receipt and no entity yet.
    pub(crate) fn from_receipt(success: Success, receipt: Receipt) -> Self {
        Self {
            success,
            receipt,
            input: None,
            continued: false,
            output_id: None,
            task_id: None,
            is_minimal: false,
            entity: None,
            shown_at: None,
            secret: None,
        }
    }

    /// Shows the entity as the read models have it, possibly later than the command.
    #[must_use]
    pub(crate) fn showing_object(mut self, name: &'static str, object: Option<Object>) -> Self {
        if let Some(Object { json, version, position }) = object {
            self.entity = Some((name, json));
            self.shown_at = Some((version, position));
        }
        self
    }

    /// Shows a value under this name.
    #[must_use]
    pub(crate) fn showing(mut self, name: &'static str, value: &impl Serialize) -> Self {
        self.entity = serde_json::value::to_raw_value(value).ok().map(|json| (name, json));
        self
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        let stored = &reply.receipt;
        let (version, position) = reply.shown_at.unwrap_or((stored.version, stored.position));
        Self {
            status: reply.success.status(),
            position: Some(position.later_of(stored.position)),
            version: Some(version),
            is_secret: reply.secret.is_some(),
            is_minimal: reply.is_minimal,
            ..Self::json(&reply)
        }
    }
}
