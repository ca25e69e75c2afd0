//! The identities of things, one newtype each.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha1::{Digest as _, Sha1};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The namespace of every derived id, so that ids of this system never meet those of another.
const CAPSTAN: Uuid = Uuid::from_u128(0x6361_7073_7461_6e00_8000_0000_0000_0001);

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[serde(deserialize_with = "uuid::serde::hyphenated::deserialize")] pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            /// Reads the hyphenated form, in any case: one id has one form.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<Hyphenated>().map(|id| Self(id.into_uuid()))
            }
        }
    )*};
}

uuid_ids! {
    /// An agent: derived from workspace and agent key, so a key names exactly one agent.
    AgentId,
    /// A task; derived from the idempotency key when one is given.
    TaskId,
    /// A run of a task: derived from the task and the run's number.
    RunId,
    /// A schedule; derived from the idempotency key when one is given.
    ScheduleId,
    /// An output of a task.
    OutputId,
    /// An entry of a task's inbox.
    InputId,
    /// A question a task waits on.
    BlockerId,
    /// A channel: derived from its type and address, the same for all workspaces.
    ChannelId,
    /// A workspace's binding of a channel: derived from the workspace and the channel.
    BindingId,
    /// A deferred tool call; the id is also the idempotency key of its execution.
    ToolCallId,
    /// A source watch of a task.
    WatchId,
    /// A token; derived from the idempotency key when one is given.
    TokenId,
    /// A worker process, as long as it is registered.
    WorkerId,
}

/// Derives a stable id from parts: the same parts always give the same id, and no joining of parts can make
/// two different lists collide.
pub fn derived(parts: &[&str]) -> Uuid {
    let mut name = String::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // Writing to a string cannot fail.
        let _ = write!(name, "{}:{part}", part.len());
    }
    // As `Uuid::new_v5`, by a hash that uses the instructions of the processor: a task's commits derive dozens of ids.
    let hash = Sha1::new_with_prefix(CAPSTAN.as_bytes()).chain_update(&name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

/// Declares the ids that are derived, each from the name of its kind and its parts, in this order.
macro_rules! derived_ids {
    ($($(#[$doc:meta])* $name:ident::$function:ident($kind:literal, $($part:ident: $type:ty),*);)*) => {$(
        impl $name {
            $(#[$doc])*
            pub fn $function($($part: $type),*) -> Self {
                Self(derived(&[$kind, $(&$part.to_string()),*]))
            }
        }
    )*};
}

derived_ids! {
    /// The id of the agent with this key.
    AgentId::from_key("agent", workspace: &str, agent_key: &str);
    /// The id of the channel of this type and address.
    ChannelId::from_address("channel", channel_type: &str, address: &str);
    /// The id of a workspace's binding of a channel.
    BindingId::for_channel("channel-binding", workspace: &str, channel: ChannelId);
    /// The id of the task a keyed command creates.
    TaskId::from_key("task", workspace: &str, agent: AgentId, idempotency_key: &str);
    /// The id of the task of a schedule's tick, by the tick's Unix time. It is of a kind of its own, like every id below that
    /// no caller chooses: whatever key or name a caller writes, it is not the id of what the system makes.
    TaskId::of_tick("tick-task", workspace: &str, agent: AgentId, schedule: ScheduleId, tick: i64);
    /// The id of the task a keyed trigger of a schedule creates.
    TaskId::of_trigger("trigger-task", workspace: &str, agent: AgentId, schedule: ScheduleId, idempotency_key: &str);
    /// The id of the schedule a keyed command creates.
    ScheduleId::from_key("schedule", workspace: &str, idempotency_key: &str);
    /// The id of the subtask at this place in a run's list, counted from 0.
    TaskId::for_subtask("subtask", parent_run: RunId, index: u32);
    /// The id of the tool call a blocker decides.
    ToolCallId::for_blocker("tool-call", blocker: BlockerId);
    /// The id of the watch at this place in a run's list, counted from 0.
    WatchId::for_run("watch", run: RunId, index: u32);
    /// The id of the token a keyed command issues.
    TokenId::from_key("token", workspace: &str, idempotency_key: &str);
    /// The id of a task's nth run, counted from 1.
    RunId::for_task("run", task: TaskId, number: u32);
    /// The id of the input that a keyed command brings, by the wire name of the command: keys are per command.
    InputId::from_key("input", task: TaskId, command: &str, idempotency_key: &str);
    /// The id of the input with which the system tells a task of what it waited for, by the input's number.
    InputId::of_report("report", task: TaskId, seq: u32);
    /// The id of the input that tells a task of a batch of source events, by the batch's fingerprint.
    InputId::of_batch("watch-batch", task: TaskId, fingerprint: &str);
    /// The id of an output its producer named: stable inside a task, different between tasks.
    OutputId::from_name("output", task: TaskId, name: &str);
    /// The id of an output its producer gave an id: as stable as a name, and no name.
    OutputId::from_id("output-id", task: TaskId, id: OutputId);
    /// The id of an output without a name, by the key of the command that produced it.
    OutputId::of_key("output-key", task: TaskId, key: &str);
    /// The id of the output that an executed tool call gives.
    OutputId::of_tool_call("tool-call-output", task: TaskId, tool_call: ToolCallId);
    /// The id of a task's nth blocker, counted from 1.
    BlockerId::for_task("blocker", task: TaskId, revision: u32);
}

/// A try at a run: the fence every worker call carries.
///
/// The id names its task and the lease epoch, so that a call can be routed and judged without a look-up. On
/// the wire it is one opaque string, `<workspace>.<task>.<epoch>`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr, JsonSchema,
)]
#[schemars(
    with = "String",
    extend(
        "pattern" = r"^[^.]+\.[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\.[0-9]{1,20}$",
        "examples" = ["dev.01890a5d-ac96-774b-bcce-b302099a8057.1"]
    )
)]
pub struct AttemptId {
    /// The task's workspace.
    pub workspace: String,
    /// The task whose run is tried.
    pub task: TaskId,
    /// The lease epoch: grows with every lease of the task, never repeats.
    pub epoch: u64,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.workspace, self.task, self.epoch)
    }
}

