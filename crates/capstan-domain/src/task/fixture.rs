//! Histories and commands with sensible values, for the tests of the rules.

use capstan_decider::spec::{Given, given};
use chrono::{DateTime, Duration, Utc};
use serde_json::Map;
use uuid::Uuid;

use crate::Requested;
use crate::id::{AttemptId, BlockerId, InputId, OutputId, RunId, TaskId, WorkerId, derived};
use crate::outcome_text::ErrorClass;
use crate::task::command::{
    Accept, AcceptAgentCommand, AckInput, AskedKind, CancelTask, Command, DeferInput, ExpireBlocker,
    ExpireLease, FinishAttempt, Lease, MESSAGE_BYTES_MAX, NewOutputStatus, OpenBlocker, ProduceOutput,
    ReleaseAttempt, ReleaseCause, ReportedOutcome, SubmitInput, SubmitTaskInput, TimeOutAttempt, WakePlan,
};
use crate::task::event::{AttemptStarted, Event};
use crate::task::{Task, TaskDecider};

pub(super) const GRACE_MS: i64 = 10_000;

/// The instant this many seconds after the tests begin.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(seconds)
}

pub(super) fn task_id() -> TaskId {
    TaskId(Uuid::from_u128(1))
}

pub(super) fn run(number: u32) -> RunId {
    RunId::for_task(task_id(), number)
}

pub(super) fn attempt(epoch: u64) -> AttemptId {
    AttemptId { workspace: "dev".into(), task: task_id(), epoch }
}

pub(super) fn input_id(number: u128) -> InputId {
    InputId(Uuid::from_u128(100 + number))
}

pub(super) fn output_id(number: u128) -> OutputId {
    OutputId(Uuid::from_u128(200 + number))
}

pub(super) fn blocker_id(revision: u32) -> BlockerId {
    BlockerId::for_task(task_id(), revision)
}

pub(super) fn agent() -> crate::agent::Created {
    crate::agent::Created::named("dev", "demo", "Demo", at(-1))
}

pub(super) fn agent_command() -> AcceptAgentCommand {
    let (message, session_id) = ("do it".into(), Some("s-1".into()));
    AcceptAgentCommand { message, session_id, ..AcceptAgentCommand::default() }
}

impl From<AcceptAgentCommand> for Accept {
    fn from(command: AcceptAgentCommand) -> Self {
        Self {
            message_bytes_max: 1000,
            accepted_by: Some("ann".into()),
            ..Self::new(task_id(), agent(), command)
        }
    }
}

pub(super) fn accept() -> Accept {
    agent_command().into()
}

pub(super) fn accepting(accept: impl Into<Accept>) -> Requested<Command> {
    Command::Accept(Box::new(accept.into())).at(at(0))
}

pub(super) fn lease(run_no: u32, seconds: i64) -> Requested<Command> {
    Command::Lease(Lease {
        run_id: run(run_no),
        worker_id: WorkerId(Uuid::from_u128(9)),
        worker_name: "w".into(),
        lease_ms: 30_000,
    })
    .at(at(seconds))
}

/// The start of an attempt, the first of the run with this number.
pub(super) fn start(epoch: u64) -> Event {
    let run_id = run(u32::try_from(epoch).expect("a small epoch"));
    Event::AttemptStarted(AttemptStarted { attempt_id: attempt(epoch), run_id })
}

pub(super) fn input(number: u128, message: &str) -> SubmitInput {
    SubmitInput {
        by: Some("bob".into()),
        grace_ms: GRACE_MS,
        message_bytes_max: 1000,
        ..SubmitInput::new(input_id(number), SubmitTaskInput::from_text(task_id(), message))
    }
}

/// An input of which more is said than its text.
pub(super) fn input_with(
    number: u128,
    message: &str,
    change: impl FnOnce(&mut SubmitTaskInput),
) -> SubmitInput {
    let mut input = input(number, message);
    change(&mut input.input);
    input
}

pub(super) fn say(number: u128, message: &str) -> Requested<Command> {
    submit(input(number, message))
}

/// Says something in a queue mode.
pub(super) fn say_as(number: u128, message: &str, queue_mode: &str) -> Requested<Command> {
    submit(input_with(number, message, |input| input.queue_mode = Some(queue_mode.into())))
}

/// Approves or rejects, perhaps with some words.
pub(super) fn decide(number: u128, action: &str, message: &str) -> SubmitInput {
    input_with(number, message, |input| input.action = Some(action.into()))
}

pub(super) fn submit(input: SubmitInput) -> Requested<Command> {
    Command::SubmitInput(input).at(at(20))
}

