//! The one table of events. A line here gives an event its wire name, its codec and its schema; names are
//! stored for ever and never follow a renamed Rust type.

use capstan_domain::implied::{self, Implied};
use capstan_domain::{agent, channel, class, schedule, session, task, token, workspace};
use capstan_envelope::{
    Actor, CARRIED_FORWARD, Carried, Codec, CodecError, Commit, CommitFacts, EventRecord,
};

use crate::event_name::{EventName, known_default, unknown};
use crate::schema::{drawn_as_written, schema_of};

/// What the events of a commit leave out.
pub fn implied_by(commit: CommitFacts<'_>) -> Implied {
    Implied {
        workspace: commit.stream.workspace().as_str().to_owned(),
        entity: commit.stream.id().parse().ok(),
        at: commit.occurred_at,
        command: commit.command.to_owned(),
        key: commit.key.map(str::to_owned),
        client: match commit.actor {
            Actor::Client { name } => Some(name.clone()),
            Actor::Worker | Actor::Engine | Actor::System => None,
        },
    }
}

/// `CONSTANT = "wire-name", Variant(Shape);` for every event, by category. A retired version adds
/// `upcasters [v1_to_v2, …]` after the shape. The match in `encode` has no wildcard: an event of the domain
/// that is missing here does not compile.
macro_rules! catalogue {
    ($($codec:ident of $module:ident in $category:literal {
        $($constant:ident = $name:literal, $variant:ident($shape:ty) $(, upcasters [$($upcaster:path),*])?;)*
    })*) => {
        $($(
            #[doc = concat!("`", $name, "` of category `", $category, "`.")]
            pub static $constant: EventName = EventName {
                category: $category,
                name: $name,
                upcasters: &[$($($upcaster),*)?],
                schema: || schema_of::<$shape>($name),
                whole_schema: || drawn_as_written::<$shape>($name),
                rewrite: |record| $codec::write(&$codec::read(record)?),
            };
        )*)*

        /// Every event there is, by category.
        pub static CATALOGUE: &[&EventName] = &[$($(&$constant,)*)*];

        $(
            #[doc = concat!("Reads and writes the events of category `", $category, "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $codec;

            impl $codec {
                /// The event's entry in the catalogue.
                pub const fn name_of(event: &$module::Event) -> &'static EventName {
                    match event { $($module::Event::$variant(_) => &$constant,)* }
                }

                /// Writes an event in its current version, whole or, inside [`implied::within`], as it is stored.
                pub fn write(event: &$module::Event) -> Result<EventRecord, CodecError> {
                    match event { $($module::Event::$variant(data) => $constant.write(data),)* }
                }

                /// Reads an event of any known version, whole or, inside [`implied::within`], as it is stored.
                pub fn read(record: &EventRecord) -> Result<$module::Event, CodecError> {
                    match record.name.as_str() {
                        $($name => $constant.read(record).map($module::Event::$variant),)*
                        _ => Err(unknown($category, record)),
                    }
                }
            }

            impl $codec {
                /// Refuses a state that refers to a frozen default which this build does not have. Another fault of it is
                /// found by who begins with it.
                pub(crate) fn check_carried(commit: &Commit, carried: &Carried) -> Result<(), CodecError> {
                    let (_, reading) = implied::reading(|| carried.state::<$module::State>());
                    let version = commit.events.first().map_or(1, |event| event.version);
                    known_default(CARRIED_FORWARD, version, reading)
                }
            }

            impl Codec for $codec {
                type Event = $module::Event;

                const CATEGORY: &'static str = $category;

                fn encode(
                    events: &[Self::Event],
                    commit: CommitFacts<'_>,
                ) -> Result<Vec<EventRecord>, CodecError> {
                    implied::within(implied_by(commit), || events.iter().map(Self::write).collect())
                }

                fn decode(commit: &Commit) -> Result<Vec<Self::Event>, CodecError> {
                    if let Some(carried) = commit.carried()? {
                        return Self::check_carried(commit, &carried).map(|()| Vec::new());
                    }
                    implied::within(implied_by(commit.facts()), || {
                        commit.events.iter().map(Self::read).collect()
                    })
                }
            }
        )*
    };
}

