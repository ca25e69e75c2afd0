//! Values that an event of a commit says and a later one, or a later field, repeats: the functions of the field that says
//! one, which note it, and those of the field that repeats it.

#![expect(clippy::ptr_arg, clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::context::{Said, SaidRun, implied, is_stored, said, say, this_task, this_workspace, unsaid};
use super::frozen::{is_text_kind, text_kind};
use super::quoted::{quotable, quotable_option, quotable_value};
use crate::class_key::execution_class_key;
use crate::id::{AgentId, BindingId, BlockerId, InputId, OutputId, RunId, TaskId, ToolCallId};
use crate::policy::{RunPolicy, based};
use crate::task::event::{
    AttemptOutcome, BlockerKind, InputKind, InputNumbers, InputSource, ItemDecision, Join, Opening,
    OutputStatus, RunCause, RunStatus, Verdict,
};

/// Declares the functions of a field that says something: it is written as always, and noted.
macro_rules! noting {
    ($($(#[$meta:meta])* $module:ident($value:ident: $type:ty) |$said:ident| $note:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) mod $module {
            use super::*;

            fn note($value: &$type) {
                say(|$said| $note);
            }

            pub(crate) fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                note(value);
                value.serialize(serializer)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let value = <$type>::deserialize(deserializer)?;
                note(&value);
                Ok(value)
            }
        }
    )*};
}

pub(super) use noting;

noting! {
    action(value: Option<Verdict>) |said| said.action = *value;
    items(value: Vec<ItemDecision>) |said| said.items.clone_from(value);
    /// The caller's text, when the agent receives another one.
    text(value: Option<String>) |said| {
        said.text.clone_from(value);
        quotable_option(said, value.as_deref());
    };
    /// A text that the message to the agent may quote.
    told(value: String) |said| quotable(said, value);
    optional_told(value: Option<String>) |said| quotable_option(said, value.as_deref());
    result_told(value: Option<Value>) |said| quotable_value(said, value.as_ref());
    /// An output that is not the next one.
    changed_output(value: OutputId) |said| {
        said.output = Some(*value);
        let place = said.items.iter().position(|item| item.output_id == *value);
        said.next_item = place.unwrap_or(said.next_item);
    };
    /// The status that an output gets, which every change of one has: it counts them.
    changed_status(value: OutputStatus) |said| {
        said.output_status = Some(*value);
        said.next_item = said.next_item.saturating_add(1);
    };
    blocker_kind(value: BlockerKind) |said| said.blocker_kind = Some(*value);
    /// The wait of a run for the subtasks it requests, before those.
    join(value: Join) |said| {
        said.join = Some(*value);
        said.together.clear();
    };
    input(value: InputId) |said| said.input = Some(*value);
    /// The number of an input, before its other fields.
    input_no(value: u32) |said| {
        (said.input_no, said.source, said.message) = (Some(*value), None, None);
        (said.text, said.action, said.next_item) = (None, None, 0);
        said.is_input_open = true;
        said.items.clear();
    };
    source(value: InputSource) |said| said.source = Some(*value);
    cause(value: RunCause) |said| said.cause = Some(*value);
    outcome(value: AttemptOutcome) |said| said.outcome = Some(*value);
    exit_code(value: Option<i32>) |said| said.exit_code = *value;
    error(value: Option<String>) |said| said.error.clone_from(value);
    /// An error that is always there, or the reason of a request to stop.
    failure(value: String) |said| said.error = Some(value.clone());
    agent_key(value: String) |said| said.agent_key = Some(value.clone());
    agent(value: AgentId) |said| said.agent = Some(*value);
    summary(value: String) |said| said.summary = Some(value.clone());
    details(value: Option<String>) |said| said.details.clone_from(value);
    arguments(value: Value) |said| said.arguments = (!value.is_null()).then(|| format!("{value:#}"));
    tool_call(value: ToolCallId) |said| said.tool_call = Some(*value);
    tick(value: chrono::DateTime<chrono::Utc>) |said| said.tick = Some(*value);
    run_no(value: u32) |said| said.run = Some(SaidRun::Number(*value));
    /// The workspace that holds a channel, whose stream is in none.
    tenant(value: String) |said| said.tenant = Some(value.clone());
    batch(value: String) |said| said.batch = Some(value.clone());
    /// The schedule: the fields behind it follow from it.
    schedule_id(value: Option<String>) |said| said.schedule_id.clone_from(value);
    /// The parent: the fields behind it follow from it.
    parent_task(value: Option<TaskId>) |said| said.parent = *value;
    /// What a caller triggered is named after its task; the occasion of a tick is written.
    occasion(value: Option<String>) |said| said.occasion.clone_from(value);
    /// The number of a blocker within its task, which names it.
    revision(value: u32) |said| said.revision = Some(*value);
}

