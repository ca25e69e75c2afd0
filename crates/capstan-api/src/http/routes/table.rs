//! Every route there is: one line each.
//!
//! The router is built from this table and from nothing else, so a route that is not in it does not exist, and one
//! that is in it is authorised by the scope it names. To add a route: write its handler, then a line here.

use std::sync::Arc;

use axum::routing::{MethodFilter, MethodRouter};
use capstan_contract::command as body;
use capstan_contract::command::CommandBody;

use super::{
    admin, agents, attempts, batches, channels, classes, commands, dead_letters, descriptions, errors,
    health, inbox, live, outputs, runs, schedules, schemas, tasks, tokens, tool_calls, workers, workspaces,
};
use crate::App;
use crate::operation::Answer::{Array, Json, List, Maybe, Object, Receipt, Stream, Text};
use crate::operation::Verb::{Delete, Get, Patch, Post, Put};
use crate::operation::{Answer, Operation, Scope, Verb};

/// An operation and who carries it out.
pub(crate) struct Route {
    pub(crate) operation: Operation,
    pub(crate) handler: fn(MethodFilter) -> MethodRouter<Arc<App>>,
}

type Handler = fn(MethodFilter) -> MethodRouter<Arc<App>>;

/// The handler a route leads to.
macro_rules! to {
    ($handler:path) => {
        |method| axum::routing::on(method, $handler)
    };
}

/// A path below one workspace.
macro_rules! w {
    ($path:literal) => {
        concat!("/v1/workspaces/{workspace}", $path)
    };
}

/// A path below one attempt.
macro_rules! attempt {
    ($path:literal) => {
        concat!("/v1/attempts/{attempt}", $path)
    };
}

/// Statuses of a command that is carried out later: taken, or answered as before.
const TAKEN: &[u16] = &[202, 200];
/// Statuses of a command that creates: created, or answered as before.
const CREATED: &[u16] = &[201, 200];
/// The status of everything else that went well.
const OK: &[u16] = &[200];

