//! Live streams, as their callers request them.

use capstan_contract::beside::Beside;
use capstan_contract::{CATALOGUE, EventName};
use capstan_domain::Faults;
use capstan_domain::id::{RunId, TaskId};
use capstan_live::Place;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Follows the events of a workspace.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubscribeWorkspaceLive {}

/// Follows the events of a task.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubscribeTaskLive {
    /// Id of the task.
    pub(crate) task_id: TaskId,
}

/// Follows the events of a run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubscribeRunEvents {
    /// Id of the run.
    pub(crate) run_id: RunId,
}

/// The fields beside every request of a stream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct StreamOptions {
    /// Resumes after the frame with this id; `0` starts with the first event.
    pub(crate) after: Option<EventId>,
    /// Id of the last frame that was received, as a browser sends it when it reconnects to the same address. It goes
    /// before `after`, and instead of a snapshot.
    pub(crate) last_event_id: Option<EventId>,
    /// True to start with a snapshot of the objects, instead of `after` an event.
    #[serde(default)]
    pub(crate) snapshot: bool,
    /// Lines of the agents that are sent besides events; none by default.
    #[serde(default)]
    pub(crate) include: Vec<Include>,
    /// Only lines after this `data.seq`; needs `include`.
    pub(crate) log_after: Option<u64>,
    /// Only events with these names; all when empty.
    #[serde(default)]
    pub(crate) types: Vec<EventType>,
    /// True to keep the stream open after the task or run has ended.
    #[serde(default)]
    pub(crate) follow: bool,
}

impl Beside for StreamOptions {
    const NAMES: &'static [&'static str] =
        &["after", "last_event_id", "snapshot", "include", "log_after", "types", "follow"];
}

impl StreamOptions {
    /// The options that cannot be given together.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let is_not_both = !self.snapshot || self.after.is_none();
        faults.require(
            is_not_both,
            "/snapshot",
            "a stream begins with a snapshot or after an event, not both",
        );
        if let (Some(EventId(last)), Some(EventId(after))) = (self.last_event_id, self.after) {
            faults.require(
                last.cursor.reaches(after.cursor),
                "/last_event_id",
                "contradicts after: this frame was before it",
            );
        }
        let is_one_line =
            self.log_after.is_none() || self.after.is_none_or(|EventId(after)| after.line.is_none());
        faults.require(is_one_line, "/log_after", "contradicts after, which names a line: give one of both");
        let has_lines = self.log_after.is_none() || !self.include.is_empty();
        faults.require(has_lines, "/log_after", "needs include: logs, events or both");
        faults
    }
}

/// A kind of lines of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Include {
    /// Log lines.
    Logs,
    /// Run events.
    Events,
}

impl Include {
    /// The `kind` of such lines.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Logs => "log",
            Self::Events => "run-event",
        }
    }
}

/// The wire name of an event.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct EventType(pub(crate) &'static EventName);

impl TryFrom<String> for EventType {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let known = CATALOGUE.iter().copied().find(|event| event.name == text);
        known.map(Self).ok_or("is not the name of an event; GET /schemas lists them")
    }
}

/// The id of a frame, after which a stream resumes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct EventId(pub(crate) Place);

impl TryFrom<String> for EventId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.trim().parse().map(Self).map_err(|_| "must be an event id as sent on a stream")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{self, Outer, Source};

    /// The places of the faults of these parameters and this header `Last-Event-ID`.
    fn refused(parameters: &[(&'static str, &'static str)], last: Option<&'static str>) -> Vec<String> {
        let outer = |(name, text, source): (&'static str, &'static str, Source)| Outer {
            name: name.into(),
            text: text.into(),
            source,
        };
        let last = last.map(|text| ("last_event_id", text, Source::Header("Last-Event-ID")));
        let parameters = parameters.iter().map(|(name, text)| (*name, *text, Source::Query));
        let fields: Vec<_> = parameters.chain(last).map(outer).collect();
        let read = request::read::<SubscribeWorkspaceLive, StreamOptions>(&fields, b"");
        let faults = match read {
            Ok((_, options)) => options.faults().into_result().err().unwrap_or_default(),
            Err(problem) => problem.errors.into(),
        };
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn options_that_exclude_each_other_are_refused_together() {
        assert_eq!(refused(&[("snapshot", "1"), ("after", "0")], None), ["/snapshot"]);
        assert_eq!(refused(&[("log_after", "7")], None), ["/log_after"]);
        let with_lines = [("log_after", "7"), ("include", "logs")];
        assert_eq!(refused(&[with_lines[0], with_lines[1], ("after", "0~3")], None), ["/log_after"]);
        assert_eq!(refused(&with_lines, Some("0-7-9f3ac21b~9")), [""; 0]);
        assert_eq!(refused(&[("snapshot", "1"), ("after", "0"), ("log_after", "7")], None).len(), 2);
        assert_eq!(refused(&[("log_after", "7"), ("include", "events")], None), [""; 0]);
    }

    #[test]
    fn a_name_of_no_event_is_refused() {
        assert_eq!(refused(&[("types", "attempt-leased,agent-created")], None), [""; 0]);
        assert_eq!(refused(&[("types", "attempt-leased,task-exploded")], None), ["?types/1"]);
        assert_eq!(refused(&[("include", "outputs")], None), ["?include/0"]);
    }

    #[test]
    fn a_reconnecting_browser_may_repeat_its_address_but_not_go_back() {
        let (first, second) = ("0-7-9f3ac21b.0", "0-7-9f3ac21b");
        assert_eq!(refused(&[("after", "0")], Some(second)), [""; 0]);
        assert_eq!(refused(&[("after", first)], Some(second)), [""; 0]);
        assert_eq!(refused(&[("after", second)], Some(second)), [""; 0]);
        assert_eq!(refused(&[("after", second)], Some(first)), ["/last_event_id"]);
        assert_eq!(refused(&[("after", second)], Some("0")), ["/last_event_id"]);
        assert_eq!(refused(&[("snapshot", "1")], Some(second)), [""; 0]);
    }
}
