//! The end of an execution and its report.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use capstan_client::{ErrorClass, FinishAttempt, ReportedOutcome};

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
pub(crate) fn result_of(ended: Ended) -> FinishAttempt {
    let Ended { ending, exit_code, said } = ended;
    let with = |outcome: ReportedOutcome, error: Option<String>| FinishAttempt {
        exit_code,
        error,
        result: said.result.clone(),
        ..FinishAttempt::new(outcome)
    };
    match &ending {
        Ending::Exited(status) if status.success() => FinishAttempt { exit_code, ..well_ended(said) },
        Ending::Exited(status) => with(ReportedOutcome::Error, Some(exit_text(*status, &said.last_errors))),
        Ending::Broken(error) => {
            with(ReportedOutcome::Error, Some(format!("the process could not be waited for: {error}")))
        }
        Ending::Cancelled(reason) => with(ReportedOutcome::Cancelled, Some(reason.clone())),
        Ending::OutOfTime => with(ReportedOutcome::Timeout, None),
        Ending::Lingered => FinishAttempt { exit_code, ..well_ended(said) },
        Ending::Waiting => FinishAttempt { exit_code, ..well_ended(Said { asked: true, ..said }) },
        Ending::GivenUp | Ending::Lost => {
            with(ReportedOutcome::Error, Some("the attempt was abandoned".to_owned()))
        }
    }
}

/// A successful end, with the agent's planned subtasks, watches and wakes. A plan that could not be read whole fails the
/// run: another attempt would write it again.
pub(crate) fn well_ended(said: Said) -> FinishAttempt {
    if let Some(reason) = said.refused {
        return FinishAttempt {
            error: Some(format!("the plan of the agent was refused: {reason}")),
            error_class: Some(ErrorClass::Terminal),
            result: said.result,
            ..FinishAttempt::new(ReportedOutcome::Error)
        };
    }
    FinishAttempt {
        waiting_for_input: said.asked,
        wake: said.wake,
        subtasks: said.subtasks,
        join: said.join,
        source_watches: (!said.watches.is_empty()).then_some(said.watches),
        result: said.result,
        ..FinishAttempt::new(ReportedOutcome::Ok)
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
    use capstan_client::SubtaskSpec;

    use super::*;

    fn said(last_errors: &[&str], asked: bool) -> Said {
        Said {
            last_errors: last_errors.iter().map(|line| (*line).to_owned()).collect(),
            asked,
            ..Said::default()
        }
    }

    #[test]
    fn a_plan_that_could_not_be_read_fails_the_run_for_good() {
        let said = Said { refused: Some("message wake: unknown field `dely`".into()), ..Said::default() };
        let report = well_ended(said);
        assert_eq!(
            (report.outcome, report.error_class),
            (ReportedOutcome::Error, Some(ErrorClass::Terminal))
        );
        assert!(report.error.unwrap().ends_with("was refused: message wake: unknown field `dely`"));
    }

    #[test]
    fn exit_code_zero_is_ok_and_waits_when_a_question_is_open() {
        let status = ExitStatus::from_raw(0);
        let result = result_of(Ended {
            ending: Ending::Exited(status),
            exit_code: status.code(),
            said: said(&["a warning"], true),
        });
        assert_eq!((result.outcome, result.exit_code, result.error), (ReportedOutcome::Ok, Some(0), None));
        assert!(result.waiting_for_input);
    }

    #[test]
    fn a_failure_says_what_standard_error_said_last() {
        let status = ExitStatus::from_raw(3 << 8);
        let result = result_of(Ended {
            ending: Ending::Exited(status),
            exit_code: status.code(),
            said: said(&["429", "bye"], false),
        });
        assert_eq!((result.outcome, result.exit_code), (ReportedOutcome::Error, Some(3)));
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
        assert_eq!(outcome(Ending::Cancelled("no".into())), (ReportedOutcome::Cancelled, false));
        assert_eq!(outcome(Ending::OutOfTime), (ReportedOutcome::Timeout, false));
        assert_eq!(outcome(Ending::Waiting), (ReportedOutcome::Ok, true));
    }

    #[test]
    fn an_agent_that_is_stopped_while_it_waits_keeps_its_plan() {
        let ended = |said| result_of(Ended { ending: Ending::Waiting, exit_code: None, said });
        let subtask = SubtaskSpec { prompt: "look".into(), ..SubtaskSpec::default() };
        let planned = ended(Said { subtasks: vec![subtask.clone()], ..said(&[], true) });
        assert_eq!((planned.subtasks, planned.waiting_for_input), (vec![subtask], true));
        let refused = ended(Said { refused: Some("message blocker: no".into()), ..said(&[], true) });
        assert_eq!((refused.outcome, refused.waiting_for_input), (ReportedOutcome::Error, false));
    }
}