pub(super) fn defer(epoch: u64, number: u128) -> Requested<Command> {
    let command = DeferInput { input_id: input_id(number), reason: "the agent takes no input now".into() };
    Command::DeferInput { command, attempt_id: attempt(epoch) }.at(at(23))
}

pub(super) fn claim(epoch: u64) -> Requested<Command> {
    Command::ClaimInput { attempt_id: attempt(epoch) }.at(at(21))
}

pub(super) fn ack(epoch: u64, number: u128) -> Requested<Command> {
    let command = AckInput { input_id: input_id(number) };
    Command::AckInput { command, attempt_id: attempt(epoch) }.at(at(22))
}

pub(super) fn question(summary: &str) -> OpenBlocker {
    OpenBlocker { summary: summary.into(), ..OpenBlocker::default() }
}

pub(super) fn ask(epoch: u64, summary: &str) -> Requested<Command> {
    open(epoch, question(summary))
}

pub(super) fn open(epoch: u64, question: OpenBlocker) -> Requested<Command> {
    open_fitting(epoch, question, &[])
}

/// Opens a question that these inputs fit.
pub(super) fn open_fitting(epoch: u64, question: OpenBlocker, inputs: &[u128]) -> Requested<Command> {
    let fitting = inputs.iter().map(|number| input_id(*number)).collect();
    Command::OpenBlocker { command: Box::new(question), attempt_id: attempt(epoch), fitting }.at(at(15))
}

/// A request to approve.
pub(super) fn request(summary: &str) -> OpenBlocker {
    OpenBlocker { kind: Some(AskedKind::Approval), ..question(summary) }
}

pub(super) fn expire_blocker(revision: u32, seconds: i64) -> Requested<Command> {
    let blocker_id = blocker_id(revision);
    Command::ExpireBlocker(ExpireBlocker { blocker_id, grace_ms: GRACE_MS }).at(at(seconds))
}

/// Replaces the message of the task.
pub(super) fn change_message(message: &str) -> Requested<Command> {
    let update = serde_json::json!({ "task_id": task_id(), "payload_json": { "message": message } });
    let command = serde_json::from_value(update).unwrap();
    Command::Update { command, message_bytes_max: MESSAGE_BYTES_MAX }.at(at(30))
}

pub(super) fn cancel() -> Requested<Command> {
    let command = CancelTask { task_id: task_id(), reason: Some("enough".into()) };
    Command::Cancel { command, grace_ms: GRACE_MS }.at(at(30))
}

pub(super) fn expire(epoch: u64) -> Requested<Command> {
    Command::ExpireLease(ExpireLease { attempt_id: attempt(epoch), reason: "the worker fell silent".into() })
        .at(at(40))
}

pub(super) fn release_after(epoch: u64, seconds: i64) -> Requested<Command> {
    let cause = ReleaseCause::GraceOver;
    Command::ReleaseAttempt(ReleaseAttempt { attempt_id: attempt(epoch), cause }).at(at(seconds))
}

pub(super) fn time_out(epoch: u64, seconds: i64) -> Requested<Command> {
    Command::TimeOutAttempt(TimeOutAttempt { attempt_id: attempt(epoch), grace_ms: GRACE_MS }).at(at(seconds))
}

pub(super) fn report(outcome: ReportedOutcome) -> FinishAttempt {
    FinishAttempt::new(outcome)
}

pub(super) fn failure(class: ErrorClass) -> FinishAttempt {
    FinishAttempt {
        error: Some("boom".into()),
        error_class: Some(class),
        exit_code: Some(1),
        ..report(ReportedOutcome::Error)
    }
}

/// The first attempt reports its end.
pub(super) fn finishing(report: FinishAttempt) -> Requested<Command> {
    finishing_by(1, report)
}

pub(super) fn finishing_by(epoch: u64, report: FinishAttempt) -> Requested<Command> {
    Command::Finish { command: Box::new(report), attempt_id: attempt(epoch) }.at(at(50))
}

pub(super) fn finish_ok(epoch: u64) -> Requested<Command> {
    finishing_by(epoch, report(ReportedOutcome::Ok))
}

pub(super) fn wake_in(minutes: i64) -> WakePlan {
    WakePlan { delay_minutes: Some(minutes), ..WakePlan::default() }
}

pub(super) fn output(number: u128, status: NewOutputStatus) -> ProduceOutput {
    ProduceOutput {
        id: None,
        name: Some(number.to_string()),
        output_type: "report".into(),
        title: "A report".into(),
        summary: None,
        uri: None,
        data: Map::new(),
        metadata: Map::new(),
        status: Some(status),
    }
}

pub(super) fn producing(number: u128, output: ProduceOutput) -> Requested<Command> {
    produced_by(number, output, Some(attempt(1)))
}