/// A text that is no attempt id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an attempt id such as dev.01890a5d-ac96-774b-bcce-b302099a8057.1")]
pub struct ParseAttemptIdError;

impl FromStr for AttemptId {
    type Err = ParseAttemptIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '.');
        let (Some(workspace), Some(task), Some(epoch)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ParseAttemptIdError);
        };
        let task = task.parse().map_err(|_| ParseAttemptIdError)?;
        let epoch = epoch.parse().map_err(|_| ParseAttemptIdError)?;
        if workspace.is_empty() {
            return Err(ParseAttemptIdError);
        }
        Ok(Self { workspace: workspace.to_owned(), task, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_a_uuid_of_version_5() {
        assert_eq!(derived(&["a", "bc", ""]), Uuid::new_v5(&CAPSTAN, b"1:a2:bc0:"));
    }

    #[test]
    fn derived_ids_do_not_collide_when_parts_are_joined() {
        assert_ne!(derived(&["a", "bc"]), derived(&["ab", "c"]));
        assert_eq!(derived(&["a", "b"]), derived(&["a", "b"]));
    }

    #[test]
    fn a_key_is_another_one_for_another_agent_and_a_name_for_another_task() {
        let task = |agent: &str| TaskId::from_key("dev", AgentId::from_key("dev", agent), "k");
        assert_eq!(task("one"), task("one"));
        assert_ne!(task("one"), task("two"));
        let output = |agent: &str| OutputId::from_name(task(agent), "report");
        assert_eq!(output("one"), output("one"));
        assert_ne!(output("one"), output("two"));
    }

    #[test]
    fn no_key_and_no_name_of_a_caller_is_the_id_of_what_the_system_makes() {
        let agent = AgentId::from_key("dev", "demo");
        let task = TaskId::from_key("dev", agent, "k");
        let schedule = ScheduleId::from_key("dev", "s");
        let given = OutputId(Uuid::from_u128(7));
        let call = ToolCallId(Uuid::from_u128(8));
        for (made, key) in [
            (InputId::of_report(task, 3), "report:3"),
            (InputId::of_report(task, 3), "3"),
            (InputId::of_batch(task, "f"), "watch:f"),
            (InputId::of_batch(task, "f"), "f"),
        ] {
            assert_ne!(made, InputId::from_key(task, "submit-task-input", key), "{key}");
        }
        for (made, name) in [
            (OutputId::of_key(task, "k"), "key:k".to_owned()),
            (OutputId::of_key(task, "k"), "k".to_owned()),
            (OutputId::from_id(task, given), given.to_string()),
            (OutputId::of_tool_call(task, call), format!("tool-call:{call}")),
            (OutputId::of_tool_call(task, call), call.to_string()),
        ] {
            assert_ne!(made, OutputId::from_name(task, &name), "{name}");
        }
        for (made, key) in [
            (TaskId::of_tick("dev", agent, schedule, 9), format!("schedule:{schedule}:9")),
            (TaskId::of_trigger("dev", agent, schedule, "k"), format!("dev/schedule/{schedule}:k")),
        ] {
            assert_ne!(made, TaskId::from_key("dev", agent, &key), "{key}");
        }
    }

    #[test]
    fn an_id_has_one_form_in_any_case() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let read = |text: &str| (text.parse().ok(), serde_json::from_value::<TaskId>(text.into()).ok());
        let known = Some(TaskId(Uuid::parse_str(id).unwrap()));
        assert_eq!([read(id), read(&id.to_uppercase())], [(known, known); 2]);
        for other in [id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}"), format!(" {id}")] {
            assert_eq!(read(&other), (None, None), "{other}");
        }
    }

    #[test]
    fn an_attempt_id_reads_back_from_its_text() {
        let id = AttemptId { workspace: "dev".into(), task: TaskId(Uuid::nil()), epoch: 7 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("dev.7".parse::<AttemptId>(), Err(ParseAttemptIdError));
    }
}