#[rustfmt::skip]
pub(crate) static ROUTES: &[Route] = &[
    command::<body::CreateWorkspace>("CreateWorkspace", "/v1/workspaces", CREATED, "workspace", "opens a workspace", to!(workspaces::create)).governing(),
    command::<body::UpdateWorkspace>("UpdateWorkspace", w!(""), OK, "workspace", "changes a workspace and its settings", to!(commands::give::<body::UpdateWorkspace>)).governing().by(Patch),
    read("GetWorkspace", w!(""), Object("workspace"), "one workspace", to!(workspaces::one)),

    command::<body::IssueToken>("IssueToken", w!("/tokens"), CREATED, "token", "issues a token; its secret is in this answer only", to!(commands::give::<body::IssueToken>)).governing(),
    read("ListTokens", w!("/tokens"), List("token"), "the tokens of a workspace, without their secrets", to!(tokens::list)).governing(),
    command::<body::RevokeToken>("RevokeToken", w!("/tokens/{token}"), OK, "token", "ends a token before its time", to!(commands::give::<body::RevokeToken>)).governing().by(Delete),

    command::<body::CreateAgent>("CreateAgent", w!("/agents"), CREATED, "agent", "introduces an agent", to!(commands::give::<body::CreateAgent>)),
    command::<body::UpdateAgent>("UpdateAgent", w!("/agents/{agent}"), OK, "agent", "changes an agent; null clears", to!(commands::give::<body::UpdateAgent>)).by(Patch),
    command::<body::DeleteAgent>("DeleteAgent", w!("/agents/{agent}"), OK, "cancelled_tasks", "deletes an agent", to!(agents::delete)).by(Delete),
    read("ListAgents", w!("/agents"), List("agent"), "the agents of a workspace", to!(agents::list)),
    read("GetAgent", w!("/agents/{agent}"), Object("agent"), "one agent, by id, key or what is spelt alike", to!(agents::one)),
    read("GetDefaultConfig", w!("/agents/defaults"), Object("agent-defaults"), "the configuration of an agent that is given none", to!(agents::defaults)),
    read("GetAgentStats", w!("/agents/{agent}/stats"), Object("agent-stats"), "what an agent did, in numbers", to!(agents::stats)),

    command::<body::UpsertChannelBinding>("UpsertChannelBinding", w!("/channels/{type}/{address}"), OK, "channel", "binds an address of a channel", to!(commands::give::<body::UpsertChannelBinding>)).by(Put),
    command::<body::DeleteChannelBinding>("DeleteChannelBinding", w!("/channels/{type}/{address}"), OK, "channel", "releases an address of a channel", to!(commands::give::<body::DeleteChannelBinding>)).by(Delete),
    read("ListChannelBindings", w!("/channels"), List("channel"), "the channels a workspace has bound", to!(channels::list)),
    read("GetChannelBinding", w!("/channels/{type}/{address}"), Object("channel"), "one channel binding", to!(channels::one)),

    command::<body::ConfigureClass>("ConfigureClass", w!("/classes/{instance_key}"), OK, "class", "limits, holds or resets an execution class", to!(classes::configure)).by(Put),
    read("ListClasses", w!("/classes"), List("class"), "the execution classes that were spoken of", to!(classes::list)),
    read("GetClass", w!("/classes/{instance_key}"), Object("class"), "one execution class", to!(classes::one)),

    command::<body::CreateSchedule>("CreateSchedule", w!("/schedules"), CREATED, "schedule", "begins a schedule", to!(commands::give::<body::CreateSchedule>)),
    command::<body::UpdateSchedule>("UpdateSchedule", w!("/schedules/{schedule}"), OK, "schedule", "changes a schedule", to!(commands::give::<body::UpdateSchedule>)).by(Patch),
    command::<body::DeleteSchedule>("DeleteSchedule", w!("/schedules/{schedule}"), OK, "schedule", "ends a schedule", to!(commands::give::<body::DeleteSchedule>)).by(Delete),
    command::<body::PauseSchedule>("PauseSchedule", w!("/schedules/{schedule}/pause"), OK, "schedule", "stops a schedule for now", to!(commands::give::<body::PauseSchedule>)),
    command::<body::ResumeSchedule>("ResumeSchedule", w!("/schedules/{schedule}/resume"), OK, "schedule", "lets a schedule go on", to!(commands::give::<body::ResumeSchedule>)),
    command::<body::TriggerSchedule>("TriggerSchedule", w!("/schedules/{schedule}/trigger"), TAKEN, "task", "makes one task of a schedule now", to!(commands::give::<body::TriggerSchedule>)),
    read("ListSchedules", w!("/schedules"), List("schedule"), "the schedules of a workspace, by view too", to!(schedules::list)),
    read("GetSchedule", w!("/schedules/{schedule}"), Object("schedule"), "one schedule", to!(schedules::one)),
    read("PreviewSchedule", w!("/schedules/{schedule}/next"), Object("schedule-preview"), "the next ticks of a schedule", to!(schedules::next)),

    command::<body::AcceptAgentCommand>("AcceptAgentCommand", w!("/tasks"), TAKEN, "task", "gives an agent something to do", to!(commands::give::<body::AcceptAgentCommand>)),
    command::<body::SubmitTaskInput>("SubmitTaskInput", w!("/tasks/{task}/input"), TAKEN, "task", "says something to a task", to!(commands::give::<body::SubmitTaskInput>)),
    command::<body::CancelTask>("CancelTask", w!("/tasks/{task}/cancel"), TAKEN, "task", "cancels a task", to!(commands::give::<body::CancelTask>)),
    command::<body::UpdateTask>("UpdateTask", w!("/tasks/{task}"), OK, "task", "changes a task; null clears", to!(commands::give::<body::UpdateTask>)).by(Patch),
    command::<body::RetryTask>("RetryTask", w!("/tasks/{task}/retry"), TAKEN, "task", "tries a task again that failed, was dropped or cancelled", to!(commands::give::<body::RetryTask>)),
    command::<body::ArchiveTask>("ArchiveTask", w!("/tasks/{task}/archive"), TAKEN, "task", "puts a task away; an active one is cancelled", to!(commands::give::<body::ArchiveTask>)),
    command::<body::UnarchiveTask>("UnarchiveTask", w!("/tasks/{task}/unarchive"), TAKEN, "task", "takes a task out of the archive", to!(commands::give::<body::UnarchiveTask>)),
    command::<body::PublishSourceEvent>("PublishSourceEvent", w!("/source-events"), TAKEN, "event", "tells what happened outside; wakes the tasks that watch for it", to!(commands::give::<body::PublishSourceEvent>)),
    read("ListSubtasks", w!("/tasks/{task}/subtasks"), List("task"), "the children of a task, by the outputs they were made for too", to!(tasks::subtasks)),
    read("ListTasks", w!("/tasks"), List("task"), "tasks, filtered", to!(tasks::list)),
    read("GetTask", w!("/tasks/{task}"), Object("task"), "one task", to!(tasks::one)),
    read("ListTaskRuns", w!("/tasks/{task}/runs"), List("run"), "the runs of a task", to!(tasks::runs)),
    read("ListTaskOutputs", w!("/tasks/{task}/outputs"), List("output"), "what a task produced", to!(tasks::outputs)),
    read("ListTaskInputs", w!("/tasks/{task}/inputs"), List("input"), "what was said to a task", to!(tasks::inputs)),
    read("GetTaskTree", w!("/tasks/{task}/tree"), Object("task-tree"), "a task and everything made for it, with costs", to!(tasks::tree)),
    read("GetTaskHistory", w!("/tasks/{task}/history"), List("history-entry"), "the events of a task", to!(tasks::history)),
    read("GetTaskLogs", w!("/tasks/{task}/logs"), List("log-entry"), "the log lines of a task", to!(tasks::logs)),
    read("WhyIsTaskWaiting", w!("/tasks/{task}/why"), Object("why"), "what keeps a task from running", to!(tasks::why)),

    command::<body::EnqueueRunInput>("EnqueueRunInput", w!("/runs/{run}/input"), TAKEN, "task", "says something to the task of a run", to!(commands::give::<body::EnqueueRunInput>)),
    command::<body::CancelRun>("CancelRun", w!("/runs/{run}/cancel"), TAKEN, "task", "cancels a run", to!(commands::give::<body::CancelRun>)),
    read("ListRuns", w!("/runs"), List("run"), "runs, filtered", to!(runs::list)),
    read("GetRun", w!("/runs/{run}"), Object("run"), "one run", to!(runs::one)),

    read("ListRunSnapshots", w!("/runs/{run}/snapshots"), List("run-snapshot"), "how a run stood at each turning point", to!(runs::snapshots)),
    read("ListRunEvents", w!("/runs/{run}/events"), List("log-entry"), "what the agent of a run did, step by step", to!(runs::events)),
    read("GetRunInteraction", w!("/runs/{run}/interaction"), Object("interaction"), "whether a run works, waits or is over", to!(runs::interaction)),

    read("ListOutputs", w!("/outputs"), List("output"), "what a workspace's agents produced", to!(outputs::list)),
    read("GetOutput", w!("/outputs/{output}"), Object("output"), "one output", to!(outputs::one)),
    command::<body::ArchiveOutput>("ArchiveOutput", w!("/outputs/{output}/archive"), OK, "output", "puts an output away", to!(commands::give::<body::ArchiveOutput>)),
    command::<body::ArchiveAllOutputs>("ArchiveAllOutputs", w!("/outputs/archive-all"), OK, "archived", "puts outputs of a workspace away", to!(commands::give::<body::ArchiveAllOutputs>)),
    command::<body::CreateTaskOutput>("CreateTaskOutput", w!("/tasks/{task}/outputs"), CREATED, "output", "adds an output to a task", to!(commands::give::<body::CreateTaskOutput>)),
    command::<body::AppendTaskOutputRows>("AppendTaskOutputRows", w!("/tasks/{task}/outputs/{output}/rows"), OK, "output", "adds rows to an output of a task", to!(commands::give::<body::AppendTaskOutputRows>)),
    command::<body::FinalizeTaskOutput>("FinalizeTaskOutput", w!("/tasks/{task}/outputs/{output}/finalize"), OK, "output", "gives an output of a task its summary", to!(commands::give::<body::FinalizeTaskOutput>)),
    read("GetTaskOutput", w!("/tasks/{task}/outputs/{output}"), Object("output"), "one output of a task", to!(outputs::of_task)),
    read("ListInbox", w!("/inbox"), List("blocker"), "open questions over all tasks", to!(inbox::list)),

    post("ExecuteBatch", w!("/commands"), Scope::Command, Array("batch-answer"), "gives up to 1000 commands, each with its own answer", to!(batches::commands)),
    read("GetTaskEventBatch", w!("/tasks/{task}/batch"), Object("task-event-batch"), "a task and what it said since the last look", to!(batches::of_task)),
    read("GetWorkspaceLiveBatch", w!("/batch"), Object("workspace-live-batch"), "the newest tasks and outputs", to!(batches::of_workspace)),

    read("SubscribeWorkspaceLive", w!("/stream"), Stream, "the events of a workspace as they happen", to!(live::of_workspace)),
    read("SubscribeTaskLive", w!("/tasks/{task}/stream"), Stream, "the events of a task as they happen", to!(live::of_task)),
    read("SubscribeRunEvents", w!("/runs/{run}/stream"), Stream, "the events of a run as they happen", to!(live::of_run)),

    worker::<body::RegisterWorker>("RegisterWorker", "/v1/workers", &[201], Object("registered-worker"), "makes a worker known", to!(workers::register)),
    worker::<body::LeaseRequest>("LeaseAttempts", "/v1/workers/{worker}/lease", OK, Array("leased-attempt"), "gives a worker attempts; waits for them", to!(workers::lease)),
    worker::<body::RenewRequest>("RenewLeases", "/v1/workers/{worker}/renew", OK, Array("renew-answer"), "keeps leases, brings news", to!(workers::renew)),
    post("DrainWorker", "/v1/workers/{worker}/drain", Scope::Worker, Json, "gives a worker nothing new", to!(workers::drain)),

    worker::<body::StartAttempt>("StartAttempt", attempt!("/start"), OK, Receipt("attempt"), "the agent runs", to!(attempts::start)),
    worker::<body::AppendLogs>("AppendLogs", attempt!("/logs"), &[202], Json, "log lines of the agent", to!(attempts::append_logs)),
    worker::<body::AppendRunEvents>("AppendRunEvents", attempt!("/events"), &[202], Json, "what the agent does, step by step", to!(attempts::append_events)),
    worker::<body::ProduceOutput>("ProduceOutput", attempt!("/outputs"), CREATED, Receipt("output_id"), "begins or hands over an output", to!(attempts::produce_output)),
    worker::<body::AppendRows>("AppendOutputRows", attempt!("/outputs/{output}/rows"), OK, Receipt("output_id"), "adds rows to an output", to!(attempts::append_rows)),
    worker::<body::FinalizeOutput>("FinalizeOutput", attempt!("/outputs/{output}/finalize"), OK, Receipt("output_id"), "closes an output", to!(attempts::finalize_output)),
    worker::<body::OpenBlocker>("OpenBlocker", attempt!("/blockers"), CREATED, Receipt("blocker"), "asks people something", to!(attempts::open_blocker)),
    worker::<body::ClaimInput>("ClaimInput", attempt!("/inputs/claim"), OK, Receipt("input"), "takes the oldest input nobody has", to!(attempts::claim_input)),
    worker::<body::AckInput>("AckInput", attempt!("/inputs/{input}/ack"), OK, Receipt("input"), "the agent has the input", to!(attempts::ack_input)),
    worker::<body::DeferInput>("DeferInput", attempt!("/inputs/{input}/defer"), OK, Receipt("input"), "the input could not reach the live turn", to!(attempts::defer_input)),
    worker::<body::RecordUsage>("RecordUsage", attempt!("/usage"), OK, Receipt("usage"), "what the agent used so far", to!(attempts::record_usage)),
    worker::<body::CheckToolCall>("CheckToolCall", attempt!("/tool-calls"), OK, Object("tool-decision"), "asks whether the agent may call a tool", to!(tool_calls::check)),
    worker::<body::ClaimToolCall>("ClaimToolCall", "/v1/workers/{worker}/tool-calls", OK, Maybe("claimed-tool-call"), "gives a worker an approved tool call to carry out; waits for one", to!(tool_calls::claim)),
    worker::<body::ReportToolCall>("ReportToolCall", "/v1/workers/{worker}/tool-calls/{claim}/result", OK, Receipt("tool_call"), "what came of a tool call", to!(tool_calls::report)),
    worker::<body::FinishAttempt>("FinishAttempt", attempt!("/finish"), OK, Receipt("attempt"), "how the attempt ended", to!(attempts::finish)),

    worker::<body::ReturnAttempt>("ReturnAttempt", attempt!("/return"), OK, Receipt("attempt"), "gives the attempt back unfinished", to!(attempts::give_back)),

    get("ListProjections", "/v1/admin/projections", Scope::Admin, List("projection"), "the read models and how far they are", to!(admin::list)),
    post("RebuildProjection", "/v1/admin/projections/{name}/rebuild", Scope::Admin, Json, "builds a read model anew", to!(admin::build_anew)).answering(&[200, 202]),

    post("VerifyProjection", "/v1/admin/projections/{name}/verify", Scope::Admin, Json, "compares the rows of a read model with the log", to!(admin::verify_rows)).answering(&[200, 202]),
    get("ListDeadLetters", "/v1/admin/deadletters", Scope::Admin, List("dead-letter"), "commands and commits set aside", to!(dead_letters::list)),
    get("GetDeadLetter", "/v1/admin/deadletters/{id}", Scope::Admin, Object("dead-letter"), "one command or commit set aside", to!(dead_letters::one)),
    post("RetryDeadLetter", "/v1/admin/deadletters/{id}/retry", Scope::Admin, Json, "tries what was set aside again", to!(dead_letters::retry)),
    post("DiscardDeadLetter", "/v1/admin/deadletters/{id}/discard", Scope::Admin, Json, "gives a command up that was set aside", to!(dead_letters::discard)),

    get("GetHealth", "/healthz", Scope::Public, Json, "the process lives", to!(health::alive)),
    get("GetReadiness", "/readyz", Scope::Public, Json, "the process can do its work", to!(health::ready)),
    get("GetMetrics", "/metrics", Scope::Public, Text("text/plain; version=0.0.4"), "numbers for Prometheus", to!(health::metrics)),
    get("GetErrorPage", "/errors/{code}", Scope::Public, Text("text/markdown"), "what an error code means", to!(errors::page)),
    get("GetOpenApi", "/openapi.json", Scope::Public, Json, "this surface as OpenAPI", to!(descriptions::openapi)),
    get("GetAsyncApi", "/asyncapi.json", Scope::Public, Json, "streams and NATS subjects as AsyncAPI", to!(descriptions::asyncapi)),
    get("ListSchemas", "/schemas", Scope::Public, Json, "the names of all schemas", to!(schemas::names)),
    get("GetSchema", "/schemas/{name}", Scope::Public, Text("application/schema+json"), "one JSON Schema", to!(schemas::one)),
];