/// Declares the functions of an optional field that repeats what was said: its default, and whether it is that.
macro_rules! repeated {
    ($($(#[$meta:meta])* $name:ident, $is_name:ident: $type:ty = $said:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) fn $name() -> $type {
            $said
        }

        pub(crate) fn $is_name(value: &$type) -> bool {
            *value == if is_stored() { $name() } else { <$type>::default() }
        }
    )*};
}

pub(super) use repeated;

repeated! {
    exit_code, is_exit_code: Option<i32> = said(|said| said.exit_code);
    error, is_error: Option<String> = said(|said| said.error.clone());
    action, is_action: Option<Verdict> = said(|said| said.action);
    items, is_items: Vec<ItemDecision> = said(|said| Some(said.items.clone())).unwrap_or_default();
    optional_input, is_optional_input: Option<InputId> = said(|said| said.input);
    /// The input of the commit is what its run delivers.
    inputs, is_inputs: InputNumbers = said(|said| said.input_no).into_iter().collect();
    /// The details of a question are those of the tool call that it decides; without one, a question that a person answers
    /// has no others than its summary.
    details, is_details: Option<String> = said(|said| match (said.tool_call, said.blocker_kind) {
        (Some(_), _) => said.details.clone(),
        (None, Some(BlockerKind::Input | BlockerKind::Approval)) => said.summary.clone(),
        (None, _) => None,
    });
    summarised, is_summarised: Option<String> = said(|said| said.summary.clone());
    /// An output is decided on for the reason of its own decision, or with the text that rejects all of them.
    decided_reason, is_decided_reason: Option<String> = said(|said| {
        if said.items.is_empty() {
            return spoken().filter(|_| said.output_status == Some(OutputStatus::Rejected));
        }
        said.items.iter().find(|item| Some(item.output_id) == said.output)?.reason.clone()
    });
    /// A wait is for the subtasks that were requested together.
    together, is_together: Vec<TaskId> = said(|said| Some(said.together.clone())).unwrap_or_default();
    optional_tool_call, is_optional_tool_call: Option<ToolCallId> = said(|said| said.tool_call);
    /// What the caller said in an answer: its text, which is the message unless the agent receives another one.
    spoken, is_spoken: Option<String> = said(|said| {
        let message = said.message.clone().filter(|_| said.action.is_none());
        said.text.clone().or(message).filter(|text| !text.is_empty())
    });
    /// A run resumes the session of the one before.
    previous_run, is_previous_run: Option<RunId> = said(|said| match (said.run, this_task()) {
        (Some(SaidRun::Number(number @ 2..)), Some(task)) => Some(RunId::for_task(task, number - 1)),
        _ => None,
    });
}

/// Declares the functions of a field that is always there and repeats what was said.
macro_rules! required {
    ($($(#[$meta:meta])* $name:ident, $is_name:ident: $type:ty = $said:expr, else $place_holder:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) fn $name() -> $type {
            $said.unwrap_or_else(|| unsaid($place_holder))
        }

        pub(crate) fn $is_name(value: &$type) -> bool {
            $said.is_some_and(|said| said == *value)
        }
    )*};
}

