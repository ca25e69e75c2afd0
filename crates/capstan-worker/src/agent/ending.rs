//! The end of an execution and its report.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use capstan_client::RunResult;

use super::relay::Said;

/// The reason for which the worker stopped accompanying a process.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The process ended.
    Exited(ExitStatus),
    /// It cannot be waited for.
    Broken(io::Error),
    /// The server requested the stop.
    Cancelled(String),
    /// It ran longer than it may.
    OutOfTime,
    /// Its answer did not come in time.
    Waiting,
    /// It did not end after its last turn.
    Lingered,
    /// The worker stops.
    GivenUp,
    /// The lease is gone.
    Lost,
}

/// An execution that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The reason for which the worker stopped accompanying the process.
    pub(crate) ending: Ending,
    /// The exit code, also after a signal of the worker.
    pub(crate) exit_code: Option<i32>,
    /// The agent's messages that belong into the report.
    pub(crate) said: Said,
}

/// The final report.
pub(crate) fn result_of(ended: Ended) -> RunResult {
    let Ended { ending, exit_code, said } = ended;
    let result = RunResult { exit_code, result: said.result.clone(), ..RunResult::default() };
    let with = |outcome: &str, error: Option<String>| RunResult {
        outcome: outcome.to_owned(),
        error,
        ..result.clone()
    };
    match &ending {
        Ending::Exited(status) if status.success() => RunResult { exit_code, ..well_ended(said) },
        Ending::Exited(status) => with("error", Some(exit_text(*status, &said.last_errors))),
        Ending::Broken(error) => with("error", Some(format!("the process could not be waited for: {error}"))),
        Ending::Cancelled(reason) => with("cancelled", Some(reason.clone())),
        Ending::OutOfTime => with("timeout", None),
        Ending::Lingered => RunResult { exit_code, ..well_ended(said) },
        Ending::Waiting => RunResult { waiting_for_input: Some(true), ..with("ok", None) },
        Ending::GivenUp | Ending::Lost => with("error", Some("the attempt was abandoned".to_owned())),
    }
}

/// A successful end, with the agent's planned subtasks, watches and wakes.
pub(crate) fn well_ended(said: Said) -> RunResult {
    RunResult {
        outcome: "ok".to_owned(),
        waiting_for_input: said.asked.then_some(true),
        wake: said.wake,
        subtasks: said.subtasks,
        join: said.join,
        source_watches: said.watches,
        result: said.result,
        ..RunResult::default()
    }
}

/// The last lines of standard error, which is where programs say why they fail; else how they ended.
pub(crate) fn exit_text(status: ExitStatus, last_errors: &[String]) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended without an exit code".to_owned(),
    };
    if last_errors.is_empty() { how } else { format!("{how}: {}", last_errors.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(last_errors: &[&str], asked: bool) -> Said {
        Said {
            last_errors: last_errors.iter().map(|line| (*line).to_owned()).collect(),
            asked,
            ..Said::default()
        }
    }

    #[test]
    fn exit_code_zero_is_ok_and_waits_when_a_question_is_open() {
        let status = ExitStatus::from_raw(0);
        let result = result_of(Ended {
            ending: Ending::Exited(status),
            exit_code: status.code(),
            said: said(&["a warning"], true),
        });
        assert_eq!((result.outcome.as_str(), result.exit_code, result.error), ("ok", Some(0), None));
        assert_eq!(result.waiting_for_input, Some(true));
    }

    #[test]
    fn a_failure_says_what_standard_error_said_last() {
        let status = ExitStatus::from_raw(3 << 8);
        let result = result_of(Ended {
            ending: Ending::Exited(status),
            exit_code: status.code(),
            said: said(&["429", "bye"], false),
        });
        assert_eq!((result.outcome.as_str(), result.exit_code), ("error", Some(3)));
        assert_eq!(result.error.as_deref(), Some("exit code 3: 429\nbye"));
        let status = ExitStatus::from_raw(9);
        let result = result_of(Ended {
            ending: Ending::Exited(status),
            exit_code: status.code(),
            said: said(&[], false),
        });
        assert_eq!((result.exit_code, result.error.as_deref()), (None, Some("killed by signal 9")));
    }

    #[test]
    fn a_stopped_process_is_reported_by_why_it_was_stopped() {
        let outcome = |ending| {
            let result = result_of(Ended { ending, exit_code: None, said: said(&["x"], true) });
            (result.outcome, result.waiting_for_input)
        };
        assert_eq!(outcome(Ending::Cancelled("no".into())), ("cancelled".to_owned(), None));
        assert_eq!(outcome(Ending::OutOfTime), ("timeout".to_owned(), None));
        assert_eq!(outcome(Ending::Waiting), ("ok".to_owned(), Some(true)));
    }
}
