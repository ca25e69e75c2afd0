//! The table of routes, one line each.
//!
//! The router is built from this table alone: a route that is not listed does not exist, and a listed one is authorised by
//! its scope. To add a query or a command, write its type and its use case, then add a line here.

use std::sync::Arc;

use axum::routing::{MethodFilter, MethodRouter, on};
use capstan_contract::command as body;
use capstan_contract::command::CommandBody;
use capstan_contract::query::{self, Query};

use super::{
    admin, batches, commands, dead_letters, descriptions, errors, health, live, queries, schemas,
    worker_calls,
};
use crate::App;
use crate::operation::Answer::{Array, List, Maybe, Object, Receipt, Stream, Text};
use crate::operation::Verb::{Delete, Get, Patch, Post, Put};
use crate::operation::{Answer, Operation, Scope, Verb};
use crate::use_case::dead_letters::{GetDeadLetter, ListDeadLetters};
use crate::use_case::live::{SubscribeRunEvents, SubscribeTaskLive, SubscribeWorkspaceLive};
use crate::use_case::projection::ListProjections;
use crate::use_case::queries::{Answer as Answers, Installation};
use crate::use_case::worker_call::WorkerCall;

/// An operation and its handler.
pub(crate) struct Route {
    pub(crate) operation: Operation,
    pub(crate) handler: fn(MethodFilter) -> MethodRouter<Arc<App>>,
}

type Handler = fn(MethodFilter) -> MethodRouter<Arc<App>>;

/// The handler of a route.
macro_rules! to {
    ($handler:path) => {
        |method| on(method, $handler)
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
        concat!("/v1/attempts/{attempt_id}", $path)
    };
}

/// Statuses of a command whose effect follows: accepted, or done before.
const ACCEPTED: &[u16] = &[202, 200];
/// Statuses of a command that creates: created, or done before.
const CREATED: &[u16] = &[201, 200];
/// The status of every other success.
const OK: &[u16] = &[200];

