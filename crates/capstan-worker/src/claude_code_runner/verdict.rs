//! The end of a conversation and its report.

use std::os::unix::process::ExitStatusExt;

use capstan_client::{ErrorClass, FinishAttempt, ReportedOutcome};
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::transcript::{Transcript, TurnResult};
use crate::agent::{Ended, Ending, exit_text, result_of, well_ended};

/// The longest final answer the report holds; the output holds more.
const TEXT_MAX: usize = 16 * 1024;

/// The final report.
pub(super) fn verdict(ended: Ended, transcript: &Transcript) -> FinishAttempt {
    let is_by_itself = matches!(ended.ending, Ending::Exited(_) | Ending::Lingered);
    let (exit_code, result) = (ended.exit_code, result_json(&ended, transcript));
    let report = match &transcript.result {
        Some(turn) if is_by_itself && turn.is_success() => well_ended(ended.said),
        Some(turn) if is_by_itself => failed(turn, transcript),
        None if is_by_itself => without_result(&ended),
        _ => result_of(ended),
    };
    FinishAttempt { exit_code, result: Some(result), ..report }
}

/// Facts for the next run and for operators.
fn result_json(ended: &Ended, transcript: &Transcript) -> Value {
    let mut result = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        result.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("session_id", transcript.session_id.as_ref().map(|id| json!(id)));
    if let Some(turn) = &transcript.result {
        let text = turn.text.as_deref().map(|text| &text[..text.floor_char_boundary(TEXT_MAX)]);
        add("text", text.map(|text| json!(text)));
        add("subtype", Some(json!(turn.subtype)));
        add("num_turns", turn.num_turns.map(|turns| json!(turns)));
        add("duration_ms", turn.duration_ms.map(|duration| json!(duration)));
    }
    add("result", ended.said.result.clone());
    Value::Object(result)
}

/// A turn that says itself that it failed.
fn failed(turn: &TurnResult, transcript: &Transcript) -> FinishAttempt {
    let error = turn.error_text();
    let error_class = class_of(turn, transcript.trouble.as_deref(), &error);
    let retry_after_ms = (error_class == Some(ErrorClass::RateLimited))
        .then(|| transcript.limit_until.or_else(|| limit_in(&error)))
        .flatten()
        .map(|until| until.saturating_mul(1000).saturating_sub(Utc::now().timestamp_millis()).max(0));
    FinishAttempt {
        error: Some(if error.is_empty() { "the turn failed and does not say why".to_owned() } else { error }),
        error_class,
        retry_after_ms,
        ..FinishAttempt::new(ReportedOutcome::Error)
    }
}

/// The error class, for the retry policy; `None` leaves it to the server, which reads the error text.
fn class_of(turn: &TurnResult, trouble: Option<&str>, error: &str) -> Option<ErrorClass> {
    let error = error.to_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| error.contains(text));
    match (turn.api_error_status, trouble) {
        (Some(429), _) | (None, Some("rate_limit")) => return Some(ErrorClass::RateLimited),
        (Some(500..), _) | (None, Some("server_error" | "overloaded")) => return Some(ErrorClass::Retryable),
        (Some(400..), _)
        | (None, Some("authentication_failed" | "billing_error" | "invalid_request" | "model_not_found")) => {
            return Some(ErrorClass::Terminal);
        }
        _ => {}
    }
    if matches!(
        turn.subtype.as_str(),
        "error_max_turns" | "error_max_budget_usd" | "error_max_structured_output_retries"
    ) {
        return Some(ErrorClass::Terminal);
    }
    if says(&["rate_limit", "rate limit", "usage limit reached", "error: 429"]) {
        return Some(ErrorClass::RateLimited);
    }
    says(&["overloaded", "error: 5", "connection error", "timed out"]).then_some(ErrorClass::Retryable)
}

/// `… usage limit reached|1700000000`: the instant some versions append.
fn limit_in(error: &str) -> Option<i64> {
    let (_, until) = error.split_once("limit reached|")?;
    let digits = until.find(|character: char| !character.is_ascii_digit()).unwrap_or(until.len());
    until[..digits].parse().ok()
}