catalogue! {
    WorkspaceCodec of workspace in "workspace" {
        WORKSPACE_CREATED = "workspace-created", Created(workspace::Created);
        WORKSPACE_UPDATED = "workspace-updated", Updated(workspace::Updated);
    }
    AgentCodec of agent in "agent" {
        AGENT_CREATED = "agent-created", Created(agent::Created);
        AGENT_UPDATED = "agent-updated", Updated(agent::Updated);
        AGENT_DELETED = "agent-deleted", Deleted(agent::Deleted);
    }
    ChannelCodec of channel in "channel" {
        CHANNEL_BOUND = "channel-bound", Bound(channel::Bound);
        CHANNEL_CHANGED = "channel-changed", Changed(channel::Changed);
        CHANNEL_RELEASED = "channel-released", Released(channel::Released);
    }
    ClassCodec of class in "class" {
        CLASS_CONFIGURED = "class-configured", Configured(class::Configured);
        CLASS_DEGRADED = "class-degraded", Degraded(class::Degraded);
        CLASS_PROBING = "class-probing", Probing(class::Probing);
        CLASS_RECOVERED = "class-recovered", Recovered(class::Recovered);
        CLASS_RESET = "class-reset", Reset(class::Reset);
    }
    ScheduleCodec of schedule in "schedule" {
        SCHEDULE_CREATED = "schedule-created", Created(schedule::event::ScheduleCreated);
        SCHEDULE_CHANGED = "schedule-changed", Changed(schedule::event::ScheduleChanged);
        SCHEDULE_PAUSED = "schedule-paused", Paused(schedule::event::SchedulePaused);
        SCHEDULE_RESUMED = "schedule-resumed", Resumed(schedule::event::ScheduleResumed);
        SCHEDULE_DELETED = "schedule-deleted", Deleted(schedule::event::ScheduleDeleted);
        SCHEDULE_TRIGGERED = "schedule-triggered", Triggered(schedule::event::ScheduleTriggered);
        TICK_FIRED = "tick-fired", TickFired(schedule::event::TickFired);
        TICK_SKIPPED = "tick-skipped", TickSkipped(schedule::event::TickSkipped);
        TICKS_MISSED = "ticks-missed", TicksMissed(schedule::event::TicksMissed);
    }
    TokenCodec of token in "token" {
        TOKEN_ISSUED = "token-issued", Issued(token::Issued);
        TOKEN_REVOKED = "token-revoked", Revoked(token::Revoked);
    }
    SessionCodec of session in "session" {
        SESSION_BOUND = "session-bound", Bound(session::SessionBound);
        SESSION_CONTINUED = "session-continued", Continued(session::SessionContinued);
    }
    TaskCodec of task in "task" {
        TASK_ACCEPTED = "task-accepted", TaskAccepted(task::event::TaskAccepted);
        RUN_REQUESTED = "run-requested", RunRequested(task::event::RunRequested);
        ATTEMPT_LEASED = "attempt-leased", AttemptLeased(task::event::AttemptLeased);
        ATTEMPT_STARTED = "attempt-started", AttemptStarted(task::event::AttemptStarted);
        ATTEMPT_CANCEL_REQUESTED = "attempt-cancel-requested",
            AttemptCancelRequested(task::event::AttemptCancelRequested);
        ATTEMPT_ENDED = "attempt-ended", AttemptEnded(task::event::AttemptEnded);
        RETRY_SCHEDULED = "retry-scheduled", RetryScheduled(task::event::RetryScheduled);
        RUN_ENDED = "run-ended", RunEnded(task::event::RunEnded);
        TASK_CONTINUED = "task-continued", TaskContinued(task::event::TaskContinued);
        TASK_SLEPT = "task-slept", TaskSlept(task::event::TaskSlept);
        TASK_DONE = "task-done", TaskDone(task::event::TaskDone);
        TASK_FAILED = "task-failed", TaskFailed(task::event::TaskFailed);
        TASK_CANCELLED = "task-cancelled", TaskCancelled(task::event::TaskCancelled);
        TASK_DROPPED = "task-dropped", TaskDropped(task::event::TaskDropped);
        BLOCKER_OPENED = "blocker-opened", BlockerOpened(task::event::BlockerOpened);
        BLOCKER_CLOSED = "blocker-closed", BlockerClosed(task::event::BlockerClosed);
        INPUT_ACCEPTED = "input-accepted", InputAccepted(task::event::InputAccepted);
        INPUT_CLAIMED = "input-claimed", InputClaimed(task::event::InputClaimed);
        INPUT_RETURNED = "input-returned", InputReturned(task::event::InputReturned);
        INPUT_CONSUMED = "input-consumed", InputConsumed(task::event::InputConsumed);
        OUTPUT_PRODUCED = "output-produced", OutputProduced(task::event::OutputProduced);
        OUTPUT_ROWS_APPENDED = "output-rows-appended", OutputRowsAppended(task::event::OutputRowsAppended);
        OUTPUT_FINALIZED = "output-finalized", OutputFinalized(task::event::OutputFinalized);
        OUTPUT_STATUS_CHANGED = "output-status-changed", OutputStatusChanged(task::event::OutputStatusChanged);
        USAGE_RECORDED = "usage-recorded", UsageRecorded(task::event::UsageRecorded);
        TASK_ARCHIVED = "task-archived", TaskArchived(task::event::TaskArchived);
        TASK_UNARCHIVED = "task-unarchived", TaskUnarchived(task::event::TaskUnarchived);
        TASK_REPRIORITISED = "task-reprioritised", TaskReprioritised(task::event::TaskReprioritised);
        TASK_BUDGET_SET = "task-budget-set", TaskBudgetSet(task::event::TaskBudgetSet);
        TASK_LABELLED = "task-labelled", TaskLabelled(task::event::TaskLabelled);
        TASK_DEADLINE_SET = "task-deadline-set", TaskDeadlineSet(task::event::TaskDeadlineSet);
        TASK_ROUTING_SET = "task-routing-set", TaskRoutingSet(task::event::TaskRoutingSet);
        TASK_PAYLOAD_SET = "task-payload-set", TaskPayloadSet(task::event::TaskPayloadSet);
        BLOCKER_UPDATED = "blocker-updated", BlockerUpdated(task::event::BlockerUpdated);
        BLOCKER_VOTED = "blocker-voted", BlockerVoted(task::event::BlockerVoted);
        INPUT_DEFERRED = "input-deferred", InputDeferred(task::event::InputDeferred);
        OUTPUT_ARCHIVED = "output-archived", OutputArchived(task::event::OutputArchived);
        TOOL_CALL_DEFERRED = "tool-call-deferred", ToolCallDeferred(task::event::ToolCallDeferred);
        TOOL_CALL_ALLOWED = "tool-call-allowed", ToolCallAllowed(task::event::ToolCallAllowed);
        TOOL_CALL_DECIDED = "tool-call-decided", ToolCallDecided(task::event::ToolCallDecided);
        TOOL_EXECUTION_STARTED = "tool-execution-started", ToolExecutionStarted(task::event::ToolExecutionStarted);
        TOOL_EXECUTION_ENDED = "tool-execution-ended", ToolExecutionEnded(task::event::ToolExecutionEnded);
        SUBTASKS_SPAWNED = "subtasks-spawned", SubtasksSpawned(task::event::SubtasksSpawned);
        SUBTASK_ENDED = "subtask-ended", SubtaskEnded(task::event::SubtaskEnded);
        PARENT_TOLD = "parent-told", ParentTold(task::event::ParentTold);
        WATCH_ARMED = "watch-armed", WatchArmed(task::event::WatchArmed);
        WATCH_FIRED = "watch-fired", WatchFired(task::event::WatchFired);
        WATCH_DISARMED = "watch-disarmed", WatchDisarmed(task::event::WatchDisarmed);
        BUDGET_WARNED = "budget-warned", BudgetWarned(task::event::BudgetWarned);
        BUDGET_EXCEEDED = "budget-exceeded", BudgetExceeded(task::event::BudgetExceeded);
    }
}