required! {
    input, is_input: InputId = said(|said| said.input), else InputId(Uuid::nil());
    failure, is_failure: String = said(|said| said.error.clone()), else String::new();
    /// The first run tells the message; any later one, unless it says otherwise, only its inputs.
    opening, is_opening: Opening = said(|said| said.cause.map(opening_of)), else Opening::Nothing;
    summary, is_summary: String = said(|said| said.summary.clone()), else String::new();
    tick, is_tick: chrono::DateTime<chrono::Utc> = said(|said| said.tick), else chrono::DateTime::default();
    /// A run ends as its attempt did.
    status, is_status: RunStatus = said(|said| said.outcome.map(status_of)), else RunStatus::Error;
    requested_join, is_requested_join: Join = said(|said| said.join), else Join::None;
    /// A call is decided on with the blocker that asks about it.
    decided_call, is_decided_call: ToolCallId =
        said(|said| said.blocker).map(ToolCallId::for_blocker), else ToolCallId(Uuid::nil());
    /// The key of a worker's report names the call.
    keyed_call, is_keyed_call: ToolCallId = part_of_key::<ToolCallId>(), else ToolCallId(Uuid::nil());
    numbered_blocker, is_numbered_blocker: BlockerId = this_task().zip(said(|said| said.revision))
        .map(|(task, revision)| BlockerId::for_task(task, revision)), else BlockerId(Uuid::nil());
    /// The key of a worker's command names the part of the attempt that it is about.
    keyed_output, is_keyed_output: OutputId = part_of_key::<OutputId>(), else OutputId(Uuid::nil());
    /// An output without a name has the id of its command's key.
    unnamed_output, is_unnamed_output: OutputId = this_task().zip(implied(|implied| implied.key.clone()))
        .map(|(task, key)| OutputId::of_key(task, &key)), else OutputId(Uuid::nil());
    /// A binding has the id of its workspace and channel.
    binding, is_binding: BindingId = said(|said| said.tenant.clone())
        .zip(implied(|implied| implied.entity))
        .map(|(tenant, channel)| BindingId::for_channel(&tenant, channel.into())), else BindingId(Uuid::nil());
    /// The execution class follows from agent, lane and policy.
    instance_key, is_instance_key: String = this_workspace().and_then(|workspace| said(|said| {
        Some(execution_class_key(&workspace, said.agent?, said.lane.as_deref(), said.policy.as_ref()?))
    })), else String::new();
}

/// The id between the first two slashes of the key.
fn part_of_key<T: std::str::FromStr>() -> Option<T> {
    implied(|implied| implied.key.as_deref()?.split('/').nth(1)?.parse().ok())
}

fn opening_of(cause: RunCause) -> Opening {
    if cause == RunCause::Accepted { Opening::Message } else { Opening::Nothing }
}

fn status_of(outcome: AttemptOutcome) -> RunStatus {
    match outcome {
        AttemptOutcome::Ok => RunStatus::Ok,
        AttemptOutcome::Error | AttemptOutcome::Lost => RunStatus::Error,
        AttemptOutcome::Timeout => RunStatus::Timeout,
        AttemptOutcome::Cancelled => RunStatus::Cancelled,
    }
}

/// The value of a field that is left out and that later ones repeat: noted, as the functions of its field would.
pub(super) fn noted<T>(follows: T, note: impl FnOnce(&mut Said, &T)) -> T {
    say(|said| note(said, &follows));
    follows
}

/// True for a value that is left out because it follows: then it is noted all the same.
pub(super) fn is_noted<T: PartialEq>(value: &T, follows: &T, note: impl FnOnce(&mut Said, &T)) -> bool {
    let is_left_out = value == follows;
    if is_left_out {
        say(|said| note(said, value));
    }
    is_left_out
}

fn note_input(said: &mut Said, input: &Option<InputId>) {
    said.input = *input;
}

/// The policy of a task, which its execution class follows from.
pub(crate) mod policy {
    use super::{Deserializer, RunPolicy, Serializer, based, is_stored, say};

    fn note(policy: &RunPolicy) {
        if is_stored() {
            say(|said| said.policy = Some(policy.clone()));
        }
    }