/// A process that ended in the middle of a turn.
fn without_result(ended: &Ended) -> FinishAttempt {
    let how = match &ended.ending {
        Ending::Exited(status) => exit_text(*status, &ended.said.last_errors),
        _ => "it did not end".to_owned(),
    };
    // A command line that refuses its arguments or its credentials fails the same way again; one that was killed or ended
    // for no reason may not.
    let is_passing =
        matches!(&ended.ending, Ending::Exited(status) if status.success() || status.signal().is_some());
    FinishAttempt {
        error: Some(format!("the agent ended without a result: {how}")),
        error_class: is_passing.then_some(ErrorClass::Retryable),
        ..FinishAttempt::new(ReportedOutcome::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;
    use crate::agent::Said;

    fn exited(raw: i32) -> Ended {
        let status = ExitStatus::from_raw(raw);
        Ended { ending: Ending::Exited(status), exit_code: status.code(), said: Said::default() }
    }

    fn of_turn(turn: Value) -> Transcript {
        Transcript {
            session_id: Some("s-1".into()),
            result: Some(serde_json::from_value(turn).unwrap()),
            ..Transcript::default()
        }
    }

    #[test]
    fn a_success_is_ok_and_tells_session_and_answer() {
        let turn = json!({"subtype": "success", "is_error": false, "result": "42", "num_turns": 3, "duration_ms": 9});
        let report = verdict(exited(0), &of_turn(turn));
        assert_eq!((report.outcome, report.exit_code, &report.error), (ReportedOutcome::Ok, Some(0), &None));
        let result = json!({"session_id": "s-1", "text": "42", "subtype": "success", "num_turns": 3, "duration_ms": 9});
        assert_eq!(report.result, Some(result));
        let asked = Ended { said: Said { asked: true, ..Said::default() }, ..exited(0) };
        let turn = json!({"subtype": "success", "result": "?"});
        assert!(verdict(asked, &of_turn(turn)).waiting_for_input);
    }

    #[test]
    fn a_failed_turn_says_why_and_whether_another_try_may_help() {
        let class = |turn: Value| {
            let report = verdict(exited(1 << 8), &of_turn(turn));
            assert_eq!(report.outcome, ReportedOutcome::Error);
            (report.error.unwrap_or_default(), report.error_class)
        };
        let (error, kind) = class(json!({"subtype": "error_max_turns", "is_error": true}));
        assert_eq!((error.as_str(), kind), ("error_max_turns", Some(ErrorClass::Terminal)));
        let (error, kind) =
            class(json!({"subtype": "error_during_execution", "is_error": true, "errors": ["x", "y"]}));
        assert_eq!((error.as_str(), kind), ("error_during_execution: x\ny", None));
        for (turn, expected) in [
            (json!({"result": "API Error: 529 overloaded_error"}), ErrorClass::Retryable),
            (json!({"result": "API Error: 429 rate_limit_error"}), ErrorClass::RateLimited),
            (json!({"result": "trouble", "api_error_status": 429}), ErrorClass::RateLimited),
            (json!({"result": "trouble", "api_error_status": 503}), ErrorClass::Retryable),
            (json!({"result": "trouble", "api_error_status": 401}), ErrorClass::Terminal),
        ] {
            let Value::Object(mut turn) = turn else { unreachable!() };
            turn.extend([("subtype".to_owned(), json!("success")), ("is_error".to_owned(), json!(true))]);
            assert_eq!(class(Value::Object(turn.clone())).1, Some(expected), "{turn:?}");
        }
    }

    #[test]
    fn a_limit_is_waited_out() {
        let until = Utc::now().timestamp() + 600;
        let turn = json!({"subtype": "success", "is_error": true, "result": format!("Claude AI usage limit reached|{until}")});
        let pause = verdict(exited(1 << 8), &of_turn(turn)).retry_after_ms.unwrap();
        assert!((590_000..=600_000).contains(&pause), "{pause}");
        let turn = json!({"subtype": "success", "is_error": true, "result": "x", "api_error_status": 429});
        let told = Transcript { limit_until: Some(until), ..of_turn(turn) };
        assert!(verdict(exited(1 << 8), &told).retry_after_ms.is_some_and(|pause| pause > 0));
    }

    #[test]
    fn an_end_without_a_result_is_an_error_whatever_the_exit_code() {
        let mut refused = exited(1 << 8);
        refused.said.last_errors = vec!["error: unknown option '--verbos'".into()];
        let report = verdict(refused, &Transcript::default());
        let error = report.error.unwrap();
        assert!(error.contains("without a result") && error.contains("--verbos"), "{error}");
        assert_eq!((report.outcome, report.error_class), (ReportedOutcome::Error, None));
        for raw in [0, 9] {
            let report = verdict(exited(raw), &Transcript::default());
            assert_eq!(report.error_class, Some(ErrorClass::Retryable));
        }
    }

    #[test]
    fn an_agent_that_was_stopped_is_reported_by_why() {
        let ended = |ending| Ended { ending, exit_code: None, said: Said::default() };
        let turn = || of_turn(json!({"subtype": "error_during_execution", "is_error": true}));
        let cancelled = verdict(ended(Ending::Cancelled("enough".into())), &turn());
        assert_eq!(
            (cancelled.outcome, cancelled.error.as_deref()),
            (ReportedOutcome::Cancelled, Some("enough"))
        );
        assert_eq!(cancelled.result.unwrap()["session_id"], "s-1");
        assert_eq!(verdict(ended(Ending::OutOfTime), &turn()).outcome, ReportedOutcome::Timeout);
        assert!(verdict(ended(Ending::Waiting), &turn()).waiting_for_input);
    }
}