/// The catalogue's entry of this name.
pub fn event_named(category: &str, name: &str) -> Option<&'static EventName> {
    CATALOGUE.iter().copied().find(|event| event.category == category && event.name == name)
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the table writes public items")]
mod tests {
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    /// A category whose only event had a `who` at first, then a `name`, and has `names` today.
    mod greeting {
        pub type State = ();

        #[derive(Debug, PartialEq)]
        pub enum Event {
            Greeted(Greeted),
        }

        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct Greeted {
            pub names: Vec<String>,
            pub polite: bool,
        }
    }

    fn who_became_name(mut data: Value) -> Value {
        if let Some(who) = data.as_object_mut().and_then(|object| object.remove("who")) {
            data["name"] = who;
        }
        data
    }

    fn name_became_names(mut data: Value) -> Value {
        if let Some(name) = data.as_object_mut().and_then(|object| object.remove("name")) {
            data["names"] = json!([name]);
            data["polite"] = json!(true);
        }
        data
    }

    catalogue! {
        GreetingCodec of greeting in "greeting" {
            GREETED = "greeted", Greeted(greeting::Greeted), upcasters [who_became_name, name_became_names];
        }
    }

    fn record(version: u16, data: &Value) -> EventRecord {
        EventRecord { name: "greeted".into(), version, data: to_raw_value(data).unwrap() }
    }

