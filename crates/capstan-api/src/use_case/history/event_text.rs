//! The events of a task as text: one line each.

use capstan_domain::change::Change;
use capstan_domain::task::Event;
use capstan_domain::task::event::{
    AttemptOutcome, BlockerClosed, BlockerKind, BlockerOpened, BlockerStatus, Decision, DropReason,
    InputAccepted, InputOutcome, InputSource, Join, RetryReason, RunCause, RunRequested, RunStatus,
    SubtaskEnded, ToolCallDecided, ToolExecutor, ToolOutcome, ToolPermission, Verdict,
};
use chrono::{DateTime, SecondsFormat, Utc};

/// Longest quotation, in characters.
const QUOTED_MAX: usize = 160;

/// The event in one line.
pub(crate) fn text(event: &Event) -> String {
    match event {
        Event::TaskAccepted(e) => format!("Accepted for agent {}: {}", e.agent_name, quoted(&e.message)),
        Event::RunRequested(e) => run_requested(e),
        Event::AttemptLeased(e) => format!("Attempt {} was leased to worker {}", e.attempt_no, e.worker_name),
        Event::AttemptStarted(_) => "The worker started the agent".to_owned(),
        Event::AttemptCancelRequested(e) => format!("The worker was asked to stop: {}", e.reason),
        Event::AttemptEnded(e) => with_reason(attempt_ended(e.outcome), e.error.as_deref()),
        Event::RetryScheduled(e) => {
            format!("Attempt {} is available at {}: {}", e.attempt_no, time(e.available_at), retry(e.reason))
        }
        Event::RunEnded(e) => with_reason(run_ended(e.status), e.error.as_deref()),
        Event::UsageRecorded(e) => {
            format!("Used {} tokens for {} US dollars", e.usage.total_tokens, e.usage.cost_usd)
        }
        Event::TaskContinued(_) => "The agent resumed".to_owned(),
        Event::TaskSlept(e) => with_reason(&format!("Sleeps until {}", time(e.wake_at)), e.reason.as_deref()),
        Event::TaskDone(_) => "Done".to_owned(),
        Event::TaskFailed(e) => with_reason("Failed", Some(&e.error)),
        Event::TaskCancelled(e) => with_reason("Cancelled", e.reason.as_deref()),
        Event::TaskDropped(e) => with_reason("Dropped", Some(dropped(e.reason))),
        Event::TaskArchived(_) => "Archived".to_owned(),
        Event::TaskUnarchived(_) => "Unarchived".to_owned(),
        Event::TaskReprioritised(e) => format!("Priority set to {}", e.priority.as_str()),
        Event::TaskBudgetSet(e) => match e.budget_usd {
            Some(limit) => format!("Budget set to {limit} US dollars"),
            None => "Budget removed".to_owned(),
        },
        Event::TaskLabelled(e) => match &e.label {
            Change::Set(label) => format!("Label set to {}", quoted(label)),
            Change::Clear => "Label removed".to_owned(),
            Change::Keep => "Labels changed".to_owned(),
        },
        Event::TaskDeadlineSet(e) => match e.deadline {
            Some(deadline) => format!("Deadline set to {}", time(deadline)),
            None => "Deadline removed".to_owned(),
        },
        Event::TaskRoutingSet(_) => "Reply address changed".to_owned(),
        Event::TaskPayloadSet(_) => "Payload of later runs changed".to_owned(),
        Event::BlockerOpened(e) => blocker_opened(e),
        Event::BlockerUpdated(e) => format!("Question updated: {}", quoted(&e.summary)),
        Event::BlockerVoted(e) => format!("Approved by {}; more approvals required", e.by),
        Event::BlockerClosed(e) => blocker_closed(e),
        Event::InputAccepted(e) => input_accepted(e),
        Event::InputClaimed(_) => "The worker claimed an input".to_owned(),
        Event::InputReturned(_) => "An input was returned to the inbox".to_owned(),
        Event::InputDeferred(e) => format!("An input is deferred to the end of the turn: {}", e.reason),
        Event::InputConsumed(_) => "The agent received the input".to_owned(),
        Event::OutputProduced(e) => format!("Produced {} {}", e.output_type, quoted(&e.title)),
        Event::OutputRowsAppended(e) => format!("Appended rows to an output: {}", e.rows.len()),
        Event::OutputFinalized(e) => format!("Finalized an output: {}", quoted(&e.summary)),
        Event::OutputStatusChanged(e) => {
            with_reason(&format!("Output status changed to {}", e.status.as_str()), e.reason.as_deref())
        }
        Event::OutputArchived(_) => "An output was archived".to_owned(),
        Event::ToolCallDeferred(e) => format!("Requests to call {}: {}", e.tool, quoted(&e.summary)),
        Event::ToolCallAllowed(e) => match e.by {
            ToolPermission::Policy => format!("Call of {} allowed by policy", e.tool),
            ToolPermission::PreApproval => format!("Call of {} allowed once, as approved", e.tool),
        },
        Event::ToolCallDecided(e) => tool_call_decided(e),
        Event::ToolExecutionStarted(e) => format!("Execution of the approved call started, try {}", e.try_no),
        Event::ToolExecutionEnded(e) => with_reason(
            match e.outcome {
                ToolOutcome::Ok => "The approved call succeeded",
                ToolOutcome::Error => "The approved call failed",
                ToolOutcome::Unknown => "The outcome of the approved call is unknown",
            },
            e.error.as_deref(),
        ),
        Event::SubtasksSpawned(e) => match e.join {
            Join::None => format!("Spawned {} subtasks", e.subtasks.len()),
            Join::All => format!("Spawned {} subtasks and waits for all of them", e.subtasks.len()),
            Join::Any => format!("Spawned {} subtasks and waits for the first", e.subtasks.len()),
        },
        Event::SubtaskEnded(e) => subtask_ended(e),
        Event::ParentTold(_) => "The parent task was notified".to_owned(),
        Event::WatchArmed(e) => {
            with_reason(&format!("Watches {}", e.watch.integration), e.watch.reason.as_deref())
        }
        Event::WatchFired(_) => "The watch fired".to_owned(),
        Event::WatchDisarmed(_) => "The watch was removed".to_owned(),
        Event::BudgetWarned(e) => {
            format!("Spent {} of {} US dollars of the {} budget", e.spent_usd, e.limit_usd, e.scope.as_str())
        }
        Event::BudgetExceeded(e) => {
            format!("The {} budget of {} US dollars is spent", e.scope.as_str(), e.limit_usd)
        }
    }
}