const fn route(
    name: &'static str,
    method: Verb,
    path: &'static str,
    scope: Scope,
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    let operation =
        Operation { name, method, path, scope, bus: None, summary, body: None, answer, statuses: OK };
    Route { operation, handler }
}

const fn get(
    name: &'static str,
    path: &'static str,
    scope: Scope,
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    route(name, Get, path, scope, answer, summary, handler)
}

const fn post(
    name: &'static str,
    path: &'static str,
    scope: Scope,
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    route(name, Post, path, scope, answer, summary, handler)
}

/// A read of a workspace.
const fn read(
    name: &'static str,
    path: &'static str,
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    get(name, path, Scope::Read, answer, summary, handler)
}

/// A command of a caller, which is the same on NATS; answered with a receipt and the entity.
const fn command<B: CommandBody>(
    name: &'static str,
    path: &'static str,
    statuses: &'static [u16],
    entity: &'static str,
    summary: &'static str,
    handler: Handler,
) -> Route {
    let mut route = post(name, path, Scope::Command, Receipt(entity), summary, handler);
    route.operation.bus = Some(B::NAME);
    route.operation.body = Some(B::NAME);
    route.answering(statuses)
}

/// What workers say.
const fn worker<B: CommandBody>(
    name: &'static str,
    path: &'static str,
    statuses: &'static [u16],
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    let mut route = post(name, path, Scope::Worker, answer, summary, handler);
    route.operation.body = Some(B::NAME);
    route.answering(statuses)
}

