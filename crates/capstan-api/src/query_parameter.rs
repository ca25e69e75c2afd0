//! The query parameters of the routes, as data: what the published descriptions say a route takes.
//!
//! Handlers take parameters by name, see [`Parameters`](crate::parameters::Parameters). A test asks every route what
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
    /// Some of these words, separated by commas.
    Some(&'static [&'static str]),
    /// Words, separated by commas.
    Words,
}

use ParameterKind::{Flag, Id, Instant, Number, Some as SomeOf, Text, Words};

const fn takes(name: &'static str, kind: ParameterKind, summary: &'static str) -> QueryParameter {
    QueryParameter { name, kind, summary }
}

/// Every state of a task.
const TASK_STATES: &[&str] =
    &["queued", "running", "waiting", "sleeping", "done", "error", "dropped", "cancelled"];
/// Every state of a run.
const RUN_STATES: &[&str] = &["accepted", "running", "ok", "error", "timeout", "cancelled"];
/// Every priority.
const PRIORITIES: &[&str] = &["low", "normal", "high", "urgent"];

const LIMIT: QueryParameter = takes("limit", Number, "at most so many; 50 when absent, 500 at most");
const CURSOR: QueryParameter = takes("cursor", Text, "goes on where `next_cursor` of the last page says");
const NUMBER_CURSOR: QueryParameter =
    takes("cursor", Number, "goes on where `next_cursor` of the last page says");
const AGENT: QueryParameter = takes("agent_id", Text, "of this agent: its id, key, or what is spelt alike");

/// Of every read of the read models.
pub(crate) const OF_READS: &[QueryParameter] = &[
    takes("min_position", Number, "waits until the read models show this log position"),
    takes("wait_ms", Number, "how long to wait for it; 2000 when absent, 30000 at most"),
];

const SOURCE_OUTPUT: QueryParameter =
    takes("source_output_id", Words, "made for one of these outputs of their parent");

const PAGE: &[QueryParameter] = &[LIMIT, CURSOR];
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
    ("ListTokens", &[PAGE]),
    ("ListClasses", &[PAGE]),
    ("ListDeadLetters", &[PAGE]),
    ("DeleteAgent", &[&[takes("cancel_open", Flag, "cancels its open tasks first")]]),
    ("ListAgents", &[PAGE]),
    ("GetDefaultConfig", &[&[takes("agent_key", Text, "the key the agent would have")]]),
    (
        "ListChannelBindings",
        &[PAGE, &[AGENT, takes("without_agent", Flag, "only those of the workspace itself")]],
    ),
    (
        "ListSchedules",
        &[
            PAGE,
            &[
                takes("source_view_id", Text, "of this view"),
                takes("agent_id", Id, "of this agent"),
                takes("active", Flag, "only active ones, or only paused ones"),
            ],
        ],
    ),
    ("PreviewSchedule", &[&[takes("n", Number, "so many ticks; 10 when absent, 100 at most")]]),
    (
        "ListTasks",
        &[
            PAGE,
            &[
                AGENT,
                takes("state", SomeOf(TASK_STATES), "in one of these states"),
                takes("priority", SomeOf(PRIORITIES), "of one of these priorities"),
                takes("label", Text, "with this label"),
                takes("labels", Words, "with all of these labels, each `name:value`"),
                takes("parent_task_id", Id, "subtasks of this task"),
                SOURCE_OUTPUT,
                takes("waiting_reason", Text, "waiting for this reason"),
                takes("created_after", Instant, "created after"),
                takes("created_before", Instant, "created before"),
                takes("updated_after", Instant, "changed after"),
                takes("archived", Flag, "only archived ones, or only others"),
                takes("q", Text, "with this text"),
            ],
        ],
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
            &[
                AGENT,
                takes("status", SomeOf(RUN_STATES), "in one of these states"),
                takes("task_id", Id, "of this task"),
                takes("session_id", Text, "of this session"),
            ],
        ],
    ),
    ("ListRunSnapshots", &[NUMBERED_PAGE]),
    ("ListRunEvents", &[NUMBERED_PAGE]),
    ("ListOutputs", &[PAGE, &[takes("task_id", Id, "of this task")]]),
    ("ListInbox", &[PAGE]),
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
    use capstan_domain::task::event::{Priority, RunStatus};
    use serde_json::Value;

    use super::*;
    use crate::routes::operations;

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
        assert_eq!(TaskState::ALL.len(), TASK_STATES.len());
    }
}
