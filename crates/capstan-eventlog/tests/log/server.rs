//! A nats-server of a test's own, which can be configured, killed and started again at will.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use capstan_child::{Child, ChildCommand, Signal};
use capstan_eventlog::{DurabilityHint, JetStreamConfig, JetStreamLog};
use capstan_launcher::{LaunchConfig, Servers};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::writer::eventually;

/// A real server on free ports with its own data folder, gone when the test ends.
///
/// The launcher's own servers always run with JetStream and come back by themselves; these tests need one that stays
/// down until it is told otherwise, so they borrow only the search for the program.
pub(crate) struct Server {
    program: PathBuf,
    port: u16,
    monitor_port: u16,
    child: Mutex<Option<Child>>,
    folder: TempDir,
}

/// The folder of the streams.
const DATA: &str = "data";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts a server with the given `sync_interval`.
    pub(crate) async fn start(sync_interval: &str) -> Self {
        let jetstream =
            |store: &str| format!("jetstream {{ store_dir: {store:?}, sync_interval: {sync_interval:?} }}");
        Self::start_on(jetstream).await
    }

    /// Starts a server without JetStream.
    pub(crate) async fn start_plain() -> Self {
        Self::start_on(|_| String::new()).await
    }

    /// Starts a server with these settings, which are given the folder for streams.
    pub(crate) async fn start_on(settings: impl Fn(&str) -> String) -> Self {
        let folder = TempDir::new().unwrap();
        let program = Servers::find_nats_server(&LaunchConfig::new(folder.path())).await.unwrap();
        let (port, monitor_port) = (free_port(), free_port());
        let settings = settings(&folder.path().join(DATA).display().to_string());
        let config = format!("listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor_port}\n{settings}\n");
        std::fs::write(folder.path().join("nats.conf"), config).unwrap();
        let server = Self { program, port, monitor_port, child: Mutex::new(None), folder };
        server.start_again().await;
        server
    }

    pub(crate) async fn start_again(&self) {
        let child = ChildCommand::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("nats.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .death_signal(Signal::KILL)
            .spawn()
            .await
            .unwrap();
        *self.child.lock().await = Some(child);
    }

    /// Kills the server as a crash would.
    pub(crate) async fn kill(&self) {
        if let Some(mut child) = self.child.lock().await.take() {
            child.signal(Signal::KILL).unwrap();
            child.wait().await.unwrap();
        }
    }

    /// The folder of the server's streams; copy it only while the server is down.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn config(&self) -> JetStreamConfig {
        JetStreamConfig {
            durability: DurabilityHint::Auto,
            monitor_url: Some(format!("http://127.0.0.1:{}", self.monitor_port)),
            ..JetStreamConfig::new(format!("nats://{}", self.address()))
        }
    }

    pub(crate) async fn log(&self) -> JetStreamLog {
        JetStreamLog::connect(self.config()).await.unwrap()
    }

    /// A plain client, to do behind the log's back what the log itself never does.
    pub(crate) async fn client(&self) -> async_nats::Client {
        eventually("the server takes connections", async || async_nats::connect(self.address()).await.ok())
            .await
    }
}

/// Three servers that keep three copies.
pub(crate) struct Cluster {
    members: Vec<Server>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let routes = ports.map(|port| format!("nats-route://127.0.0.1:{port}")).join(", ");
        let mut members = Vec::new();
        for port in ports {
            let settings = |store: &str| {
                format!(
                    "server_name: n{port}\n\
                     jetstream {{ store_dir: {store:?}, sync_interval: always }}\n\
                     cluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}"
                )
            };
            members.push(Server::start_on(settings).await);
        }
        Self { members }
    }

    pub(crate) fn config(&self) -> JetStreamConfig {
        let url = self.members.iter().map(|member| format!("nats://{}", member.address()));
        JetStreamConfig { url: url.collect::<Vec<_>>().join(","), ..self.members[0].config() }
    }
}

/// Calls the JetStream API; an error is part of the answer.
pub(crate) async fn api(client: &async_nats::Client, endpoint: &str, question: &Value) -> Value {
    let answer = client.request(format!("$JS.API.{endpoint}"), question.to_string().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}
