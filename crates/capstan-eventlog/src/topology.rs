//! Every stream and subject Capstan uses on a NATS server, as data.

use std::time::Duration;

use capstan_envelope::{FORMAT_EPOCH, StreamId, Workspace};
use serde::Serialize;
use uuid::Uuid;

use crate::Selection;

/// Leads the subjects of events.
const EVENTS: &str = "capstan.evt.";

/// A prefix that cannot be part of a stream name or subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use stream prefix {0:?}: 1 to 32 of A-Z a-z 0-9 _ - are allowed")]
pub struct InvalidPrefix(pub String);

/// The names of one Capstan installation on a server.
///
/// Without a prefix the log is `CAPSTAN_EVENTS` on `capstan.evt.>`; with the prefix `t1` it is
/// `t1_CAPSTAN_EVENTS` on `t1.capstan.evt.>`, and so on, so that several installations share one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    stream_lead: String,
    subject_lead: String,
}

/// One stream and all settings Capstan relies on, in the words of the JetStream API.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "these are the server's switches, under its names")]
pub struct StreamSpec {
    /// The stream's name.
    pub name: String,
    /// Subjects the stream captures.
    pub subjects: Vec<String>,
    /// Retention policy: `limits` or `workqueue`.
    pub retention: &'static str,
    /// Storage kind: always `file`.
    pub storage: &'static str,
    /// Copies in a cluster.
    pub num_replicas: usize,
    /// Policy at a limit: `new` refuses the new message, `old` drops the oldest.
    pub discard: &'static str,
    /// Number of messages kept; -1 for all.
    pub max_msgs: i64,
    /// Bytes kept; -1 for all.
    pub max_bytes: i64,
    /// Messages kept per subject; -1 for all.
    pub max_msgs_per_subject: i64,
    /// Age in nanoseconds after which a message goes; 0 for never.
    pub max_age: u64,
    /// Nanoseconds during which a message id is remembered.
    pub duplicate_window: u64,
    /// Gets go past the API queue.
    pub allow_direct: bool,
    /// Batches of messages are stored all or none.
    pub allow_atomic: bool,
    /// No message can be deleted.
    pub deny_delete: bool,
    /// The stream cannot be emptied.
    pub deny_purge: bool,
    /// Generation of the formats it holds, kept in its metadata; `None` where it holds no stored formats.
    #[serde(skip)]
    pub format_epoch: Option<u32>,
}

