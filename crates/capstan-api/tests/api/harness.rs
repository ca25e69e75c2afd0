//! One server with everything behind it, in this process.

use std::sync::Arc;
use std::time::Duration;

use capstan_api::{
    Access, ApiConfig, App, DeadLetters, Dispatchers, Parts, ReadModelsCheck, Reads, Tasks, nats,
};
use capstan_contract::subject::Subjects;
use capstan_dispatch::{CommandContext, Snapshots, StreamCache};
use capstan_domain::Requested;
use capstan_domain::id::{AttemptId, TaskId, WorkerId};
use capstan_domain::task::{Command, Task, command};
use capstan_engine::{Deciders, Engine, EngineClient, EngineConfig, EngineHandle};
use capstan_envelope::{Actor, MemoryShare, Position, StreamId, Workspace};
use capstan_eventlog::{DurabilityHint, EventLog, JetStreamConfig, JetStreamLog, SharedTail, Topology};
use capstan_live::{LiveConfig, LiveHub};
use capstan_projections::{Projector, ProjectorConfig, ProjectorHandle, ReadModels};
use capstan_testkit::eventually::eventually;
use capstan_testkit::servers::TestServers;
use chrono::Utc;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::conformance::Exchange;

/// The installation's token of servers that ask for one.
pub(crate) const ADMIN: &str = "0123456789abcdef0123456789abcdef";

/// Longest wait for anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) log: Arc<JetStreamLog>,
    pub(crate) tasks: Arc<Tasks>,
    deciders: Deciders,
    pub(crate) nats: async_nats::Client,
    pub(crate) topology: Topology,
    pub(crate) servers: Arc<TestServers>,
    pub(crate) database: String,
    http: reqwest::Client,
    stopping: CancellationToken,
    models: ReadModels,
    projector: Arc<ProjectorHandle>,
    _surface: nats::NatsHandle,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

/// The server's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Asserts the status and hands on the body.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Asserts a problem document of this code.
    pub(crate) fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body["code"], code, "{}", self.body);
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("/errors/{code}"));
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["correlation_id"], self.header("capstan-correlation-id"));
    }
}

impl Api {
    /// A server on this machine without a token, with the workspace `dev` and the agent `demo`.
    pub(crate) async fn start() -> Self {
        let api = Self::start_with(ApiConfig::default()).await;
        api.post("/v1/workspaces", json!({ "workspace": "dev" })).await.expect(201);
        let agent = json!({ "agent_key": "demo", "name": "Demo" });
        api.post("/v1/workspaces/dev/agents", agent).await.expect(201);
        api
    }

    pub(crate) async fn start_with(config: ApiConfig) -> Self {
        Self::try_start(config).await.expect("the server starts")
    }

    async fn try_start(config: ApiConfig) -> anyhow::Result<Self> {
        let servers = Arc::new(TestServers::start().await?);
        let nats_url = servers.nats_url();
        let log = Self::connect(&nats_url).await?;
        let database = servers.fresh_database().await?;
        let models = ReadModels::connect(&database)?;
        models.migrate().await?;
        let projector = Projector::start(log.clone(), models.clone(), ProjectorConfig::default());
        Self::assemble(servers, &nats_url, log, (database, models), Arc::new(projector), config).await
    }

    /// A server on a nats-server of the test's own; only Postgres is the usual one.
    pub(crate) async fn start_on(nats_url: &str, config: ApiConfig) -> Self {
        let servers = Arc::new(TestServers::start().await.expect("the servers start"));
        let log = Self::connect(nats_url).await.expect("the log opens");
        let database = servers.fresh_database().await.expect("a database");
        let models = ReadModels::connect(&database).expect("an address");
        models.migrate().await.expect("the tables are made");
        let projector = Projector::start(log.clone(), models.clone(), ProjectorConfig::default());
        Self::assemble(servers, nats_url, log, (database, models), Arc::new(projector), config)
            .await
            .expect("it starts")
    }

    /// Another process of the same installation: its own connections and memory, the same servers.
    pub(crate) async fn replica(&self, config: ApiConfig) -> Self {
        let nats_url = self.servers.nats_url();
        let log = Self::connect(&nats_url).await.expect("a second connection");
        let (servers, models, projector) =
            (self.servers.clone(), self.models.clone(), self.projector.clone());
        let models = (self.database.clone(), models);
        Self::assemble(servers, &nats_url, log, models, projector, config).await.expect("the replica starts")
    }

