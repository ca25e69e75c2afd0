//! The table of routes, one line each.
//!
//! The router is built from this table alone: a route that is not listed does not exist, and a listed one is authorised by
//! its scope. Name, method and path of a typed request stand in the contract.

use std::sync::Arc;

use axum::routing::{MethodFilter, MethodRouter, on};
use capstan_contract::request::Request;
use capstan_contract::stream::{SubscribeRunEvents, SubscribeTaskLive, SubscribeWorkspaceLive};
use capstan_contract::{admin as of_admin, command as body, query};

use super::{admin, batches, commands, descriptions, errors, health, live, queries, schemas, worker_calls};
use crate::App;
use crate::operation::Answer::{Array, Entity, List, Maybe, Object, Receipt, Stream, Text, View};
use crate::operation::Verb::{Get, Post};
use crate::operation::{Answer, Operation, Scope, Verb};
use crate::use_case::answer::{Answer as Answers, Installation};
use crate::use_case::execute::Execute;
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

/// Statuses of a command whose effect follows: accepted, or done before.
const ACCEPTED: &[u16] = &[202, 200];
/// Statuses of a command that creates: created, or done before.
const CREATED: &[u16] = &[201, 200];
/// The status of every other success.
const OK: &[u16] = &[200];

#[rustfmt::skip]
pub(crate) static ROUTES: &[Route] = &[
    command::<body::CreateWorkspace>(CREATED, "workspace", "creates a workspace").admin(),
    command::<body::UpdateWorkspace>(OK, "workspace", "updates a workspace and its settings").admin(),
    query::<query::GetWorkspace>(Entity("workspace"), "one workspace"),

    command::<body::IssueToken>(CREATED, "token", "issues a token; only this response contains its secret").admin(),
    query::<query::ListTokens>(List("token"), "the tokens of a workspace, without their secrets").admin(),
    command::<body::RevokeToken>(OK, "token", "revokes a token").admin(),

    command::<body::CreateAgent>(CREATED, "agent", "creates an agent"),
    command::<body::UpdateAgent>(OK, "agent", "updates an agent; null clears a field"),
    command::<body::DeleteAgent>(OK, "cancelled_tasks", "deletes an agent"),
    query::<query::ListAgents>(List("agent"), "the agents of a workspace"),
    query::<query::GetAgent>(Entity("agent"), "one agent, by id, key or similar name"),
    query::<query::GetDefaultConfig>(Object("agent-defaults"), "the default configuration of an agent"),
    query::<query::GetAgentStats>(View("agent-stats"), "agent statistics"),

    command::<body::UpsertChannelBinding>(OK, "channel", "binds a channel address to the workspace"),
    command::<body::DeleteChannelBinding>(OK, "channel", "releases a channel address"),
    query::<query::ListChannelBindings>(List("channel"), "the channel bindings of a workspace"),
    query::<query::GetChannelBinding>(Entity("channel"), "one channel binding"),

    command::<body::ConfigureClass>(OK, "class", "sets the limits of an execution class, pauses or resets it"),
    query::<query::ListClasses>(List("class"), "execution classes with settings or history"),
    query::<query::GetClass>(Entity("class"), "one execution class"),

    command::<body::CreateSchedule>(CREATED, "schedule", "creates a schedule"),
    command::<body::UpdateSchedule>(OK, "schedule", "updates a schedule"),
    command::<body::DeleteSchedule>(OK, "schedule", "deletes a schedule"),
    command::<body::PauseSchedule>(OK, "schedule", "pauses a schedule"),
    command::<body::ResumeSchedule>(OK, "schedule", "resumes a schedule"),
    command::<body::TriggerSchedule>(ACCEPTED, "task", "creates one task from a schedule now"),
    query::<query::ListSchedules>(List("schedule"), "the schedules of a workspace, filtered"),
    query::<query::GetSchedule>(Entity("schedule"), "one schedule"),
    query::<query::PreviewSchedule>(Object("schedule-preview"), "the next ticks of a schedule"),

    command::<body::AcceptAgentCommand>(ACCEPTED, "task", "creates a task for an agent, or continues its session"),
    command::<body::SubmitTaskInput>(ACCEPTED, "task", "submits an input to a task"),
    command::<body::CancelTask>(ACCEPTED, "task", "cancels a task"),
    command::<body::UpdateTask>(OK, "task", "updates a task; null clears a field"),
    command::<body::RetryTask>(ACCEPTED, "task", "retries a task that failed, was dropped or was cancelled"),
    command::<body::ArchiveTask>(ACCEPTED, "task", "archives a task; an active one is cancelled"),
    command::<body::UnarchiveTask>(ACCEPTED, "task", "unarchives a task"),
    command::<body::PublishSourceEvent>(ACCEPTED, "event", "publishes an event of an external source; wakes the tasks that watch for it"),
    query::<query::ListSubtasks>(List("task"), "the subtasks of a task, optionally by the outputs they were created for"),
    query::<query::ListTasks>(List("task"), "tasks, filtered"),
    query::<query::GetTask>(Entity("task"), "one task"),
    query::<query::ListTaskRuns>(List("run"), "the runs of a task"),
    query::<query::ListTaskOutputs>(List("output"), "the outputs of a task"),
    query::<query::ListTaskInputs>(List("input"), "the inputs of a task"),
    query::<query::GetTaskTree>(View("task-tree"), "a task with all its subtasks, with costs"),
    query::<query::GetTaskHistory>(List("history-entry"), "the events of a task"),
    query::<query::GetTaskLogs>(List("log-entry"), "the log lines of a task"),
    query::<query::WhyIsTaskWaiting>(Object("why"), "the reasons why a task is not running"),

    command::<body::EnqueueRunInput>(ACCEPTED, "task", "submits an input to the task of a run"),
    command::<body::CancelRun>(ACCEPTED, "task", "cancels a run"),
    query::<query::ListRuns>(List("run"), "runs, filtered"),
    query::<query::GetRun>(Entity("run"), "one run"),

    query::<query::ListRunSnapshots>(List("run-snapshot"), "the state of a run after each change"),
    query::<query::ListRunEvents>(List("log-entry"), "the steps of the agent of a run"),
    query::<query::GetRunInteraction>(Object("interaction"), "the interaction state of a run: working, waiting for input or closed"),

    query::<query::ListOutputs>(List("output"), "the outputs of a workspace, filtered"),
    query::<query::GetOutput>(Entity("output"), "one output"),
    command::<body::ArchiveOutput>(OK, "output", "archives an output"),
    command::<body::ArchiveAllOutputs>(OK, "archived", "archives outputs of a workspace"),
    command::<body::CreateTaskOutput>(CREATED, "output", "adds an output to a task"),
    command::<body::AppendTaskOutputRows>(OK, "output", "appends rows to an output of a task"),
    command::<body::FinalizeTaskOutput>(OK, "output", "finalizes an output of a task with its summary"),
    query::<query::GetTaskOutput>(Entity("output"), "one output of a task"),
    query::<query::ListInbox>(List("blocker"), "the open questions of all tasks"),

    post("ExecuteBatch", "/v1/workspaces/{workspace}/commands", Scope::Command, Array("batch-answer"), "executes up to 1000 commands, each with its own answer", to!(batches::commands)),
    query::<query::GetTaskEventBatch>(View("task-event-batch"), "a task with its new log lines, run events and outputs"),
    query::<query::GetWorkspaceLiveBatch>(View("workspace-live-batch"), "the newest tasks and outputs"),

    stream::<SubscribeWorkspaceLive>("the events of a workspace as they happen", to!(live::of_workspace)),
    stream::<SubscribeTaskLive>("the events of a task as they happen", to!(live::of_task)),
    stream::<SubscribeRunEvents>("the events of a run as they happen", to!(live::of_run)),

    worker::<body::RegisterWorker>(&[201], Object("registered-worker"), "registers a worker"),
    worker::<body::LeaseAttempts>(OK, Array("leased-attempt"), "leases attempts to a worker; waits for them"),
    worker::<body::RenewLeases>(OK, Array("renew-answer"), "renews leases; returns cancellations and new inputs"),
    worker::<body::DrainWorker>(OK, Object("draining"), "stops leasing attempts to a worker"),

    worker::<body::StartAttempt>(OK, Receipt(""), "reports that the agent runs"),
    worker::<body::AppendLogs>(&[202], Object("accepted-lines"), "appends log lines of the agent"),
    worker::<body::AppendRunEvents>(&[202], Object("accepted-lines"), "appends run events of the agent"),
    worker::<body::ProduceOutput>(CREATED, Receipt("output_id"), "produces an output"),
    worker::<body::AppendOutputRows>(OK, Receipt("output_id"), "appends rows to an output"),
    worker::<body::FinalizeOutput>(OK, Receipt("output_id"), "finalizes an output"),
    worker::<body::OpenBlocker>(CREATED, Receipt(""), "opens a question to people"),
    worker::<body::ClaimInput>(OK, Receipt("input"), "claims the oldest pending input"),
    worker::<body::AckInput>(OK, Receipt("input"), "acknowledges that the agent has the input"),
    worker::<body::DeferInput>(OK, Receipt("input"), "defers an input that could not reach the live turn"),
    worker::<body::RecordUsage>(OK, Receipt(""), "records the usage of the agent so far"),
    worker::<body::CheckToolCall>(OK, Object("tool-decision"), "asks whether the agent may call a tool"),
    worker::<body::ClaimToolCall>(OK, Maybe("claimed-tool-call"), "leases an approved tool call to a worker; waits for one"),
    worker::<body::ReportToolCall>(OK, Receipt(""), "reports the result of a tool call"),
    worker::<body::FinishAttempt>(OK, Receipt(""), "reports the end of the attempt"),

    worker::<body::ReturnAttempt>(OK, Receipt(""), "returns the attempt unfinished"),

    admin::<of_admin::ListProjections>(List("projection"), "the read models and their progress"),
    admin::<of_admin::RebuildProjection>(Object("rebuild"), "rebuilds a read model").answering(&[200, 202]),

    admin::<of_admin::VerifyProjection>(Object("verification"), "compares the rows of a read model with the log").answering(&[200, 202]),
    admin::<of_admin::ListDeadLetters>(List("dead-letter"), "dead letters: commands and commits that could not be processed"),
    admin::<of_admin::GetDeadLetter>(Object("dead-letter"), "one dead letter"),
    admin::<of_admin::RetryDeadLetter>(Object("handled-dead-letter"), "retries a dead letter"),
    admin::<of_admin::DiscardDeadLetter>(Object("handled-dead-letter"), "discards the dead letter of a command"),

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

/// A request with a type of its own.
const fn typed<R: Request>(scope: Scope, answer: Answer, summary: &'static str, handler: Handler) -> Route {
    let mut route = route(R::OPERATION, R::METHOD, R::PATH, scope, answer, summary, handler);
    route.operation.body = Some(R::NAME);
    route
}

/// A query of a workspace, also served over NATS.
const fn query<Q: Answers>(answer: Answer, summary: &'static str) -> Route {
    typed::<Q>(Scope::Read, answer, summary, |method| on(method, queries::of_workspace::<Q>))
}

/// A request about the installation.
const fn admin<R: Answers<Installation>>(answer: Answer, summary: &'static str) -> Route {
    typed::<R>(Scope::Admin, answer, summary, |method| on(method, admin::answer::<R>))
}

/// A live stream.
const fn stream<S: Request>(summary: &'static str, handler: Handler) -> Route {
    typed::<S>(Scope::Read, Stream, summary, handler)
}

/// A command of a caller, also served over NATS; the response is a receipt with the entity.
const fn command<C: Execute>(statuses: &'static [u16], entity: &'static str, summary: &'static str) -> Route {
    let handler: Handler = |method| on(method, commands::execute::<C>);
    let mut route = typed::<C>(Scope::Command, Receipt(entity), summary, handler);
    route.operation.bus = Some(C::NAME);
    route.answering(statuses)
}

/// A call of a worker.
const fn worker<C: WorkerCall>(statuses: &'static [u16], answer: Answer, summary: &'static str) -> Route {
    let handler: Handler = |method| on(method, worker_calls::execute::<C>);
    typed::<C>(Scope::Worker, answer, summary, handler).answering(statuses)
}

impl Route {
    /// Sets the statuses of success.
    const fn answering(mut self, statuses: &'static [u16]) -> Self {
        self.operation.statuses = statuses;
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

    use capstan_contract::request;

    use super::*;
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
    fn every_request_of_the_contract_has_its_route_and_every_route_its_schema() {
        let routed: BTreeSet<_> = ROUTES.iter().filter_map(|route| route.operation.body).collect();
        let in_contract: BTreeSet<_> = request::schemas().map(|named| named.name).collect();
        assert_eq!(routed, in_contract);
    }
}