impl Topology {
    /// Names for an installation, under a prefix when several share a server.
    pub fn new(prefix: Option<&str>) -> Result<Self, InvalidPrefix> {
        let Some(prefix) = prefix else {
            return Ok(Self { stream_lead: String::new(), subject_lead: String::new() });
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if prefix.is_empty() || prefix.len() > 32 || !prefix.bytes().all(allowed) {
            return Err(InvalidPrefix(prefix.to_owned()));
        }
        Ok(Self { stream_lead: format!("{prefix}_"), subject_lead: format!("{prefix}.") })
    }

    /// The stream that holds all commits.
    pub fn events_stream(&self) -> String {
        format!("{}CAPSTAN_EVENTS", self.stream_lead)
    }

    /// The subject of one entity's history.
    pub fn event_subject(&self, stream: &StreamId) -> String {
        format!("{}{EVENTS}{}", self.subject_lead, stream.tokens())
    }

    /// The filter that takes exactly the selected commits; `None` takes all.
    pub(crate) fn event_filter(&self, selection: &Selection) -> Option<String> {
        match selection {
            Selection::All => None,
            Selection::Workspace(workspace) => Some(format!("{}{EVENTS}{workspace}.>", self.subject_lead)),
            Selection::Stream(stream) => Some(self.event_subject(stream)),
        }
    }

    /// The part of an event's subject that names its stream, the same in every installation. A foreign subject is returned
    /// whole: it names no stream.
    pub(crate) fn stream_tokens<'a>(&self, subject: &'a str) -> &'a str {
        let rest = subject.strip_prefix(self.subject_lead.as_str());
        rest.and_then(|rest| rest.strip_prefix(EVENTS)).unwrap_or(subject)
    }

    /// The work queue of commands published on the bus.
    pub fn commands_stream(&self) -> String {
        format!("{}CAPSTAN_COMMANDS", self.stream_lead)
    }

    /// Subject of a durable command; `*` in either place follows several.
    pub fn command_subject(&self, workspace: &str, command: &str) -> String {
        format!("{}capstan.cmd.{workspace}.{command}", self.subject_lead)
    }

    /// Subject of a request for a command; `*` in either place serves several.
    pub fn rpc_subject(&self, workspace: &str, command: &str) -> String {
        format!("{}capstan.rpc.{workspace}.{command}", self.subject_lead)
    }

    /// Splits a command's or rpc's subject into workspace and command.
    pub fn parse_command<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = subject.strip_prefix(self.subject_lead.as_str())?;
        let rest = rest.strip_prefix("capstan.cmd.").or_else(|| rest.strip_prefix("capstan.rpc."))?;
        let (workspace, command) = rest.split_once('.')?;
        (!command.contains('.')).then_some((workspace, command))
    }

    /// Splits an rpc's subject into workspace and name, which may have levels of its own.
    pub fn parse_rpc<'a>(&self, subject: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = subject.strip_prefix(self.subject_lead.as_str())?;
        rest.strip_prefix("capstan.rpc.")?.split_once('.')
    }

    /// The stream that keeps outcomes of durable commands for a while.
    pub fn command_results_stream(&self) -> String {
        format!("{}CAPSTAN_CMD_RESULTS", self.stream_lead)
    }

    /// Subject of the outcome of one durable command.
    pub fn command_result_subject(&self, workspace: &Workspace, command_id: &str) -> String {
        format!("{}capstan.cmd-result.{workspace}.{command_id}", self.subject_lead)
    }

    /// The stream of messages nobody could process.
    pub fn dead_letters_stream(&self) -> String {
        format!("{}CAPSTAN_DEADLETTERS", self.stream_lead)
    }

    /// Subject of messages nobody could process; `source` names the part that refused them.
    pub fn dead_letter_subject(&self, source: &str) -> String {
        format!("{}capstan.dlq.{source}", self.subject_lead)
    }

    /// The stream of agents' output.
    pub fn logs_stream(&self) -> String {
        format!("{}CAPSTAN_LOGS", self.stream_lead)
    }

    /// Subject of the output of one run.
    pub fn log_subject(&self, workspace: &Workspace, task: Uuid, run: Uuid) -> String {
        format!("{}capstan.log.{workspace}.{task}.{run}", self.subject_lead)
    }

    /// The filter for the output of one task, or of a whole workspace.
    pub(crate) fn log_filter(&self, workspace: &Workspace, task: Option<Uuid>) -> String {
        match task {
            Some(task) => format!("{}capstan.log.{workspace}.{task}.*", self.subject_lead),
            None => format!("{}capstan.log.{workspace}.>", self.subject_lead),
        }
    }

    /// Splits a log subject's last two parts: task and run.
    pub(crate) fn parse_log(subject: &str) -> Option<(Uuid, Uuid)> {
        let mut parts = subject.rsplit('.');
        let run = parts.next()?.parse().ok()?;
        let task = parts.next()?.parse().ok()?;
        Some((task, run))
    }

    /// The log itself: no limits, no message deletable, batches and direct gets allowed. It can be purged, which a stream
    /// cannot regain once it denied it, so that its beginning may be archived one day; permissions leave that to an operator.
    pub fn events(&self, replicas: usize) -> StreamSpec {
        StreamSpec {
            allow_atomic: true,
            deny_delete: true,
            format_epoch: Some(FORMAT_EPOCH),
            ..self.unlimited(self.events_stream(), "capstan.evt.>", replicas)
        }
    }

    /// The streams beside the log: commands, their outcomes, dead letters, agents' output.
    pub fn side_streams(&self, replicas: usize) -> Vec<StreamSpec> {
        let nanos = |days: u64| Duration::from_hours(24 * days).as_nanos() as u64;
        vec![
            StreamSpec {
                retention: "workqueue",
                ..self.unlimited(self.commands_stream(), "capstan.cmd.*.*", replicas)
            },
            StreamSpec {
                max_age: nanos(1),
                discard: "old",
                // Outcomes that are ready together are flushed together.
                allow_atomic: true,
                ..self.unlimited(self.command_results_stream(), "capstan.cmd-result.*.*", replicas)
            },
            StreamSpec {
                max_age: nanos(30),
                discard: "old",
                ..self.unlimited(self.dead_letters_stream(), "capstan.dlq.>", replicas)
            },
            StreamSpec {
                max_age: nanos(7),
                discard: "old",
                ..self.unlimited(self.logs_stream(), "capstan.log.*.*.*", replicas)
            },
        ]
    }

    fn unlimited(&self, name: String, subject: &str, num_replicas: usize) -> StreamSpec {
        StreamSpec {
            name,
            subjects: vec![format!("{}{subject}", self.subject_lead)],
            retention: "limits",
            storage: "file",
            num_replicas,
            discard: "new",
            max_msgs: -1,
            max_bytes: -1,
            max_msgs_per_subject: -1,
            max_age: 0,
            duplicate_window: Duration::from_mins(2).as_nanos() as u64,
            allow_direct: true,
            allow_atomic: false,
            deny_delete: false,
            deny_purge: false,
            format_epoch: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_stream_is_read_back_from_its_subject() {
        let stream: StreamId = "dev/task/17".parse().unwrap();
        for topology in [Topology::new(None).unwrap(), Topology::new(Some("t1")).unwrap()] {
            let subject = topology.event_subject(&stream);
            assert_eq!(topology.stream_tokens(&subject), "dev.task.17");
        }
        let foreign = "t2.capstan.evt.dev.task.17";
        assert_eq!(Topology::new(Some("t1")).unwrap().stream_tokens(foreign), foreign);
    }

    #[test]
    fn a_command_is_read_back_from_its_subject() {
        let topology = Topology::new(Some("t1")).unwrap();
        let subject = topology.command_subject("dev", "cancel-task");
        assert_eq!(topology.parse_command(&subject), Some(("dev", "cancel-task")));
        assert_eq!(topology.parse_command(&topology.rpc_subject("dev", "x")), Some(("dev", "x")));
        assert_eq!(topology.parse_command("capstan.cmd.dev.cancel-task"), None);
    }

    #[test]
    fn a_prefix_that_would_break_names_is_refused() {
        for prefix in ["", "a.b", "a b", "*", &"x".repeat(33)] {
            assert!(Topology::new(Some(prefix)).is_err(), "{prefix:?} was accepted");
        }
    }
}