#[rustfmt::skip]
pub(crate) static ROUTES: &[Route] = &[
    command::<body::CreateWorkspace>("CreateWorkspace", "/v1/workspaces", CREATED, "workspace", "creates a workspace", to!(commands::execute::<body::CreateWorkspace>)).admin(),
    command::<body::UpdateWorkspace>("UpdateWorkspace", w!(""), OK, "workspace", "updates a workspace and its settings", to!(commands::execute::<body::UpdateWorkspace>)).admin().by(Patch),
    query::<query::GetWorkspace>(w!(""), Object("workspace"), "one workspace"),

    command::<body::IssueToken>("IssueToken", w!("/tokens"), CREATED, "token", "issues a token; only this response contains its secret", to!(commands::execute::<body::IssueToken>)).admin(),
    query::<query::ListTokens>(w!("/tokens"), List("token"), "the tokens of a workspace, without their secrets").admin(),
    command::<body::RevokeToken>("RevokeToken", w!("/tokens/{token_id}"), OK, "token", "revokes a token", to!(commands::execute::<body::RevokeToken>)).admin().by(Delete),

    command::<body::CreateAgent>("CreateAgent", w!("/agents"), CREATED, "agent", "creates an agent", to!(commands::execute::<body::CreateAgent>)),
    command::<body::UpdateAgent>("UpdateAgent", w!("/agents/{agent_id}"), OK, "agent", "updates an agent; null clears a field", to!(commands::execute::<body::UpdateAgent>)).by(Patch),
    command::<body::DeleteAgent>("DeleteAgent", w!("/agents/{agent_id}"), OK, "cancelled_tasks", "deletes an agent", to!(commands::execute::<body::DeleteAgent>)).by(Delete),
    query::<query::ListAgents>(w!("/agents"), List("agent"), "the agents of a workspace"),
    query::<query::GetAgent>(w!("/agents/{agent_id}"), Object("agent"), "one agent, by id, key or similar name"),
    query::<query::GetDefaultConfig>(w!("/agents/defaults"), Object("agent-defaults"), "the default configuration of an agent"),
    query::<query::GetAgentStats>(w!("/agents/{agent_id}/stats"), Object("agent-stats"), "agent statistics"),

    command::<body::UpsertChannelBinding>("UpsertChannelBinding", w!("/channels/{channel_type}/{address}"), OK, "channel", "binds a channel address to the workspace", to!(commands::execute::<body::UpsertChannelBinding>)).by(Put),
    command::<body::DeleteChannelBinding>("DeleteChannelBinding", w!("/channels/{channel_type}/{address}"), OK, "channel", "releases a channel address", to!(commands::execute::<body::DeleteChannelBinding>)).by(Delete),
    query::<query::ListChannelBindings>(w!("/channels"), List("channel"), "the channel bindings of a workspace"),
    query::<query::GetChannelBinding>(w!("/channels/{channel_type}/{address}"), Object("channel"), "one channel binding"),

    command::<body::ConfigureClass>("ConfigureClass", w!("/classes/{instance_key}"), OK, "class", "sets the limits of an execution class, pauses or resets it", to!(commands::execute::<body::ConfigureClass>)).by(Put),
    query::<query::ListClasses>(w!("/classes"), List("class"), "execution classes with settings or history"),
    query::<query::GetClass>(w!("/classes/{instance_key}"), Object("class"), "one execution class"),

    command::<body::CreateSchedule>("CreateSchedule", w!("/schedules"), CREATED, "schedule", "creates a schedule", to!(commands::execute::<body::CreateSchedule>)),
    command::<body::UpdateSchedule>("UpdateSchedule", w!("/schedules/{schedule_id}"), OK, "schedule", "updates a schedule", to!(commands::execute::<body::UpdateSchedule>)).by(Patch),
    command::<body::DeleteSchedule>("DeleteSchedule", w!("/schedules/{schedule_id}"), OK, "schedule", "deletes a schedule", to!(commands::execute::<body::DeleteSchedule>)).by(Delete),
    command::<body::PauseSchedule>("PauseSchedule", w!("/schedules/{schedule_id}/pause"), OK, "schedule", "pauses a schedule", to!(commands::execute::<body::PauseSchedule>)),
    command::<body::ResumeSchedule>("ResumeSchedule", w!("/schedules/{schedule_id}/resume"), OK, "schedule", "resumes a schedule", to!(commands::execute::<body::ResumeSchedule>)),
    command::<body::TriggerSchedule>("TriggerSchedule", w!("/schedules/{schedule_id}/trigger"), ACCEPTED, "task", "creates one task from a schedule now", to!(commands::execute::<body::TriggerSchedule>)),
    query::<query::ListSchedules>(w!("/schedules"), List("schedule"), "the schedules of a workspace, filtered"),
    query::<query::GetSchedule>(w!("/schedules/{schedule_id}"), Object("schedule"), "one schedule"),
    query::<query::PreviewSchedule>(w!("/schedules/{schedule_id}/next"), Object("schedule-preview"), "the next ticks of a schedule"),

    command::<body::AcceptAgentCommand>("AcceptAgentCommand", w!("/tasks"), ACCEPTED, "task", "creates a task for an agent, or continues its session", to!(commands::execute::<body::AcceptAgentCommand>)),
    command::<body::SubmitTaskInput>("SubmitTaskInput", w!("/tasks/{task_id}/input"), ACCEPTED, "task", "submits an input to a task", to!(commands::execute::<body::SubmitTaskInput>)),
    command::<body::CancelTask>("CancelTask", w!("/tasks/{task_id}/cancel"), ACCEPTED, "task", "cancels a task", to!(commands::execute::<body::CancelTask>)),
    command::<body::UpdateTask>("UpdateTask", w!("/tasks/{task_id}"), OK, "task", "updates a task; null clears a field", to!(commands::execute::<body::UpdateTask>)).by(Patch),
    command::<body::RetryTask>("RetryTask", w!("/tasks/{task_id}/retry"), ACCEPTED, "task", "retries a task that failed, was dropped or was cancelled", to!(commands::execute::<body::RetryTask>)),
    command::<body::ArchiveTask>("ArchiveTask", w!("/tasks/{task_id}/archive"), ACCEPTED, "task", "archives a task; an active one is cancelled", to!(commands::execute::<body::ArchiveTask>)),
    command::<body::UnarchiveTask>("UnarchiveTask", w!("/tasks/{task_id}/unarchive"), ACCEPTED, "task", "unarchives a task", to!(commands::execute::<body::UnarchiveTask>)),
    command::<body::PublishSourceEvent>("PublishSourceEvent", w!("/source-events"), ACCEPTED, "event", "publishes an event of an external source; wakes the tasks that watch for it", to!(commands::execute::<body::PublishSourceEvent>)),
    query::<query::ListSubtasks>(w!("/tasks/{task_id}/subtasks"), List("task"), "the subtasks of a task, optionally by the outputs they were created for"),
    query::<query::ListTasks>(w!("/tasks"), List("task"), "tasks, filtered"),
    query::<query::GetTask>(w!("/tasks/{task_id}"), Object("task"), "one task"),
    query::<query::ListTaskRuns>(w!("/tasks/{task_id}/runs"), List("run"), "the runs of a task"),
    query::<query::ListTaskOutputs>(w!("/tasks/{task_id}/outputs"), List("output"), "the outputs of a task"),
    query::<query::ListTaskInputs>(w!("/tasks/{task_id}/inputs"), List("input"), "the inputs of a task"),
    query::<query::GetTaskTree>(w!("/tasks/{task_id}/tree"), Object("task-tree"), "a task with all its subtasks, with costs"),
    query::<query::GetTaskHistory>(w!("/tasks/{task_id}/history"), List("history-entry"), "the events of a task"),
    query::<query::GetTaskLogs>(w!("/tasks/{task_id}/logs"), List("log-entry"), "the log lines of a task"),
    query::<query::WhyIsTaskWaiting>(w!("/tasks/{task_id}/why"), Object("why"), "the reasons why a task is not running"),

    command::<body::EnqueueRunInput>("EnqueueRunInput", w!("/runs/{run_id}/input"), ACCEPTED, "task", "submits an input to the task of a run", to!(commands::execute::<body::EnqueueRunInput>)),
    command::<body::CancelRun>("CancelRun", w!("/runs/{run_id}/cancel"), ACCEPTED, "task", "cancels a run", to!(commands::execute::<body::CancelRun>)),
    query::<query::ListRuns>(w!("/runs"), List("run"), "runs, filtered"),
    query::<query::GetRun>(w!("/runs/{run_id}"), Object("run"), "one run"),

    query::<query::ListRunSnapshots>(w!("/runs/{run_id}/snapshots"), List("run-snapshot"), "the state of a run after each change"),
    query::<query::ListRunEvents>(w!("/runs/{run_id}/events"), List("log-entry"), "the steps of the agent of a run"),
    query::<query::GetRunInteraction>(w!("/runs/{run_id}/interaction"), Object("interaction"), "the interaction state of a run: working, waiting for input or closed"),

    query::<query::ListOutputs>(w!("/outputs"), List("output"), "the outputs of a workspace, filtered"),
    query::<query::GetOutput>(w!("/outputs/{output_id}"), Object("output"), "one output"),
    command::<body::ArchiveOutput>("ArchiveOutput", w!("/outputs/{output_id}/archive"), OK, "output", "archives an output", to!(commands::execute::<body::ArchiveOutput>)),
    command::<body::ArchiveAllOutputs>("ArchiveAllOutputs", w!("/outputs/archive-all"), OK, "archived", "archives outputs of a workspace", to!(commands::execute::<body::ArchiveAllOutputs>)),
    command::<body::CreateTaskOutput>("CreateTaskOutput", w!("/tasks/{task_id}/outputs"), CREATED, "output", "adds an output to a task", to!(commands::execute::<body::CreateTaskOutput>)),
    command::<body::AppendTaskOutputRows>("AppendTaskOutputRows", w!("/tasks/{task_id}/outputs/{output_id}/rows"), OK, "output", "appends rows to an output of a task", to!(commands::execute::<body::AppendTaskOutputRows>)),
    command::<body::FinalizeTaskOutput>("FinalizeTaskOutput", w!("/tasks/{task_id}/outputs/{output_id}/finalize"), OK, "output", "finalizes an output of a task with its summary", to!(commands::execute::<body::FinalizeTaskOutput>)),
    query::<query::GetTaskOutput>(w!("/tasks/{task_id}/outputs/{output_id}"), Object("output"), "one output of a task"),
    query::<query::ListInbox>(w!("/inbox"), List("blocker"), "the open questions of all tasks"),

    post("ExecuteBatch", w!("/commands"), Scope::Command, Array("batch-answer"), "executes up to 1000 commands, each with its own answer", to!(batches::commands)),
    query::<query::GetTaskEventBatch>(w!("/tasks/{task_id}/batch"), Object("task-event-batch"), "a task with its new log lines, run events and outputs"),
    query::<query::GetWorkspaceLiveBatch>(w!("/batch"), Object("workspace-live-batch"), "the newest tasks and outputs"),

    stream::<SubscribeWorkspaceLive>(w!("/stream"), "the events of a workspace as they happen", to!(live::of_workspace)),
    stream::<SubscribeTaskLive>(w!("/tasks/{task_id}/stream"), "the events of a task as they happen", to!(live::of_task)),
    stream::<SubscribeRunEvents>(w!("/runs/{run_id}/stream"), "the events of a run as they happen", to!(live::of_run)),

    worker::<body::RegisterWorker>("/v1/workers", &[201], Object("registered-worker"), "registers a worker"),
    worker::<body::LeaseAttempts>("/v1/workers/{worker_id}/lease", OK, Array("leased-attempt"), "leases attempts to a worker; waits for them"),
    worker::<body::RenewLeases>("/v1/workers/{worker_id}/renew", OK, Array("renew-answer"), "renews leases; returns cancellations and new inputs"),
    worker::<body::DrainWorker>("/v1/workers/{worker_id}/drain", OK, Object("draining"), "stops leasing attempts to a worker"),

    worker::<body::StartAttempt>(attempt!("/start"), OK, Receipt(""), "reports that the agent runs"),
    worker::<body::AppendLogs>(attempt!("/logs"), &[202], Object("accepted-lines"), "appends log lines of the agent"),
    worker::<body::AppendRunEvents>(attempt!("/events"), &[202], Object("accepted-lines"), "appends run events of the agent"),
    worker::<body::ProduceOutput>(attempt!("/outputs"), CREATED, Receipt("output_id"), "produces an output"),
    worker::<body::AppendOutputRows>(attempt!("/outputs/{output_id}/rows"), OK, Receipt("output_id"), "appends rows to an output"),
    worker::<body::FinalizeOutput>(attempt!("/outputs/{output_id}/finalize"), OK, Receipt("output_id"), "finalizes an output"),
    worker::<body::OpenBlocker>(attempt!("/blockers"), CREATED, Receipt(""), "opens a question to people"),
    worker::<body::ClaimInput>(attempt!("/inputs/claim"), OK, Receipt("input"), "claims the oldest pending input"),
    worker::<body::AckInput>(attempt!("/inputs/{input_id}/ack"), OK, Receipt("input"), "acknowledges that the agent has the input"),
    worker::<body::DeferInput>(attempt!("/inputs/{input_id}/defer"), OK, Receipt("input"), "defers an input that could not reach the live turn"),
    worker::<body::RecordUsage>(attempt!("/usage"), OK, Receipt(""), "records the usage of the agent so far"),
    worker::<body::CheckToolCall>(attempt!("/tool-calls"), OK, Object("tool-decision"), "asks whether the agent may call a tool"),
    worker::<body::ClaimToolCall>("/v1/workers/{worker_id}/tool-calls", OK, Maybe("claimed-tool-call"), "leases an approved tool call to a worker; waits for one"),
    worker::<body::ReportToolCall>("/v1/workers/{worker_id}/tool-calls/{claim}/result", OK, Receipt(""), "reports the result of a tool call"),
    worker::<body::FinishAttempt>(attempt!("/finish"), OK, Receipt(""), "reports the end of the attempt"),

    worker::<body::ReturnAttempt>(attempt!("/return"), OK, Receipt(""), "returns the attempt unfinished"),

    admin_query::<ListProjections>("/v1/admin/projections", List("projection"), "the read models and their progress"),
    post("RebuildProjection", "/v1/admin/projections/{name}/rebuild", Scope::Admin, Object("rebuild"), "rebuilds a read model", to!(admin::rebuild)).answering(&[200, 202]),

    post("VerifyProjection", "/v1/admin/projections/{name}/verify", Scope::Admin, Object("verification"), "compares the rows of a read model with the log", to!(admin::verify)).answering(&[200, 202]),
    admin_query::<ListDeadLetters>("/v1/admin/deadletters", List("dead-letter"), "dead letters: commands and commits that could not be processed"),
    admin_query::<GetDeadLetter>("/v1/admin/deadletters/{dead_letter_id}", Object("dead-letter"), "one dead letter"),
    post("RetryDeadLetter", "/v1/admin/deadletters/{dead_letter_id}/retry", Scope::Admin, Object("handled-dead-letter"), "retries a dead letter", to!(dead_letters::retry)),
    post("DiscardDeadLetter", "/v1/admin/deadletters/{dead_letter_id}/discard", Scope::Admin, Object("handled-dead-letter"), "discards the dead letter of a command", to!(dead_letters::discard)),

    get("GetHealth", "/healthz", Scope::Public, Object("health"), "liveness", to!(health::alive)),
    get("GetReadiness", "/readyz", Scope::Public, Object("readiness"), "readiness", to!(health::ready)),
    get("GetMetrics", "/metrics", Scope::Public, Text("text/plain; version=0.0.4"), "metrics for Prometheus", to!(health::metrics)),
    get("GetErrorPage", "/errors/{code}", Scope::Public, Text("text/markdown"), "the page of an error code", to!(errors::page)),
    get("GetOpenApi", "/openapi.json", Scope::Public, Text("application/json"), "the HTTP API as OpenAPI", to!(descriptions::openapi)),
    get("GetAsyncApi", "/asyncapi.json", Scope::Public, Text("application/json"), "live streams and NATS subjects as AsyncAPI", to!(descriptions::asyncapi)),
    get("ListSchemas", "/schemas", Scope::Public, Object("schema-names"), "the names of all schemas", to!(schemas::names)),
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

/// A query of a workspace, also served over NATS.
const fn query<Q: Answers>(path: &'static str, answer: Answer, summary: &'static str) -> Route {
    get(Q::OPERATION, path, Scope::Read, answer, summary, |method| on(method, queries::of_workspace::<Q>))
        .reading::<Q>()
}

/// A query about the installation.
const fn admin_query<Q: Answers<Installation>>(
    path: &'static str,
    answer: Answer,
    summary: &'static str,
) -> Route {
    get(Q::OPERATION, path, Scope::Admin, answer, summary, |method| on(method, queries::of_installation::<Q>))
        .reading::<Q>()
}

/// A live stream.
const fn stream<Q: Query>(path: &'static str, summary: &'static str, handler: Handler) -> Route {
    get(Q::OPERATION, path, Scope::Read, Stream, summary, handler).reading::<Q>()
}

/// A command of a caller, also served over NATS; the response is a receipt with the entity.
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

/// A call of a worker.
const fn worker<C: WorkerCall>(
    path: &'static str,
    statuses: &'static [u16],
    answer: Answer,
    summary: &'static str,
) -> Route {
    let handler: Handler = |method| axum::routing::on(method, worker_calls::execute::<C>);
    let mut route = post(C::TYPE, path, Scope::Worker, answer, summary, handler);
    route.operation.body = Some(C::NAME);
    route.answering(statuses)
}

impl Route {
    /// Sets the statuses of success.
    const fn answering(mut self, statuses: &'static [u16]) -> Self {
        self.operation.statuses = statuses;
        self
    }

    /// Sets the query the request is read as.
    const fn reading<Q: Query>(mut self) -> Self {
        self.operation.body = Some(Q::NAME);
        self
    }

    /// Sets the method.
    const fn by(mut self, method: Verb) -> Self {
        self.operation.method = method;
        self
    }

    /// Requires the admin scope.
    const fn admin(mut self) -> Self {
        self.operation.scope = Scope::Admin;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::use_case;
    use crate::use_case::batch::BATCH;

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
        let on_bus: BTreeSet<_> = body::COMMAND_NAMES.iter().copied().collect();
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
        assert!(!once.contains(&BATCH.to_owned()));
    }

    #[test]
    fn every_body_and_every_query_has_a_schema_and_every_query_its_route() {
        let bodies: BTreeSet<_> = ROUTES.iter().filter_map(|route| route.operation.body).collect();
        for body in &bodies {
            let mut schemas = body::body_schemas().chain(use_case::queries::schemas());
            assert!(schemas.any(|named| named.name == *body), "{body}");
        }
        for query in use_case::queries::schemas() {
            assert!(bodies.contains(query.name), "{} has no route", query.name);
        }
    }
}
