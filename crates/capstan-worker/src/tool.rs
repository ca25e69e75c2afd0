//! The tools of this worker, and the execution of a call.
//!
//! A tool is a command of the operator: it reads its arguments as JSON from standard input and writes its result to standard
//! output. It runs outside the agent with a separate environment, so the agent cannot see its secrets.

use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capstan_child::{Child, ChildCommand, Signal};
use capstan_client::{ClaimedToolCall, ReportToolCall};
use chrono::Utc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent::passed_on;

/// Bytes of a stream that the server keeps; the rest is read and dropped.
const STREAM_MAX: usize = 64 * 1024;
/// Time left of a claim when the tool is stopped, for its grace time and the report.
const CLAIM_MARGIN: Duration = Duration::from_secs(10);
/// Time limit for reading pipes still held by a process outside the group.
const AFTERGLOW: Duration = Duration::from_secs(1);

/// The tools of a worker.
#[derive(Clone, Debug)]
pub struct ToolConfig {
    /// The command line of each tool, given to `sh -c`.
    pub commands: BTreeMap<String, String>,
    /// Environment variables of the worker passed to tools besides the harmless ones.
    pub pass_env: Vec<String>,
    /// Time limit of one execution. The claim of a call limits it too.
    pub limit: Duration,
    /// Time between asking a tool to stop and killing it.
    pub grace: Duration,
    /// Number of calls executed at the same time.
    pub slots: usize,
}

impl Default for ToolConfig {
    /// No tools.
    fn default() -> Self {
        Self {
            commands: BTreeMap::new(),
            pass_env: Vec::new(),
            limit: Duration::from_secs(100),
            grace: Duration::from_secs(5),
            slots: 4,
        }
    }
}

impl ToolConfig {
    /// Executes a call to its end; always returns a result.
    pub(crate) async fn carry_out(
        &self,
        call: &ClaimedToolCall,
        giving_up: &CancellationToken,
    ) -> ReportToolCall {
        let failed = |error: String| ReportToolCall { error: Some(error), ..ReportToolCall::default() };
        let Some(command) = self.commands.get(&call.tool) else {
            return failed(format!("this worker does not have the tool {:?}", call.tool));
        };
        match self.start(command, call).await {
            Ok(child) => match self.accompany(child, call, giving_up).await {
                Ok(result) => result,
                Err(error) => failed(format!("the tool could not be waited for: {error}")),
            },
            Err(error) => failed(format!("the tool could not be started: {error}")),
        }
    }

    async fn start(&self, command: &str, call: &ClaimedToolCall) -> io::Result<Child> {
        let piped = ChildCommand::new("sh").arg("-c").arg(command).stdin(Stdio::piped());
        let piped = piped.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = piped.env_clear().group_dies_with_parent();
        for (name, value) in passed_on(&self.pass_env, std::env::vars()) {
            command = command.env(name, value);
        }
        for (name, value) in [
            ("TOOL", call.tool.clone()),
            ("TOOL_CALL_ID", call.tool_call_id.to_string()),
            ("TRY_NO", call.try_no.to_string()),
            ("WORKSPACE", call.workspace.clone()),
            ("TASK_ID", call.task_id.to_string()),
            ("RUN_ID", call.run_id.to_string()),
        ] {
            command = command.env(format!("CAPSTAN_{name}"), value);
        }
        command.spawn().await
    }

    async fn accompany(
        &self,
        mut child: Child,
        call: &ClaimedToolCall,
        giving_up: &CancellationToken,
    ) -> io::Result<ReportToolCall> {
        let missing = || io::Error::other("a pipe of the process is missing");
        let mut stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = Heard::begin(child.stdout.take().ok_or_else(missing)?);
        let stderr = Heard::begin(child.stderr.take().ok_or_else(missing)?);
        let mut arguments = call.arguments.to_string().into_bytes();
        arguments.push(b'\n');
        let writing = tokio::spawn(async move {
            // A tool may ignore its arguments.
            let _ = stdin.write_all(&arguments).await;
        });
        let limit = self.limit_of(call);
        let (status, stopped) = tokio::select! {
            status = child.wait() => {
                child.end_group()?;
                (status?, None)
            }
            () = tokio::time::sleep(limit) => {
                let stopped = format!("the tool did not end within {limit:?} and was stopped");
                (child.terminate(Signal::TERM, self.grace).await?, Some(stopped))
            }
            () = giving_up.cancelled() => {
                let stopped = "the worker stopped before the tool ended".to_owned();
                (child.terminate(Signal::TERM, self.grace).await?, Some(stopped))
            }
        };
        writing.abort();
        let killed = status.code().is_none().then(|| format!("the tool ended by {status}"));
        Ok(ReportToolCall {
            exit_code: status.code(),
            stdout: stdout.text().await,
            stderr: stderr.text().await,
            error: stopped.or(killed),
        })
    }

    /// The end of the claim is a time of the server's clock. If the clocks differ too much, only the limit applies.
    fn limit_of(&self, call: &ClaimedToolCall) -> Duration {
        let left = (call.until - Utc::now()).to_std().unwrap_or(Duration::MAX);
        self.limit.min(left.saturating_sub(CLAIM_MARGIN.max(self.grace)))
    }
}

/// One of the tool's output streams, as far as it was read.
struct Heard {
    kept: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Heard {
    /// Reads a pipe to its end, and keeps its beginning.
    fn begin(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let keep = Arc::clone(&kept);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                let room = STREAM_MAX.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..count.min(room)]);
            }
        });
        Self { kept, reading }
    }

    /// The bytes read when the pipe ended or the time was over.
    async fn text(mut self) -> String {
        if tokio::time::timeout(AFTERGLOW, &mut self.reading).await.is_err() {
            self.reading.abort();
        }
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&kept).into_owned()
    }
}

#[cfg(test)]
mod tests;
