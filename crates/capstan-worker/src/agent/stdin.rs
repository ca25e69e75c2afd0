//! The agent's standard input: the prompt, and then either its end or what else is said to it.
//!
//! Most programs read their input to its end, so it must end; an interactive agent wants it to stay open. The agent
//! says which it is by writing `{"capstan":"interactive"}` before it reads the prompt. Once the prompt has been read
//! (the pipe is empty) and nothing was said, the input is closed. What is at stake is small: an agent that is taken for
//! a silent one finds the end of its input, ends, and gets the answer in a new run of its session.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Interval of checking whether the prompt was read.
const LOOK: Duration = Duration::from_millis(20);
/// Time for output written before the prompt was read to arrive.
const SETTLE: Duration = Duration::from_millis(100);
/// Time limit for writing one line.
const HEAR_LIMIT: Duration = Duration::from_secs(10);

/// Closing of the agent's standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StdinMode {
    /// After the prompt was read, unless the agent declares itself interactive.
    #[default]
    Auto,
    /// Directly after the prompt.
    Close,
    /// Not before the agent ends.
    Open,
}

type Heard = oneshot::Sender<io::Result<()>>;

/// The writing end.
#[derive(Debug)]
pub(super) struct Stdin {
    voice: Voice,
    task: JoinHandle<()>,
}

/// Writes lines to the agent. Clones share the pipe: lines are written whole and in order.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    lines: mpsc::Sender<(Vec<u8>, Heard)>,
    is_interactive: Arc<AtomicBool>,
}

impl Stdin {
    /// Writes the prompt, which is `first`; `is_interactive` is set by whoever reads the agent's output.
    pub(super) fn begin(
        pipe: ChildStdin,
        first: Vec<u8>,
        mode: StdinMode,
        is_interactive: Arc<AtomicBool>,
    ) -> Self {
        if mode == StdinMode::Open {
            is_interactive.store(true, Ordering::Release);
        }
        let (lines, receiver) = mpsc::channel(1);
        let task = tokio::spawn(serve(pipe, first, mode, Arc::clone(&is_interactive), receiver));
        Self { voice: Voice { lines, is_interactive }, task }
    }

    /// The writer of lines to the agent.
    pub(super) fn voice(&self) -> &Voice {
        &self.voice
    }

    pub(super) fn close(&self) {
        self.task.abort();
    }
}

impl Voice {
    /// True while an answer can be written.
    pub(super) fn is_open(&self) -> bool {
        self.is_interactive.load(Ordering::Acquire) && !self.lines.is_closed()
    }

    /// Writes a line, and waits until the pipe has it.
    pub(super) async fn write(&self, line: Vec<u8>) -> io::Result<()> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let (heard, written) = oneshot::channel();
        let write = async {
            self.lines.send((line, heard)).await.map_err(|_| closed())?;
            written.await.map_err(|_| closed())?
        };
        tokio::time::timeout(HEAR_LIMIT, write).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

async fn serve(
    mut pipe: ChildStdin,
    prompt: Vec<u8>,
    mode: StdinMode,
    is_interactive: Arc<AtomicBool>,
    mut lines: mpsc::Receiver<(Vec<u8>, Heard)>,
) {
    // An agent may ignore its input.
    if pipe.write_all(&prompt).await.is_err() || pipe.flush().await.is_err() {
        return;
    }
    if mode == StdinMode::Close || (mode == StdinMode::Auto && !stays_open(&pipe, &is_interactive).await) {
        return;
    }
    while let Some((line, heard)) = lines.recv().await {
        let written = async {
            pipe.write_all(&line).await?;
            pipe.flush().await
        };
        // The caller may have stopped waiting; the line was written either way.
        let _ = heard.send(written.await);
    }
}

/// Waits until the prompt has been read; true if the agent declared itself interactive before.
async fn stays_open(pipe: &ChildStdin, is_interactive: &AtomicBool) -> bool {
    while !is_interactive.load(Ordering::Acquire) {
        // If the pipe cannot be inspected, the prompt counts as read.
        if rustix::io::ioctl_fionread(pipe).unwrap_or(0) == 0 {
            tokio::time::sleep(SETTLE).await;
            return is_interactive.load(Ordering::Acquire);
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}