    async fn connect(nats_url: &str) -> anyhow::Result<Arc<JetStreamLog>> {
        let log = Arc::new(
            JetStreamLog::connect(JetStreamConfig {
                durability: DurabilityHint::Interval,
                ack_timeout: Duration::from_secs(3),
                append_timeout: Duration::from_secs(10),
                ..JetStreamConfig::new(nats_url)
            })
            .await?,
        );
        Ok(log)
    }

    async fn assemble(
        servers: Arc<TestServers>,
        nats_url: &str,
        log: Arc<JetStreamLog>,
        (database, models): (String, ReadModels),
        projector: Arc<ProjectorHandle>,
        config: ApiConfig,
    ) -> anyhow::Result<Self> {
        let shared: Arc<dyn EventLog> = Arc::new(SharedTail::new(log.clone(), &MemoryShare::unlimited()));
        let live = LiveHub::start(shared.clone(), log.telemetry().clone(), LiveConfig::default()).await?;
        let snapshots: Arc<dyn Snapshots> = Arc::new(models.clone());
        let dispatchers = Dispatchers::new(&shared, &snapshots, &StreamCache::new(MemoryShare::unlimited()));
        live.observe({
            let tokens = dispatchers.tokens.clone();
            move |recorded| tokens.observe(recorded)
        });
        let (tasks, deciders) = (dispatchers.tasks.clone(), dispatchers.deciders());
        let stopping = CancellationToken::new();
        let nats = JetStreamConfig::new(nats_url);
        let nats = nats.log_in(async_nats::ConnectOptions::new()).await?.connect(&nats.url).await?;
        let app = App::new(Parts {
            log: shared,
            dispatchers,
            reads: Reads::new(models.clone()),
            projector: Some(projector.status()),
            // No engine runs in these tests, which the surface must say.
            engine: EngineClient::new(nats.clone(), Subjects::default()),
            live,
            telemetry: log.telemetry().clone(),
            dead_letters: DeadLetters::new(nats.clone(), log.topology().clone()),
            checks: vec![
                log.clone(),
                Arc::new(ReadModelsCheck::new(
                    models.clone(),
                    log.clone(),
                    Some(projector.status()),
                    Duration::from_secs(30),
                )),
            ],
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            stopping: stopping.clone(),
            config,
        });
        let topology = log.topology().clone();
        let surface = nats::serve(&app, &nats, &topology);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        tokio::spawn(capstan_api::serve(app, listener));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self {
            base,
            log,
            tasks,
            deciders,
            nats,
            topology,
            servers,
            database,
            http,
            stopping,
            models,
            projector,
            _surface: surface,
        })
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().expect("a method"), format!("{}{path}", self.base))
    }

    /// Asks, and holds the answer against the published description of the operation.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let answer = self.send_spoilt(request).await;
        let exchange = Exchange {
            method: method.as_str(),
            path: &path,
            status: answer.status,
            headers: &answer.headers,
            body: &answer.body,
        };
        exchange.faults().unwrap_or_else(|faults| panic!("not as /openapi.json describes it: {faults}"));
        answer
    }

    /// Asks what is answered from rows the test has spoilt.
    pub(crate) async fn send_spoilt(&self, request: reqwest::Request) -> Answer {
        let response = self.http.execute(request).await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a whole answer");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("POST", path).body(body.to_string())).await
    }

    /// Starts an engine, which most of these tests do without; answers when it leads.
    pub(crate) async fn lead(&self) -> EngineHandle {
        let nats = self.nats.clone();
        let (log, models) = (self.log.clone(), Arc::new(self.models.clone()));
        let config = EngineConfig::default();
        let url = self.servers.nats_url();
        let connect = Arc::new(move || futures_util::FutureExt::boxed(async_nats::connect(url.clone())));
        let stopping = self.stopping.clone();
        let engine = Engine::start(config, log, self.deciders.clone(), models, nats, connect, stopping);
        engine.is_leading().wait_for(|leads| *leads).await.expect("the engine runs");
        engine
    }

    /// Waits until a task as reads show it satisfies the condition.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let shown = self.get_now(path).await.body;
            if holds(&shown) {
                return shown;
            }
            assert!(tokio::time::Instant::now() < deadline, "never so: {shown}");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn head(&self) -> Position {
        self.log.head().await.expect("the log answers")
    }

    /// Accepts a task and gives its id.
    pub(crate) async fn task(&self, message: &str) -> String {
        let body = json!({ "agent_id": "demo", "message": message });
        let answer = self.post("/v1/workspaces/dev/tasks", body).await.expect(202);
        answer["task"]["id"].as_str().expect("an id").to_owned()
    }

    /// Gives the task's queued run to a worker, as the engine would.
    pub(crate) async fn lease(&self, task: &str) -> Lease {
        let task_id: TaskId = task.parse().expect("a task id");
        let stream = StreamId::new(Workspace::new("dev").expect("a name"), "task", task).expect("a stream");
        let loaded = self.tasks.refresh(&stream).await.expect("the task loads");
        let run_id = loaded.state.as_ref().and_then(|task| task.active_run()).expect("an active run").run_id;
        let lease = Command::Lease(command::Lease {
            run_id,
            worker_id: WorkerId(Uuid::from_u128(1)),
            worker_name: "w".into(),
            lease_ms: 30_000,
        })
        .at(Utc::now());
        let task = self.as_engine(task_id, &lease).await;
        let attempt_id = AttemptId { workspace: "dev".into(), task: task_id, epoch: task.epoch }.to_string();
        Lease { attempt_id, epoch: task.epoch, run_id: run_id.to_string() }
    }

    /// The prompt of the task's newest run.
    pub(crate) async fn prompt(&self, task: &str) -> String {
        let stream = StreamId::new(Workspace::new("dev").expect("a name"), "task", task).expect("a stream");
        let loaded = self.tasks.refresh(&stream).await.expect("the task loads");
        loaded.state.as_deref().map(Task::current_prompt).expect("a task").to_owned()
    }

    /// Gives the task a command as the engine would; the task after it.
    pub(crate) async fn as_engine(&self, task_id: TaskId, command: &Requested<Command>) -> Task {
        let workspace = Workspace::new("dev").expect("a name");
        let stream = StreamId::new(workspace, "task", &task_id.to_string()).expect("a stream");
        let context =
            CommandContext::new(Uuid::from_u128(rand::random()), "engine", Actor::Engine, Utc::now());
        let decided = self.tasks.execute(&stream, command, &context).await.expect("the task takes it");
        decided.loaded.state.as_deref().expect("a task").clone()
    }

    /// A worker's call about its attempt.
    pub(crate) async fn report(&self, lease: &Lease, what: &str, body: Value) -> Answer {
        let path = format!("/v1/attempts/{}/{what}", lease.attempt_id);
        let request =
            self.request("POST", &path).header("capstan-lease-epoch", lease.epoch).body(body.to_string());
        self.send(request).await
    }

    /// Reads once the read models show everything up to now.
    pub(crate) async fn get_now(&self, path: &str) -> Answer {
        let joint = if path.contains('?') { '&' } else { '?' };
        self.get(&format!("{path}{joint}min_position={}&wait_ms=20000", self.head().await)).await
    }
}

