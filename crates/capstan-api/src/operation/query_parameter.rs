//! The query parameters of the routes, as data: what the published descriptions say a route takes.
//!
//! Handlers take parameters by name, see [`Parameters`](crate::http::parameters::Parameters). A test asks every route what
//! it takes and compares, so neither can drift from the other.

/// One query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryParameter {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub kind: ParameterKind,
    /// What it is for.
    pub summary: &'static str,
}

/// What a parameter may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any text.
    Text,
    /// A whole number from 0.
    Number,
    /// `true` or `false`.
    Flag,
    /// An instant.
    Instant,
    /// A UUID.
    Id,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, separated by commas.
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
/// Every kind of question; what tasks wait for are the same words.
const BLOCKER_KINDS: &[&str] = &["input", "approval", "budget", "subtasks"];
/// Every priority.
const PRIORITIES: &[&str] = &["low", "normal", "high", "urgent"];

const LIMIT: QueryParameter = takes("limit", Number, "at most so many; 50 when absent, 500 at most");
const CURSOR: QueryParameter = takes("cursor", Text, "goes on where `next_cursor` of the last page says");
const NUMBER_CURSOR: QueryParameter =
    takes("cursor", Number, "goes on where `next_cursor` of the last page says");
const COUNT: QueryParameter =
    takes("count", Flag, "answers the `total` of all pages too, counted up to 10000");
const AGENT: QueryParameter = takes("agent_id", Text, "of this agent: its id, key, or what is spelt alike");

/// Of every read of the read models.
pub(crate) const OF_READS: &[QueryParameter] = &[
    takes("min_position", Number, "waits until the read models show this log position"),
    takes("wait_ms", Number, "how long to wait for it; 2000 when absent, 30000 at most"),
];

const SOURCE_OUTPUT: QueryParameter =
    takes("source_output_id", Words, "made for one of these outputs of their parent");

const OF_TASK: QueryParameter = takes("task_id", Id, "of this task");
const ARCHIVED: QueryParameter = takes(
    "archived",
    OneOf(&["false", "true", "any"]),
    "only others (when it is not said), only archived ones, or both",
);
const AS_OF: QueryParameter =
    takes("as_of", Text, "as it stood at this log position or at this instant, as in 2026-01-02T03:04:05Z");
const CREATED: &[QueryParameter] =
    &[takes("created_after", Instant, "created after"), takes("created_before", Instant, "created before")];
const UPDATED: &[QueryParameter] =
    &[takes("updated_after", Instant, "changed after"), takes("updated_before", Instant, "changed before")];

const PAGE: &[QueryParameter] = &[LIMIT, CURSOR, COUNT];
const NUMBERED_PAGE: &[QueryParameter] = &[LIMIT, NUMBER_CURSOR];

const OF_STREAMS: &[QueryParameter] = &[
    takes("after", Text, "goes on after the frame of this id; `0` begins with the first event"),
    takes("snapshot", Flag, "begins with the objects as they are"),
    takes("include", SomeOf(&["logs", "events", "outputs"]), "adds lines of the agents"),
    takes("log_after", Number, "lines after this `data.seq`"),
    takes("types", Words, "only events of these names"),
    takes("follow", Flag, "stays open when the task is over"),
];

