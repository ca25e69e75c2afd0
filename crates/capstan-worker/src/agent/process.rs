//! The agent's process and its pipes.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use capstan_child::{Child, ChildCommand, Signal};
use capstan_client::LogStream;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::line_splitter::{LINE_MAX, Line, LineSplitter};
use super::message::{Message, Refusal};
use super::stdin::{Stdin, StdinMode, Voice};

/// Lines buffered before the agent's writes block.
const LINES_MAX: usize = 1_024;
/// Once the agent has ended, a pipe that somebody else still holds is read for as long as it is not silent.
const AFTERGLOW: Duration = Duration::from_secs(1);

/// Something the agent wrote.
#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    /// Plain output.
    Text { stream: LogStream, at: DateTime<Utc>, text: String, chunk: Option<Chunk> },
    /// A message.
    Message(Message),
    /// An invalid message.
    Refused { refusal: Refusal, text: String },
    /// A turn of the conversation began.
    TurnBegun,
    /// A turn of the conversation is over: the agent waits for input.
    TurnOver,
}

/// The kind of the output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) kind: String,
    pub(crate) metadata: Map<String, Value>,
}

impl Written {
    /// A line of plain output.
    pub(crate) fn text(stream: LogStream, text: String) -> Self {
        Self::Text { stream, at: Utc::now(), text, chunk: None }
    }
}

/// Understands what an agent writes to its standard output.
pub(crate) trait Listener: Send + 'static {
    /// The longest line that has to come whole.
    fn line_max(&self) -> usize;

    /// Interprets a line.
    fn hear(&mut self, line: Line) -> Vec<Written>;
}

/// Takes every line as it is.
struct PlainText(LogStream);

impl Listener for PlainText {
    fn line_max(&self) -> usize {
        LINE_MAX
    }

    fn hear(&mut self, line: Line) -> Vec<Written> {
        vec![Written::text(self.0, line.text)]
    }
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct AgentProcess {
    child: Child,
    stdin: Stdin,
    written: Option<mpsc::Receiver<Written>>,
    ended: CancellationToken,
}

impl AgentProcess {
    /// Starts the command with exactly these variables, and writes `first` to it.
    pub(crate) async fn spawn(
        command: ChildCommand,
        environment: Vec<(String, String)>,
        first: Vec<u8>,
        mode: StdinMode,
        is_open: Arc<AtomicBool>,
        listener: impl Listener,
    ) -> io::Result<Self> {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = piped.env_clear().group_dies_with_parent();
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let mut child = command.spawn().await?;
        let missing = || io::Error::other("a pipe of the process is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;

        let stdin = Stdin::begin(stdin, first, mode, is_open);
        let (sender, written) = mpsc::channel(LINES_MAX);
        let ended = CancellationToken::new();
        tokio::spawn(read(stdout, listener, sender.clone(), ended.clone()));
        tokio::spawn(read(stderr, PlainText(LogStream::Stderr), sender, ended.clone()));
        Ok(Self { child, stdin, written: Some(written), ended })
    }

    /// The receiver of the agent's output; can be taken once.
    pub(crate) fn take_written(&mut self) -> mpsc::Receiver<Written> {
        self.written.take().expect("what is written is taken once")
    }

    /// Waits until the process ends; the rest of its group is killed then. Cancel safe.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.ended.cancel();
        self.child.end_group()?;
        Ok(status)
    }

    /// Asks the group to end, and kills it after the grace.
    pub(crate) async fn stop(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        let status = self.child.terminate(Signal::TERM, grace).await;
        self.ended.cancel();
        status
    }

    /// Kills the group.
    pub(super) async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.end_group()?;
        self.wait().await
    }

    /// Writes the agent's own stop message, and waits for its end.
    pub(super) async fn dismiss(&mut self, line: Vec<u8>, limit: Duration) -> Option<io::Result<ExitStatus>> {
        let dismissed = async {
            // An agent with a closed input is stopped by signals.
            self.stdin.voice().write(line).await.ok()?;
            self.stdin.close();
            Some(self.wait().await)
        };
        tokio::time::timeout(limit, dismissed).await.ok().flatten()
    }

    /// True while a line can reach the agent.
    pub(crate) fn can_hear(&self) -> bool {
        self.stdin.voice().is_open()
    }

    /// A shareable writer of lines to the agent.
    pub(crate) fn voice(&self) -> Voice {
        self.stdin.voice().clone()
    }

    /// Writes a line to the agent.
    pub(crate) async fn tell(&self, line: Vec<u8>) -> io::Result<()> {
        self.stdin.voice().write(line).await
    }

    pub(super) fn close_stdin(&self) {
        self.stdin.close();
    }
}

/// Reads one pipe to its end.
async fn read(
    mut pipe: impl AsyncRead + Unpin,
    mut listener: impl Listener,
    sender: mpsc::Sender<Written>,
    ended: CancellationToken,
) {
    let mut splitter = LineSplitter::new(listener.line_max());
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let is_silent = async {
            ended.cancelled().await;
            tokio::time::sleep(AFTERGLOW).await;
        };
        let count = tokio::select! {
            biased;
            count = pipe.read(&mut buffer) => count.unwrap_or(0),
            () = is_silent => 0,
        };
        let complete =
            if count == 0 { Vec::from_iter(splitter.finish()) } else { splitter.push(&buffer[..count]) };
        for written in complete.into_iter().flat_map(|line| listener.hear(line)) {
            if sender.send(written).await.is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}