/// The payload of a message as JSON.
pub(crate) fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// Asks for a command in `dev` over NATS until somebody serves: the surface comes up beside the HTTP one.
pub(crate) async fn ask(api: &Api, command: &str, body: Value) -> async_nats::Message {
    ask_with(api, command, &[], body).await
}

/// As [`ask`], with headers.
pub(crate) async fn ask_with(
    api: &Api,
    command: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> async_nats::Message {
    let subject = api.topology.rpc_subject("dev", command);
    let mut sent = async_nats::HeaderMap::new();
    for (name, value) in headers {
        sent.append(*name, *value);
    }
    eventually("the service answers", PATIENCE, async || {
        api.nats.request_with_headers(subject.clone(), sent.clone(), body.to_string().into()).await.ok()
    })
    .await
}

/// A token of a workspace, issued by those who run the installation.
pub(crate) async fn issue(api: &Api, workspace: &str, scopes: &[&str]) -> String {
    let body = json!({ "name": format!("{workspace} {scopes:?}"), "scopes": scopes });
    let request = api.request("POST", &format!("/v1/workspaces/{workspace}/tokens"));
    let issued = api.send(request.bearer_auth(ADMIN).body(body.to_string())).await.expect(201);
    issued["secret"].as_str().expect("a secret").to_owned()
}

/// A lease held by a worker.
pub(crate) struct Lease {
    pub(crate) attempt_id: String,
    pub(crate) epoch: u64,
    pub(crate) run_id: String,
}

/// A server that asks for a token.
pub(crate) fn with_token(token: &str) -> ApiConfig {
    let token = capstan_api::AdminToken::new(token).expect("a long token");
    ApiConfig { access: Access::Token(token), ..ApiConfig::default() }
}
