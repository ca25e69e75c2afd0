//! The query parameters of the operations, as data for the published documents.
//!
//! Handlers take parameters by name, see [`Parameters`](crate::http::parameters::Parameters). A test compares the
//! parameters every route takes with this list.

/// One query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryParameter {
    /// Name in the query string.
    pub name: &'static str,
    /// Type of the value.
    pub kind: ParameterKind,
    /// Description in one line.
    pub summary: &'static str,
}

/// The type of a parameter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any text.
    Text,
    /// A whole number from 0.
    Number,
    /// `true` or `false`.
    Flag,
    /// An instant in RFC 3339.
    Instant,
    /// A UUID.
    Id,
    /// One of these values.
    OneOf(&'static [&'static str]),
    /// Some of these values, separated by commas.
    Some(&'static [&'static str]),
    /// Words, separated by commas.
    Words,
}

use ParameterKind::{Flag, Id, Instant, Number, OneOf, Some as SomeOf, Text, Words};

const fn takes(name: &'static str, kind: ParameterKind, summary: &'static str) -> QueryParameter {
    QueryParameter { name, kind, summary }
}

/// Every state of a task.
const TASK_STATES: &[&str] =
    &["queued", "running", "waiting", "sleeping", "done", "error", "dropped", "cancelled"];
/// Every state of a run.
const RUN_STATES: &[&str] = &["accepted", "running", "ok", "error", "timeout", "cancelled"];
/// Every state of an output.
const OUTPUT_STATES: &[&str] = &["active", "pending", "approved", "rejected", "cancelled"];
/// Every kind of question; the reasons to wait are the same.
const BLOCKER_KINDS: &[&str] = &["input", "approval", "budget", "subtasks"];
/// Every priority.
const PRIORITIES: &[&str] = &["low", "normal", "high", "urgent"];

const LIMIT: QueryParameter = takes("limit", Number, "page size; default 50, maximum 500");
const CURSOR: QueryParameter = takes("cursor", Text, "the `next_cursor` of the previous page");
const NUMBER_CURSOR: QueryParameter = takes("cursor", Number, "the `next_cursor` of the previous page");
const COUNT: QueryParameter = takes("count", Flag, "includes the `total` of all pages, counted up to 10000");
const AGENT: QueryParameter = takes("agent_id", Text, "agent id, key, or similar name");

/// The parameters of every query of the read models.
pub(crate) const OF_READS: &[QueryParameter] = &[
    takes("min_position", Text, "waits until the read models have reached this log position"),
    takes("wait_ms", Number, "longest wait in milliseconds; default 2000, maximum 30000"),
];

const SOURCE_OUTPUT: QueryParameter =
    takes("source_output_id", Words, "created for one of these outputs of the parent task");

const OF_TASK: QueryParameter = takes("task_id", Id, "task id");
const ARCHIVED: QueryParameter = takes(
    "archived",
    OneOf(&["false", "true", "any"]),
    "`true` for archived ones only, `any` for all; default `false`",
);
const AS_OF: QueryParameter =
    takes("as_of", Text, "state at this log position or instant, as in 2026-01-02T03:04:05Z");
const CREATED: &[QueryParameter] =
    &[takes("created_after", Instant, "created after"), takes("created_before", Instant, "created before")];
const UPDATED: &[QueryParameter] =
    &[takes("updated_after", Instant, "updated after"), takes("updated_before", Instant, "updated before")];

const PAGE: &[QueryParameter] = &[LIMIT, CURSOR, COUNT];
const NUMBERED_PAGE: &[QueryParameter] = &[LIMIT, NUMBER_CURSOR];

const OF_STREAMS: &[QueryParameter] = &[
    takes("after", Text, "resumes after the frame with this id; `0` starts with the first event"),
    takes("snapshot", Flag, "starts with a snapshot of the objects"),
    takes(
        "include",
        SomeOf(&["logs", "events", "outputs"]),
        "includes log lines, run events or output chunks of the agents",
    ),
    takes("log_after", Number, "log lines after this `data.seq`"),
    takes("types", Words, "only events with these names"),
    takes("follow", Flag, "keeps the stream open after the task has ended"),
];