impl Route {
    /// Answers with these statuses when it goes well.
    const fn answering(mut self, statuses: &'static [u16]) -> Self {
        self.operation.statuses = statuses;
        self
    }

    /// Is asked by this method.
    const fn by(mut self, method: Verb) -> Self {
        self.operation.method = method;
        self
    }

    /// Is for those who govern.
    const fn governing(mut self) -> Self {
        self.operation.scope = Scope::Admin;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_routes_are_unique() {
        let names: BTreeSet<_> = ROUTES.iter().map(|route| route.operation.name).collect();
        let places: BTreeSet<_> =
            ROUTES.iter().map(|route| (route.operation.path, route.operation.method)).collect();
        assert_eq!((names.len(), places.len()), (ROUTES.len(), ROUTES.len()));
    }

    #[test]
    fn whatever_reads_or_commands_says_in_which_workspace() {
        for Route { operation, .. } in ROUTES {
            if matches!(operation.scope, Scope::Read | Scope::Command) {
                assert!(operation.path.starts_with("/v1/workspaces/{workspace}"), "{}", operation.name);
            }
            let is_below_v1 = operation.path.starts_with("/v1/");
            assert_eq!(is_below_v1, operation.scope != Scope::Public, "{}", operation.name);
            assert!(!operation.statuses.is_empty(), "{}", operation.name);
        }
    }

    #[test]
    fn every_command_of_the_bus_has_its_route() {
        let in_table: BTreeSet<_> = ROUTES.iter().filter_map(|route| route.operation.bus).collect();
        let on_bus: BTreeSet<_> = crate::use_case::commands::NAMES.iter().copied().collect();
        assert_eq!(in_table, on_bus);
    }

    #[test]
    fn every_read_and_command_of_a_workspace_is_asked_on_the_bus_under_a_name_of_its_own() {
        for Route { operation, .. } in ROUTES {
            let is_read = operation.scope == Scope::Read && operation.answer != Stream;
            let is_command = operation.scope == Scope::Command && operation.name != "ExecuteBatch";
            assert!(!(is_read || is_command) || operation.rpc_name().is_some(), "{}", operation.name);
        }
        let names: Vec<_> = ROUTES.iter().filter_map(|route| route.operation.rpc_name()).collect();
        let once: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), once.len());
        assert!(!once.contains(&crate::BATCH.to_owned()));
    }

    #[test]
    fn every_body_has_a_schema() {
        for body in ROUTES.iter().filter_map(|route| route.operation.body) {
            assert!(body::COMMANDS.iter().any(|named| named.name == body), "{body}");
        }
    }
}