fn run_requested(requested: &RunRequested) -> String {
    let cause = match requested.cause {
        RunCause::Accepted => "",
        RunCause::Input => " for an input",
        RunCause::Wake => " because its timer fired",
        RunCause::Retry => " because a caller retried the task",
        RunCause::Interrupt => " in place of the interrupted run",
        RunCause::Subtasks => " because its subtasks have ended",
        RunCause::Budget => " because the budget was raised",
        RunCause::ToolCall => " because the tool call was decided",
    };
    let again = if requested.reopens { "Reopened: run" } else { "Run" };
    format!("{again} {} waits for a worker{cause}", requested.run_no)
}

fn attempt_ended(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Ok => "The attempt succeeded",
        AttemptOutcome::Error => "The attempt failed",
        AttemptOutcome::Timeout => "The attempt timed out",
        AttemptOutcome::Lost => "The attempt was lost",
        AttemptOutcome::Cancelled => "The attempt was cancelled",
    }
}

fn run_ended(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Accepted | RunStatus::Running => "The run is active",
        RunStatus::Ok => "The run succeeded",
        RunStatus::Error => "The run failed",
        RunStatus::Timeout => "The run timed out",
        RunStatus::Cancelled => "The run was cancelled",
    }
}

fn retry(reason: RetryReason) -> &'static str {
    match reason {
        RetryReason::RetryableError => "the error is retryable",
        RetryReason::RateLimited => "the provider limits the rate",
        RetryReason::LeaseLost => "the lease was lost",
        RetryReason::Returned => "the worker returned the attempt",
    }
}

fn dropped(reason: DropReason) -> &'static str {
    match reason {
        DropReason::QueueTtl => "no worker was available in time",
        DropReason::DispatchRetryExhausted => "too many attempts were lost",
        DropReason::RunMaterializationFailed => "no run could be created",
    }
}

fn blocker_opened(opened: &BlockerOpened) -> String {
    let summary = quoted(&opened.summary);
    match opened.kind {
        BlockerKind::Input => format!("Asks: {summary}"),
        BlockerKind::Approval if opened.items.is_empty() => format!("Asks for approval: {summary}"),
        BlockerKind::Approval if opened.items.len() == 1 => {
            format!("Asks for approval of an output: {summary}")
        }
        BlockerKind::Approval => format!("Asks for approval of {} outputs: {summary}", opened.items.len()),
        BlockerKind::Budget => format!("Waits for budget: {summary}"),
        BlockerKind::Subtasks => format!("Waits for its subtasks: {summary}"),
    }
}

