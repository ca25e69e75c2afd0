//! A running `capstan dev`, and what a user can do to it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use procfs::process::Process;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Longest wait for anything a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The executable under test.
pub(crate) const CAPSTAN: &str = env!("CARGO_BIN_EXE_capstan");

/// A running `capstan dev`.
pub(crate) struct Product {
    child: Child,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) data_dir: PathBuf,
    arguments: Vec<String>,
    /// Removed with the product that made it.
    folder: Option<tempfile::TempDir>,
}

/// The root of the repository, where examples lie.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

impl Product {
    /// Starts on a fresh data folder.
    pub(crate) async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Postgres runs as another user when the tests run as root.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let mut product = Self::start_on(&folder.path().join("data"), arguments).await?;
        product.folder = Some(folder);
        Ok(product)
    }

    /// Starts on a given data folder.
    pub(crate) async fn start_on(data_dir: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_at("127.0.0.1:0", data_dir, arguments).await
    }

    async fn start_at(address: &str, data_dir: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(CAPSTAN)
            .args(["dev", "--http", address, "--data-dir"])
            .arg(data_dir)
            .args(arguments)
            .current_dir(repository())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(
                std::fs::OpenOptions::new().create(true).append(true).open(log_of(data_dir))?,
            ))
            .kill_on_drop(true)
            .spawn()
            .context("start capstan dev")?;
        let mut lines = BufReader::new(child.stdout.take().context("a piped stdout")?).lines();
        let ready = tokio::time::timeout(PATIENCE * 3, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(url) = line.strip_prefix("ready ") {
                    return Ok(url.trim().to_owned());
                }
            }
            bail!("capstan dev ended: {}", tail_of(&log_of(data_dir)))
        })
        .await
        .with_context(|| format!("capstan dev is not ready: {}", tail_of(&log_of(data_dir))))??;
        Ok(Self {
            child,
            url: ready,
            http: http_client()?,
            data_dir: data_dir.to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            folder: None,
        })
    }

    /// Kills the process like a crash would, and starts it again on the same folder.
    pub(crate) async fn crash_and_restart(mut self) -> anyhow::Result<Self> {
        self.child.kill().await.context("kill capstan")?;
        self.restart().await
    }

    /// Stops the process in good order, and starts it again on the same folder.
    pub(crate) async fn stop_and_restart(mut self) -> anyhow::Result<Self> {
        self.stop().await?;
        self.restart().await
    }

    /// Stops the process in good order and expects success.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("a running process")?;
        signal("TERM", pid).await?;
        let status =
            tokio::time::timeout(PATIENCE, self.child.wait()).await.context("capstan does not stop")??;
        ensure!(status.success(), "capstan ended with {status}: {}", tail_of(&log_of(&self.data_dir)));
        Ok(())
    }

    /// At the same address, so that workers in processes of their own go on.
    async fn restart(mut self) -> anyhow::Result<Self> {
        let folder = self.folder.take();
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let address = self.url.trim_start_matches("http://");
        let mut product = Self::start_at(address, &self.data_dir, &arguments).await?;
        product.folder = folder;
        Ok(product)
    }

    /// The launcher's `run.json`.
    pub(crate) fn servers(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.data_dir.join("run.json"))?)?)
    }

    /// The address of a path inside the workspace `dev`.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/v1/workspaces/dev/{path}", self.url)
    }

    /// Sends a request inside the workspace `dev`; answers status and body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let answer = self.http.request(method, self.at(path)).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?))
    }

    /// Reads inside the workspace `dev`; expects success.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.http.get(self.at(path)).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "GET {path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Submits a task to the agent `demo`; answers the whole receipt-and-task document.
    pub(crate) async fn submit(&self, message: &str) -> anyhow::Result<Value> {
        let body = json!({ "agent_id": "demo", "message": message });
        let (status, answer) = self.send(Method::POST, "tasks", &body).await?;
        ensure!(status == StatusCode::ACCEPTED, "POST tasks: {status} {answer}");
        Ok(answer)
    }

    /// Submits many tasks to the agent `demo`, eight at a time; answers their ids.
    pub(crate) async fn submit_all(
        &self,
        messages: impl Iterator<Item = String>,
    ) -> anyhow::Result<Vec<String>> {
        let submitted = messages.map(|message| async move {
            let answer = self.submit(&message).await?;
            Ok(answer["task"]["id"].as_str().context("an id")?.to_owned())
        });
        futures_util::stream::iter(submitted).buffer_unordered(8).try_collect().await
    }

    /// Waits until the task satisfies `check`, and answers it.
    pub(crate) async fn task_when(
        &self,
        id: &str,
        what: &str,
        check: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let found = Mutex::new(Value::Null);
        eventually(&format!("the task is {what}"), || async {
            let task = self.get(&format!("tasks/{id}")).await?;
            ensure!(check(&task), "not yet: {task}");
            *found.lock().expect("nobody panics with it") = task;
            Ok(true)
        })
        .await?;
        Ok(found.into_inner()?)
    }

    /// Waits until the task is in a state.
    pub(crate) async fn task_in(&self, id: &str, state: &str) -> anyhow::Result<Value> {
        self.task_when(id, state, |task| task["state"] == state).await
    }

    /// Runs a subcommand against this product and answers what it prints.
    pub(crate) async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(CAPSTAN)
            .args(arguments)
            .env("CAPSTAN_URL", &self.url)
            .env("CAPSTAN_WORKSPACE", "dev")
            .current_dir(repository())
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "capstan {arguments:?}: {} {} {}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The position of the log's last commit.
    pub(crate) async fn log_position(&self) -> anyhow::Result<String> {
        let ready: Value = self.http.get(format!("{}/readyz", self.url)).send().await?.json().await?;
        Ok(ready["checks"]["log"]["position"].as_str().with_context(|| ready.to_string())?.to_owned())
    }

    /// The process id of capstan.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("a running process")
    }
}

/// A client; the library has no cryptography of its own and wants to be told which to use, once per process.
pub(crate) fn http_client() -> anyhow::Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// Runs a command to its end; answers also the peak of its memory, in KB.
pub(crate) async fn peak_of(mut command: Command) -> anyhow::Result<(Output, u64)> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let process = Process::new(child.id().context("a running child")?.try_into()?)?;
    let mut output = std::pin::pin!(child.wait_with_output());
    // The kernel keeps the peak, and forgets it with the process.
    let (mut peak, mut look) = (0, tokio::time::interval(Duration::from_millis(5)));
    loop {
        tokio::select! {
            output = &mut output => break Ok((output?, peak)),
            _ = look.tick() => {
                let status = process.status().ok();
                peak = status.and_then(|status| status.vmhwm).unwrap_or(peak).max(peak);
            }
        }
    }
}

/// Sends a signal to a process this test started.
pub(crate) async fn signal(name: &str, pid: u32) -> anyhow::Result<()> {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().await?;
    ensure!(status.success(), "kill -{name} {pid} failed");
    Ok(())
}

/// True when the process runs no more. One whose parent is gone may stay a zombie until it is reaped; it runs nothing.
pub(crate) fn is_gone(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z ")
}

/// Waits until `check` holds; what keeps it from being asked is shown when the test fails.
pub(crate) async fn eventually<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let mut shown = String::new();
    capstan_testkit::eventually::eventually(what, PATIENCE, async || {
        let holds = check().await;
        if let Err(error) = &holds
            && shown != error.to_string()
        {
            shown = error.to_string();
            eprintln!("{what}: {error:#}");
        }
        holds.unwrap_or(false).then_some(())
    })
    .await;
    Ok(())
}

fn log_of(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}

fn tail_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