    pub(crate) fn serialize<S: Serializer>(policy: &RunPolicy, serializer: S) -> Result<S::Ok, S::Error> {
        note(policy);
        based::serialize(policy, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunPolicy, D::Error> {
        let policy = based::deserialize(deserializer)?;
        note(&policy);
        Ok(policy)
    }
}

fn note_details(said: &mut Said, details: &Option<String>) {
    said.details.clone_from(details);
}

/// The arguments of a tool call as lines of JSON, which is how they are shown where nothing is known about the tool.
pub(crate) fn shown_arguments() -> Option<String> {
    noted(said(|said| said.arguments.clone()), note_details)
}

pub(crate) fn is_shown_arguments(value: &Option<String>) -> bool {
    is_noted(value, &said(|said| said.arguments.clone()), note_details)
}

fn note_action(said: &mut Said, action: &Option<Verdict>) {
    said.action = *action;
}

/// The decision as a whole is what the single ones mean together.
pub(crate) fn whole_action() -> Option<Verdict> {
    noted(verdict_of_items(), note_action)
}

pub(crate) fn is_whole_action(value: &Option<Verdict>) -> bool {
    is_noted(value, &verdict_of_items(), note_action)
}

fn verdict_of_items() -> Option<Verdict> {
    said(|said| Verdict::from_items(&said.items))
}

/// An input with a decision is one.
pub(crate) fn input_kind() -> InputKind {
    if decides() { InputKind::ApproveReject } else { text_kind() }
}

pub(crate) fn is_input_kind(value: &InputKind) -> bool {
    if decides() { *value == InputKind::ApproveReject } else { is_text_kind(value) }
}

fn decides() -> bool {
    said(|said| said.action).is_some()
}

fn note_output(said: &mut Said, output: &Option<OutputId>) {
    said.output = *output;
}

/// The output of the decision that was counted last: an absent field is filled in behind its status.
pub(crate) fn next_output() -> OutputId {
    let counted = said(|said| Some(said.items.get(said.next_item.checked_sub(1)?)?.output_id));
    noted(counted, note_output).unwrap_or_else(|| unsaid(OutputId(Uuid::nil())))
}

/// Whether it is left out is decided before the change is counted.
pub(crate) fn is_next_output(value: &OutputId) -> bool {
    let next = said(|said| Some(said.items.get(said.next_item)?.output_id));
    is_noted(&Some(*value), &next, note_output)
}

fn note_agent(said: &mut Said, agent: &Option<AgentId>) {
    said.agent = *agent;
}

/// An agent has the id of its key.
pub(crate) fn keyed_agent() -> AgentId {
    noted(agent_of_key(), note_agent).unwrap_or_else(|| unsaid(AgentId(Uuid::nil())))
}

pub(crate) fn is_keyed_agent(value: &AgentId) -> bool {
    is_noted(&Some(*value), &agent_of_key(), note_agent)
}

fn agent_of_key() -> Option<AgentId> {
    let (key, workspace) = said(|said| said.agent_key.clone()).zip(this_workspace())?;
    Some(AgentId::from_key(&workspace, &key))
}

/// The input that tells of a batch of source events.
pub(crate) fn batch_input() -> InputId {
    noted(input_of_batch(), note_input).unwrap_or_else(|| unsaid(InputId(Uuid::nil())))
}

pub(crate) fn is_batch_input(value: &InputId) -> bool {
    is_noted(&Some(*value), &input_of_batch(), note_input)
}

fn input_of_batch() -> Option<InputId> {
    let (task, batch) = this_task().zip(said(|said| said.batch.clone()))?;
    Some(InputId::of_batch(task, &batch))
}

pub(crate) fn accepted_input() -> InputId {
    noted(input_of_source(), note_input).unwrap_or_else(|| unsaid(InputId(Uuid::nil())))
}

/// serde asks first for the number of fields, when neither the number nor the source of the input is noted: what it would
/// follow from then is the event before.
pub(crate) fn is_accepted_input(value: &InputId) -> bool {
    let is_open = said(|said| Some(said.is_input_open)).unwrap_or_default();
    is_open && is_noted(&Some(*value), &input_of_source(), note_input)
}

/// What a task waited for is told with an input that has the id of its number. The input of a command with an idempotency key
/// has the id of the key; that of an event of the commit was named by it.
fn input_of_source() -> Option<InputId> {
    match said(|said| said.source).unwrap_or(InputSource::Caller) {
        InputSource::Subtasks | InputSource::ToolCall | InputSource::Deadline => {
            let (task, seq) = this_task().zip(said(|said| said.input_no))?;
            Some(InputId::of_report(task, seq))
        }
        InputSource::Caller | InputSource::Watch => said(|said| said.input).or_else(|| {
            let (command, key) = implied(|implied| Some((implied.command.clone(), implied.key.clone()?)))?;
            Some(InputId::from_key(this_task()?, &command, &key))
        }),
    }
}