/// The parameters of the operations, by name; the others have none.
pub(crate) const QUERIES: &[(&str, &[&[QueryParameter]])] = &[
    (
        "ListTokens",
        &[PAGE, &[takes("revoked", Flag, "`true` for revoked ones only, `false` for valid ones only")]],
    ),
    ("ListClasses", &[PAGE]),
    ("ListDeadLetters", &[&[LIMIT, CURSOR]]),
    ("DeleteAgent", &[&[takes("cancel_open", Flag, "cancels the open tasks of the agent first")]]),
    ("ListAgents", &[PAGE]),
    ("GetDefaultConfig", &[&[takes("agent_key", Text, "agent key")]]),
    (
        "ListChannelBindings",
        &[
            PAGE,
            &[
                AGENT,
                takes("without_agent", Flag, "only bindings without an agent"),
                takes("channel_type", Text, "type"),
                takes("active", Flag, "`true` for active ones only, `false` for inactive ones only"),
            ],
        ],
    ),
    (
        "ListSchedules",
        &[
            PAGE,
            &[
                takes("source_view_id", Text, "source view id"),
                AGENT,
                takes("active", Flag, "`true` for active ones only, `false` for paused ones only"),
            ],
        ],
    ),
    ("PreviewSchedule", &[&[takes("n", Number, "number of ticks; default 10, maximum 100")]]),
    (
        "ListTasks",
        &[
            PAGE,
            CREATED,
            UPDATED,
            &[
                AGENT,
                ARCHIVED,
                takes("state", SomeOf(TASK_STATES), "states"),
                takes("priority", SomeOf(PRIORITIES), "priorities"),
                takes("label", Text, "label"),
                takes("labels", Words, "labels that must all match, each as `name:value`"),
                takes("parent_task_id", Id, "id of the parent task"),
                SOURCE_OUTPUT,
                takes("waiting_reason", SomeOf(BLOCKER_KINDS), "reasons to wait"),
                takes("q", Text, "text the task must contain"),
            ],
        ],
    ),
    ("GetTask", &[&[AS_OF]]),
    (
        "GetTaskTree",
        &[&[
            takes("depth", Number, "levels below the task; default 5, maximum 50"),
            takes("limit", Number, "number of tasks; default and maximum 500"),
        ]],
    ),
    ("ListSubtasks", &[PAGE, &[SOURCE_OUTPUT]]),
    ("ListTaskRuns", &[PAGE]),
    ("ListTaskOutputs", &[PAGE]),
    ("ListTaskInputs", &[PAGE]),
    ("GetTaskHistory", &[NUMBERED_PAGE]),
    ("GetTaskLogs", &[NUMBERED_PAGE, &[takes("after", Number, "same as `cursor`")]]),
    (
        "ListRuns",
        &[
            PAGE,
            CREATED,
            UPDATED,
            &[
                AGENT,
                takes("status", SomeOf(RUN_STATES), "states"),
                OF_TASK,
                takes("session_id", Text, "session id"),
            ],
        ],
    ),
    ("GetRun", &[&[AS_OF]]),
    ("ListRunSnapshots", &[NUMBERED_PAGE]),
    ("ListRunEvents", &[NUMBERED_PAGE]),
    (
        "ListOutputs",
        &[
            PAGE,
            CREATED,
            &[
                AGENT,
                ARCHIVED,
                OF_TASK,
                takes("type", Text, "type"),
                takes("status", SomeOf(OUTPUT_STATES), "states"),
                takes("hidden", Flag, "includes outputs that are hidden from the feed"),
            ],
        ],
    ),
    ("ListInbox", &[PAGE, &[AGENT, takes("kind", SomeOf(BLOCKER_KINDS), "kinds of questions")]]),
    (
        "GetTaskEventBatch",
        &[&[
            takes("log_cursor", Number, "the `next_log_cursor` of the last response"),
            takes("run_event_cursor", Number, "the `next_run_event_cursor` of the last response"),
            takes("cursor_run_id", Id, "the `run_id` of the last response"),
        ]],
    ),
    ("SubscribeWorkspaceLive", &[OF_STREAMS]),
    ("SubscribeTaskLive", &[OF_STREAMS]),
    ("SubscribeRunEvents", &[OF_STREAMS]),
];

/// The parameters of the operation with this name, besides [`OF_READS`].
pub(crate) fn of(operation: &str) -> impl Iterator<Item = &'static QueryParameter> {
    let groups = QUERIES.iter().find(|(name, _)| *name == operation).map_or(&[][..], |(_, groups)| groups);
    groups.iter().flat_map(|group| group.iter())
}

#[cfg(test)]
mod tests {
    use capstan_domain::task::TaskState;
    use capstan_domain::task::event::{BlockerKind, OutputStatus, Priority, RunStatus};
    use capstan_projections::WaitingReason;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_words_are_those_of_the_domain() {
        fn reads<T: serde::de::DeserializeOwned>(words: &[&str]) {
            for word in words {
                assert!(serde_json::from_value::<T>(Value::from(*word)).is_ok(), "{word}");
            }
        }
        reads::<TaskState>(TASK_STATES);
        reads::<RunStatus>(RUN_STATES);
        reads::<Priority>(PRIORITIES);
        reads::<OutputStatus>(OUTPUT_STATES);
        reads::<BlockerKind>(BLOCKER_KINDS);
        reads::<WaitingReason>(BLOCKER_KINDS);
        assert_eq!(TaskState::ALL.len(), TASK_STATES.len());
    }
}