pub(super) fn produced_by(
    number: u128,
    output: ProduceOutput,
    attempt_id: Option<AttemptId>,
) -> Requested<Command> {
    let (fingerprint, output_id) = (fingerprint(&output.identity(task_id())), output_id(number));
    Command::ProduceOutput { command: Box::new(output), fingerprint, output_id, attempt_id }.at(at(16))
}

/// As the application gives it, but under no key.
pub(super) fn fingerprint(identity: &str) -> String {
    derived(&[identity]).simple().to_string()
}

pub(super) fn produce(number: u128, status: NewOutputStatus) -> Requested<Command> {
    producing(number, output(number, status))
}

/// Produces an output that waits for an approval, in a wait group.
pub(super) fn approvable(number: u128, group: &str) -> Requested<Command> {
    let mut produced = output(number, NewOutputStatus::Pending);
    produced.title = format!("Output {number}");
    produced.metadata.insert("_wait_group_id".into(), group.into());
    producing(number, produced)
}

/// A task that waits for its first worker.
pub(super) fn queued() -> Given<TaskDecider> {
    given::<TaskDecider>([]).and(accepting(accept()))
}

/// A task whose first attempt is leased at second 10.
pub(super) fn leased() -> Given<TaskDecider> {
    queued().and(lease(1, 10))
}

/// A task whose first attempt has reported.
pub(super) fn started() -> Given<TaskDecider> {
    leased().and_events([start(1)])
}

/// A task whose live attempt asked something.
pub(super) fn waiting() -> Given<TaskDecider> {
    started().and(ask(1, "which one?"))
}

/// A task that succeeded.
pub(super) fn done() -> Given<TaskDecider> {
    started().and(finish_ok(1))
}

/// A task that was cancelled while its attempt lives: the worker has until second 40 to stop.
pub(super) fn stopping() -> Given<TaskDecider> {
    started().and(cancel())
}

/// The task a history leads to.
pub(super) fn task_of(given: &Given<TaskDecider>) -> Task {
    *given.state().expect("the history begins with an acceptance")
}

/// The kinds of events, in order.
pub(super) fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(kind).collect()
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::TaskAccepted(_) => "accepted",
        Event::RunRequested(_) => "run requested",
        Event::AttemptLeased(_) => "leased",
        Event::AttemptStarted(_) => "started",
        Event::AttemptCancelRequested(_) => "stop requested",
        Event::AttemptEnded(_) => "attempt ended",
        Event::RetryScheduled(_) => "retry",
        Event::RunEnded(_) => "run ended",
        Event::TaskContinued(_) => "continued",
        Event::TaskSlept(_) => "slept",
        Event::TaskDone(_) => "done",
        Event::TaskFailed(_) => "failed",
        Event::TaskCancelled(_) => "cancelled",
        Event::TaskDropped(_) => "dropped",
        Event::BlockerOpened(_) => "asked",
        Event::BlockerClosed(_) => "answered",
        Event::InputAccepted(_) => "said",
        Event::InputClaimed(_) => "claimed",
        Event::InputReturned(_) => "returned",
        Event::InputConsumed(_) => "consumed",
        Event::OutputProduced(_) => "output",
        Event::OutputRowsAppended(_) => "rows",
        Event::OutputFinalized(_) => "finalized",
        Event::OutputStatusChanged(_) => "output changed",
        Event::UsageRecorded(_) => "usage",
        Event::TaskArchived(_) => "archived",
        Event::TaskUnarchived(_) => "unarchived",
        Event::TaskReprioritised(_) => "reprioritised",
        Event::TaskBudgetSet(_) => "budget set",
        Event::TaskLabelled(_) => "labelled",
        Event::TaskDeadlineSet(_) => "deadline set",
        Event::TaskRoutingSet(_) => "routing set",
        Event::TaskPayloadSet(_) => "payload set",
        Event::BlockerUpdated(_) => "question updated",
        Event::BlockerVoted(_) => "voted",
        Event::InputDeferred(_) => "deferred",
        Event::OutputArchived(_) => "output archived",
        Event::ToolCallDeferred(_) => "call kept",
        Event::ToolCallAllowed(_) => "call allowed",
        Event::ToolCallDecided(_) => "call decided",
        Event::ToolExecutionStarted(_) => "execution started",
        Event::ToolExecutionEnded(_) => "execution ended",
        Event::SubtasksSpawned(_) => "spawned",
        Event::SubtaskEnded(_) => "child ended",
        Event::ParentTold(_) => "parent informed",
        Event::WatchArmed(_) => "armed",
        Event::WatchFired(_) => "fired",
        Event::WatchDisarmed(_) => "disarmed",
        Event::BudgetWarned(_) => "budget warned",
        Event::BudgetExceeded(_) => "budget exceeded",
    }
}