/// What the operations take, by name; those that are not here take nothing.
pub(crate) const QUERIES: &[(&str, &[&[QueryParameter]])] = &[
    ("ListTokens", &[PAGE, &[takes("revoked", Flag, "only revoked ones, or only others")]]),
    ("ListClasses", &[PAGE]),
    ("ListDeadLetters", &[&[LIMIT, CURSOR]]),
    ("DeleteAgent", &[&[takes("cancel_open", Flag, "cancels its open tasks first")]]),
    ("ListAgents", &[PAGE]),
    ("GetDefaultConfig", &[&[takes("agent_key", Text, "the key the agent would have")]]),
    (
        "ListChannelBindings",
        &[
            PAGE,
            &[
                AGENT,
                takes("without_agent", Flag, "only those of the workspace itself"),
                takes("channel_type", Text, "of this type"),
                takes("active", Flag, "only active ones, or only others"),
            ],
        ],
    ),
    (
        "ListSchedules",
        &[
            PAGE,
            &[
                takes("source_view_id", Text, "of this view"),
                AGENT,
                takes("active", Flag, "only active ones, or only paused ones"),
            ],
        ],
    ),
    ("PreviewSchedule", &[&[takes("n", Number, "so many ticks; 10 when absent, 100 at most")]]),
    (
        "ListTasks",
        &[
            PAGE,
            CREATED,
            UPDATED,
            &[
                AGENT,
                ARCHIVED,
                takes("state", SomeOf(TASK_STATES), "in one of these states"),
                takes("priority", SomeOf(PRIORITIES), "of one of these priorities"),
                takes("label", Text, "with this label"),
                takes("labels", Words, "with all of these labels, each `name:value`"),
                takes("parent_task_id", Id, "subtasks of this task"),
                SOURCE_OUTPUT,
                takes("waiting_reason", SomeOf(BLOCKER_KINDS), "waiting for one of these reasons"),
                takes("q", Text, "with this text"),
            ],
        ],
    ),
    ("GetTask", &[&[AS_OF]]),
    (
        "GetTaskTree",
        &[&[
            takes("depth", Number, "so many levels below the task; 5 when absent, 50 at most"),
            takes("limit", Number, "at most so many tasks; 500 when absent and at most"),
        ]],
    ),
    ("ListSubtasks", &[PAGE, &[SOURCE_OUTPUT]]),
    ("ListTaskRuns", &[PAGE]),
    ("ListTaskOutputs", &[PAGE]),
    ("ListTaskInputs", &[PAGE]),
    ("GetTaskHistory", &[NUMBERED_PAGE]),
    ("GetTaskLogs", &[NUMBERED_PAGE, &[takes("after", Number, "the same as `cursor`")]]),
    (
        "ListRuns",
        &[
            PAGE,
            CREATED,
            UPDATED,
            &[
                AGENT,
                takes("status", SomeOf(RUN_STATES), "in one of these states"),
                OF_TASK,
                takes("session_id", Text, "of this session"),
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
                takes("type", Text, "of this type"),
                takes("status", SomeOf(OUTPUT_STATES), "in one of these states"),
                takes("hidden", Flag, "shows what the feed leaves out too"),
            ],
        ],
    ),
    ("ListInbox", &[PAGE, &[AGENT, takes("kind", SomeOf(BLOCKER_KINDS), "of one of these kinds")]]),
    (
        "GetTaskEventBatch",
        &[&[
            takes("log_cursor", Number, "lines after `next_log_cursor` of the last answer"),
            takes("run_event_cursor", Number, "run events after `next_run_event_cursor` of the last answer"),
            takes("cursor_run_id", Id, "the `run_id` of the last answer"),
        ]],
    ),
    ("SubscribeWorkspaceLive", &[OF_STREAMS]),
    ("SubscribeTaskLive", &[OF_STREAMS]),
    ("SubscribeRunEvents", &[OF_STREAMS]),
    ("RenewLeases", &[&[takes("wait_ms", Number, "waits so long for news; 30000 at most")]]),
];

/// What the operation of this name takes besides [`OF_READS`].
pub(crate) fn of(operation: &str) -> impl Iterator<Item = &'static QueryParameter> {
    let groups = QUERIES.iter().find(|(name, _)| *name == operation).map_or(&[][..], |(_, groups)| groups);
    groups.iter().flat_map(|group| group.iter())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use capstan_domain::task::TaskState;
    use capstan_domain::task::event::{BlockerKind, OutputStatus, Priority, RunStatus};
    use capstan_projections::WaitingReason;
    use serde_json::Value;

    use super::*;
    use crate::http::routes::operations;

    #[test]
    fn parameters_are_of_operations_there_are() {
        let operations: BTreeSet<_> = operations().map(|operation| operation.name).collect();
        for (name, _) in QUERIES {
            assert!(operations.contains(name), "{name}");
            let names: BTreeSet<_> = of(name).map(|parameter| parameter.name).collect();
            assert_eq!(names.len(), of(name).count(), "{name} names a parameter twice");
        }
    }

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