    fn ada() -> greeting::Event {
        greeting::Event::Greeted(greeting::Greeted { names: vec!["Ada".into()], polite: true })
    }

    #[test]
    fn every_retired_version_reads_as_the_current_shape() {
        for (version, data) in [
            (1, json!({"who": "Ada"})),
            (2, json!({"name": "Ada"})),
            (3, json!({"names": ["Ada"], "polite": true})),
        ] {
            assert_eq!(GreetingCodec::read(&record(version, &data)).unwrap(), ada(), "version {version}");
        }
    }

    #[test]
    fn events_are_written_in_the_version_after_the_last_upcaster() {
        assert_eq!((CATALOGUE.len(), GreetingCodec::name_of(&ada()).version()), (1, 3));
        assert_eq!(GreetingCodec::write(&ada()).unwrap().version, 3);
        let rewritten = (GREETED.rewrite)(&record(1, &json!({"who": "Ada"}))).unwrap();
        assert_eq!(rewritten, GreetingCodec::write(&ada()).unwrap());
    }

    #[test]
    fn the_current_version_is_not_upcast() {
        let error = GreetingCodec::read(&record(3, &json!({"who": "Ada"}))).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { version: 3, .. }), "{error}");
    }

    #[test]
    fn a_version_that_never_was_is_unknown() {
        for version in [0, 4, u16::MAX] {
            let error = GreetingCodec::read(&record(version, &json!({}))).unwrap_err();
            assert!(matches!(error, CodecError::Unknown { .. }), "version {version}: {error}");
        }
    }

    #[test]
    fn an_upcaster_leaves_foreign_data_to_the_current_shape_to_refuse() {
        for data in [json!(null), json!([1]), json!({"other": 1})] {
            let error = GreetingCodec::read(&record(1, &data)).unwrap_err();
            assert!(matches!(error, CodecError::Malformed { version: 1, .. }), "{data}: {error}");
        }
    }

    #[test]
    fn an_event_is_found_by_its_name() {
        assert_eq!(event_named("task", "task-done").map(|event| event.name), Some("task-done"));
        assert!(event_named("agent", "task-done").is_none());
    }
}
