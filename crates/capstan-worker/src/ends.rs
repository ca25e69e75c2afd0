//! Ends of attempts: those that become ready while a request is under way travel together in the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_client::{
    Client, Error, FinishAttempt, LeaseConditions, Problem, REPORTS_MAX, SendReports, WorkerId, report_of,
};
use serde_json::{Map, Value};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::watch;

/// Most bytes of the reports of one request as JSON. A longer one travels alone.
const TOGETHER_BYTES_MAX: usize = 512 << 10;

type Outcome = Result<(), Error>;

/// Sends the ends of a worker's attempts. Clones share the request under way.
#[derive(Clone)]
pub(crate) struct Ends {
    client: Client,
    worker: watch::Receiver<WorkerId>,
    waiting: Arc<Mutex<Vec<Waiting>>>,
    /// Held by whoever sends.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").finish_non_exhaustive()
    }
}

/// An end that waits to be sent. Without an outcome its owner sends it again.
struct Waiting {
    report: Map<String, Value>,
    bytes: usize,
    told: oneshot::Sender<Outcome>,
}

impl Ends {
    pub(crate) fn new(client: Client, worker: watch::Receiver<WorkerId>) -> Self {
        Self { client, worker, waiting: Arc::default(), turn: Arc::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an end once, with all others that wait, and waits for nothing to gather more.
    pub(crate) async fn send(&self, end: &FinishAttempt, lease: &LeaseConditions) -> Outcome {
        let report = report_of(end, lease)?;
        let bytes = serde_json::to_string(&report).map_err(Error::Encode)?.len();
        if bytes > TOGETHER_BYTES_MAX {
            return self.client.send_with(end, lease).await.map(drop);
        }
        loop {
            let (told, mut outcome) = oneshot::channel();
            self.waiting().push(Waiting { report: report.clone(), bytes, told });
            let _turn = tokio::select! {
                biased;
                told = &mut outcome => match told {
                    Ok(told) => return told,
                    Err(_) => continue,
                },
                turn = self.turn.lock() => turn,
            };
            // The last one to have the turn may have sent it, or failed to.
            let mut failure = None;
            loop {
                match (outcome.try_recv(), failure.take()) {
                    (Ok(told), _) => return told,
                    (Err(TryRecvError::Empty), _) => failure = self.send_together().await.err(),
                    // The request is refused as a whole, for a reason that may be another's.
                    (Err(TryRecvError::Closed), Some(error)) if !Error::is_retryable(&error) => {
                        return self.client.send_with(end, lease).await.map(drop);
                    }
                    (Err(TryRecvError::Closed), Some(error)) => return Err(error),
                    (Err(TryRecvError::Closed), None) => break,
                }
            }
        }
    }

    /// Sends those that wait longest, and tells their owners.
    async fn send_together(&self) -> Outcome {
        let (reports, owners): (Vec<_>, Vec<_>) =
            take(&mut self.waiting()).into_iter().map(|one| (one.report, one.told)).unzip();
        let worker_id = *self.worker.borrow();
        let outcomes = self.client.send(&SendReports { worker_id, reports, lease_max: 0 }).await?;
        let missing = || Problem { status: 502, code: "outcome_missing".into(), ..Problem::default() };
        let outcomes = outcomes.reports.into_iter().map(outcome_of);
        let outcomes = outcomes.chain(std::iter::repeat_with(|| Err(Error::Problem(Box::new(missing())))));
        for (owner, outcome) in owners.into_iter().zip(outcomes) {
            // One that left needs no outcome.
            let _ = owner.send(outcome);
        }
        Ok(())
    }
}

/// Takes the oldest ends that fit into one request; leaves out those whose owners left.
fn take(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    waiting.retain(|one| !one.told.is_closed());
    let mut bytes = 0;
    let fits = |one: &&Waiting| {
        bytes += one.bytes;
        bytes <= TOGETHER_BYTES_MAX
    };
    let number = waiting.iter().take(REPORTS_MAX).take_while(fits).count();
    waiting.drain(..number).collect()
}

/// The outcome of one report: the status of its answer tells a problem document from a receipt.
fn outcome_of(answer: Map<String, Value>) -> Outcome {
    let is_problem = answer.get("status").and_then(Value::as_u64).is_none_or(|status| status >= 400);
    if !is_problem {
        return Ok(());
    }
    let problem: Problem =
        serde_json::from_value(answer.into()).map_err(|source| Error::Decode { status: 200, source })?;
    Err(Error::Problem(Box::new(problem)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting(bytes: usize) -> (Waiting, oneshot::Receiver<Outcome>) {
        let (told, outcome) = oneshot::channel();
        (Waiting { report: Map::new(), bytes, told }, outcome)
    }

    #[test]
    fn a_request_takes_the_oldest_that_fit_and_none_whose_owner_left() {
        let (mut list, mut owners): (Vec<_>, Vec<_>) =
            [400 << 10, 1, 2 << 10, 200 << 10, 3].map(waiting).into_iter().unzip();
        drop(owners.remove(1));
        let sizes = |taken: &[Waiting]| taken.iter().map(|one| one.bytes).collect::<Vec<_>>();
        assert_eq!(sizes(&take(&mut list)), [400 << 10, 2 << 10]);
        assert_eq!(sizes(&take(&mut list)), [200 << 10, 3]);
        assert!(take(&mut list).is_empty());
        let (mut list, _owners): (Vec<_>, Vec<_>) = (0..REPORTS_MAX + 5).map(|_| waiting(1)).unzip();
        assert_eq!((take(&mut list).len(), list.len()), (REPORTS_MAX, 5));
    }

    #[test]
    fn a_problem_is_told_from_a_receipt_by_its_status() {
        let of = |answer: Value| outcome_of(answer.as_object().unwrap().clone());
        assert!(of(json!({ "status": 200, "receipt": {} })).is_ok());
        let lost = of(json!({ "status": 409, "code": "lease_lost", "current_epoch": 4 })).unwrap_err();
        assert!(lost.is_lease_lost() && !lost.is_retryable());
        assert!(of(json!({ "status": 503, "code": "log_unavailable" })).unwrap_err().is_retryable());
    }
}
