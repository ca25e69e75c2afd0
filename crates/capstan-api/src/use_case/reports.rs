//! Reports of several attempts in one request, each with an outcome of its own.

use std::collections::BTreeMap;

use capstan_contract::command::{LeaseAttempts, REPORTS, REPORTS_MAX, SendReports, Unconditional};
use capstan_contract::lease::SLOTS_MAX;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::worker_call::{Calling, WorkerCall, execute_by_name};
use crate::App;
use crate::answered::Answered;
use crate::auth::caller::Caller;
use crate::call::CallContext;
use crate::problem::{Code, Problem};

/// Attempts of one request whose reports are executed at once.
const CONCURRENCY: usize = 64;

/// A report with its place in the request.
type Placed = (usize, Map<String, Value>);

/// The answer, as `ReportOutcomes` reads it.
#[derive(Serialize)]
struct Outcomes {
    reports: Vec<Value>,
    leased: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_problem: Option<Value>,
}

/// A worker that sends reports.
#[derive(Clone, Copy)]
struct Sender<'a> {
    app: &'a App,
    caller: &'a Caller,
    call: &'a CallContext,
}

impl WorkerCall for SendReports {
    const IS_LOG_BATCH: bool = true;

    /// Executes the reports of different attempts side by side and those of one attempt in their order, then leases.
    async fn execute(self, from: Calling<'_, Unconditional>) -> Result<Answered, Problem> {
        let Self { worker_id, reports, lease_max } = self;
        if reports.len() > REPORTS_MAX {
            let detail = format!("a request has at most {REPORTS_MAX} reports");
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
        if lease_max > SLOTS_MAX {
            return Err(Problem::invalid_field("/lease_max", format!("must be {SLOTS_MAX} or less")));
        }
        let Calling { app, caller, call, conditions } = from;
        let sender = Sender { app, caller, call: &call };
        let mut outcomes = vec![Value::Null; reports.len()];
        let by_attempt = by_attempt(reports).into_iter().map(|reports| sender.in_order(reports));
        let mut under_way = stream::iter(by_attempt).buffer_unordered(CONCURRENCY);
        while let Some(done) = under_way.next().await {
            for (place, outcome) in done {
                outcomes[place] = outcome;
            }
        }
        let none = RawValue::from_string("[]".to_owned()).map_err(Problem::internal)?;
        let mut answer = Outcomes { reports: outcomes, leased: none, lease_problem: None };
        if lease_max > 0 {
            let ask = LeaseAttempts { worker_id, max: lease_max, wait_ms: 0 };
            match ask.execute(Calling { app, caller, call: call.clone(), conditions }).await {
                Ok(leased) => {
                    answer.leased = serde_json::from_slice(&leased.json).map_err(Problem::internal)?;
                }
                Err(problem) => answer.lease_problem = Some(sender.refusal(&problem)),
            }
        }
        Ok(Answered::json(&answer))
    }
}

/// The reports of each attempt, in their order. One without an attempt is refused alone.
fn by_attempt(reports: Vec<Map<String, Value>>) -> Vec<Vec<Placed>> {
    let mut attempts: BTreeMap<(Option<String>, usize), Vec<Placed>> = BTreeMap::new();
    for (place, report) in reports.into_iter().enumerate() {
        let attempt = report.get("attempt_id").and_then(Value::as_str).map(str::to_owned);
        let alone = if attempt.is_none() { place } else { 0 };
        attempts.entry((attempt, alone)).or_default().push((place, report));
    }
    attempts.into_values().collect()
}

impl Sender<'_> {
    /// Executes the reports of one attempt. None is executed after one that may succeed later: a repeat of the request
    /// keeps their order.
    async fn in_order(self, reports: Vec<Placed>) -> Vec<(usize, Value)> {
        let mut done = Vec::with_capacity(reports.len());
        let mut failed: Option<Problem> = None;
        for (place, report) in reports {
            let outcome = match &failed {
                Some(problem) => Err(not_before(problem)),
                None => self.one(report).await,
            };
            // A server's failure counts too: the worker repeats the report.
            if let Err(problem) = &outcome
                && (problem.is_temporary() || problem.status() >= 500)
                && failed.is_none()
            {
                failed = Some(problem.clone());
            }
            done.push((place, outcome.unwrap_or_else(|problem| self.refusal(&problem))));
        }
        done
    }

    async fn one(self, mut report: Map<String, Value>) -> Result<Value, Problem> {
        let name = match report.remove("type") {
            Some(Value::String(name)) if REPORTS.contains(&name.as_str()) => name,
            _ => {
                return Err(Problem::invalid_field(
                    "/type",
                    format!("must be one of {}", REPORTS.join(", ")),
                ));
            }
        };
        let json = serde_json::to_vec(&report).map_err(Problem::internal)?;
        let answered = execute_by_name(self.app, self.caller, &name, &[], &json, self.call.clone()).await?;
        let mut shown: Map<String, Value> =
            serde_json::from_slice(&answered.json).map_err(Problem::internal)?;
        shown.insert("status".to_owned(), answered.status.into());
        Ok(shown.into())
    }

    fn refusal(self, problem: &Problem) -> Value {
        problem.log(self.call.correlation_id);
        serde_json::to_value(problem.document(self.call.correlation_id)).unwrap_or_default()
    }
}

/// The problem of a report that waits for an earlier one.
fn not_before(problem: &Problem) -> Problem {
    let detail = format!("not executed, because an earlier report of the attempt failed: {}", problem.detail);
    Problem { detail: detail.into(), source: None, ..problem.clone() }
}

#[cfg(test)]
mod tests {
    use capstan_contract::command::WORKER_CALLS;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_report_is_a_call_of_workers() {
        let is_call = |name: &&&str| WORKER_CALLS.iter().any(|call| call.name == **name);
        assert_eq!(REPORTS.iter().filter(is_call).count(), REPORTS.len());
    }

    #[test]
    fn reports_of_an_attempt_keep_their_order_and_those_of_others_their_own() {
        let report = |attempt: Value| Map::from_iter([("attempt_id".to_owned(), attempt)]);
        let reports =
            vec![report(json!("b")), report(json!("a")), report(json!(7)), report(json!("b")), Map::new()];
        let places = |placed: &Vec<Placed>| placed.iter().map(|(place, _)| *place).collect::<Vec<_>>();
        let mut lines: Vec<_> = by_attempt(reports).iter().map(places).collect();
        lines.sort();
        assert_eq!(lines, [vec![0, 3], vec![1], vec![2], vec![4]]);
    }
}