fn blocker_closed(closed: &BlockerClosed) -> String {
    let what = match closed.status {
        BlockerStatus::Open => "The question is open",
        BlockerStatus::Resolved => "The question is resolved",
        BlockerStatus::Superseded => "The question was replaced",
        BlockerStatus::Expired => "The question expired",
        BlockerStatus::Cancelled => "The question was cancelled",
    };
    let Some(resolution) = &closed.resolution else { return what.to_owned() };
    let mut text = match resolution.action {
        Some(Verdict::Approve) => format!("{what}: approved"),
        Some(Verdict::Reject) => format!("{what}: rejected"),
        Some(Verdict::Mixed) => {
            let yes = resolution.items.iter().filter(|item| item.action == Decision::Approve).count();
            format!("{what}: {yes} approved, {} rejected", resolution.items.len() - yes)
        }
        None => what.to_owned(),
    };
    if let Some(by) = &resolution.by {
        text = format!("{text} by {by}");
    }
    text
}

fn input_accepted(input: &InputAccepted) -> String {
    let source = match input.source {
        InputSource::Caller => "Input",
        InputSource::Watch => "Input from a watch",
        InputSource::Subtasks => "Input from its subtasks",
        InputSource::ToolCall => "Input from the tool call",
        InputSource::Deadline => "Input from a deadline",
    };
    let outcome = match input.outcome {
        InputOutcome::Delivered => "delivered to the agent",
        InputOutcome::Queued => "queued until the end of the turn",
        InputOutcome::Resumed => "the session resumes with it",
        InputOutcome::Interrupted => "the current run is interrupted",
        InputOutcome::Recorded => "recorded",
    };
    let said = input.said.as_deref().filter(|said| !said.is_empty()).unwrap_or(&input.message);
    match (said.is_empty(), input.action) {
        (true, Some(Verdict::Approve)) => format!("Approved; {outcome}"),
        (true, Some(Verdict::Reject)) => format!("Rejected; {outcome}"),
        (true, Some(Verdict::Mixed)) => format!("Decided item by item; {outcome}"),
        (true, None) => format!("{source}: empty; {outcome}"),
        (false, _) => format!("{source}: {}; {outcome}", quoted(said)),
    }
}

fn tool_call_decided(decided: &ToolCallDecided) -> String {
    match (decided.approved, decided.executor) {
        (false, _) => with_reason("The tool call was rejected", decided.reason.as_deref()),
        (true, Some(ToolExecutor::Http)) => "The tool call was approved; its endpoint executes it".to_owned(),
        (true, Some(ToolExecutor::Worker)) => "The tool call was approved; a worker executes it".to_owned(),
        (true, None) => "The tool call was approved; the agent may repeat it".to_owned(),
    }
}

fn subtask_ended(ended: &SubtaskEnded) -> String {
    let name =
        ended.label.as_deref().map_or_else(|| "A subtask".to_owned(), |label| format!("Subtask {label}"));
    with_reason(&format!("{name} ended as {}", ended.state.as_str()), ended.error.as_deref())
}

fn with_reason(what: &str, reason: Option<&str>) -> String {
    match reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{what}: {}", shortened(reason)),
        None => what.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("“{}”", shortened(text))
}

/// One line of at most [`QUOTED_MAX`] characters.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use capstan_contract::{CATALOGUE, DomainEvent, EventName};
    use capstan_envelope::EventRecord;
    use serde_json::value::RawValue;

    use super::*;

    /// The blessed sample of an event's present version.
    fn sample(event: &EventName) -> DomainEvent {
        let version = event.version();
        let path = format!(
            "{}/../../schemas/events/{}/{}.v{version}.sample.json",
            env!("CARGO_MANIFEST_DIR"),
            event.category,
            event.name,
        );
        let data = RawValue::from_string(std::fs::read_to_string(path).unwrap()).unwrap();
        DomainEvent::decode(event.category, &EventRecord { name: event.name.to_owned(), version, data })
            .unwrap()
    }

    #[test]
    fn every_fact_of_a_task_reads_as_one_plain_line() {
        for event in CATALOGUE.iter().filter(|event| event.category == "task") {
            let DomainEvent::Task(fact) = sample(event) else {
                panic!("{} is no fact of a task", event.name)
            };
            let line = text(&fact);
            assert!(!line.is_empty() && !line.contains('\n'), "{}: {line:?}", event.name);
            assert!(line.chars().next().is_some_and(char::is_uppercase), "{}: {line:?}", event.name);
        }
    }

    #[test]
    fn long_words_are_cut_and_lines_joined() {
        assert_eq!(quoted("a\n  b"), "“a b”");
        assert_eq!(shortened(&"é".repeat(QUOTED_MAX + 1)).chars().count(), QUOTED_MAX + 1);
    }
}
