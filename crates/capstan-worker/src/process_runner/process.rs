//! The agent's process and its pipes.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use capstan_child::{Child, ChildCommand, Signal};
use capstan_client::ClaimedInput;
use chrono::{DateTime, Utc};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ProcessConfig;
use super::line_splitter::{Line, LineSplitter};
use super::message::{self, Message};
use super::stdin::{Stdin, StdinMode};

/// Lines that may wait to be handed on before the agent's writes block.
const LINES_MAX: usize = 1_024;
/// Once the agent has ended, a pipe that somebody else still holds is read for as long as it is not silent.
const AFTERGLOW: Duration = Duration::from_secs(1);

/// Something the agent wrote.
#[derive(Debug, PartialEq)]
pub(super) enum Written {
    /// Plain output.
    Text { stream: &'static str, at: DateTime<Utc>, text: String },
    /// A message.
    Message(Message),
    /// A message nobody can follow.
    Refused { reason: String, text: String },
}

/// A running agent.
#[derive(Debug)]
pub(super) struct AgentProcess {
    child: Child,
    stdin: Stdin,
    written: Option<mpsc::Receiver<Written>>,
    ended: CancellationToken,
}

impl AgentProcess {
    pub(super) async fn spawn(
        config: &ProcessConfig,
        environment: Vec<(String, String)>,
        prompt: &str,
        interactive: bool,
    ) -> io::Result<Self> {
        let mut command = ChildCommand::new("sh")
            .arg("-c")
            .arg(&config.command)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let mut child = command.spawn().await?;
        let missing = || io::Error::other("a pipe of the process is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;

        let is_interactive = Arc::new(AtomicBool::new(false));
        let mode = if interactive { config.stdin } else { StdinMode::Close };
        let stdin = Stdin::begin(stdin, prompt, mode, Arc::clone(&is_interactive));
        let (sender, written) = mpsc::channel(LINES_MAX);
        let ended = CancellationToken::new();
        let declared = interactive.then_some(is_interactive);
        tokio::spawn(read(stdout, "stdout", declared, sender.clone(), ended.clone()));
        tokio::spawn(read(stderr, "stderr", None, sender, ended.clone()));
        Ok(Self { child, stdin, written: Some(written), ended })
    }

    /// What the agent writes; can be taken once.
    pub(super) fn take_lines(&mut self) -> mpsc::Receiver<Written> {
        self.written.take().expect("the lines are taken once")
    }

    /// Waits until the process ends by itself; what it left behind in its group is ended too. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.ended.cancel();
        self.child.end_group()?;
        Ok(status)
    }

    /// Asks the group to end, and kills it after the grace.
    pub(super) async fn stop(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        let status = self.child.terminate(Signal::TERM, grace).await;
        self.ended.cancel();
        status
    }

    /// Kills the group.
    pub(super) async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.end_group()?;
        self.wait().await
    }

    /// True while an answer can reach the agent.
    pub(super) fn can_hear(&self) -> bool {
        self.stdin.is_open()
    }

    /// Writes an answer to the agent.
    pub(super) async fn hear(&self, input: &ClaimedInput) -> io::Result<()> {
        self.stdin.write(input).await
    }

    pub(super) fn close_stdin(&self) {
        self.stdin.close();
    }
}

/// Reads one pipe to its end. Messages are understood on standard output only.
async fn read(
    mut pipe: impl AsyncRead + Unpin,
    stream: &'static str,
    declared: Option<Arc<AtomicBool>>,
    lines: mpsc::Sender<Written>,
    ended: CancellationToken,
) {
    let mut splitter = LineSplitter::default();
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
        for line in complete {
            let written = understand(line, stream);
            if let (Written::Message(Message::Interactive), Some(declared)) = (&written, &declared) {
                declared.store(true, Ordering::Release);
            }
            if lines.send(written).await.is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}

fn understand(line: Line, stream: &'static str) -> Written {
    let message = if line.is_whole && stream == "stdout" { message::read(&line.text) } else { None };
    match message {
        Some(Ok(message)) => Written::Message(message),
        Some(Err(reason)) => Written::Refused { reason, text: line.text },
        None => Written::Text { stream, at: Utc::now(), text: line.text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn spawn(command: &str, prompt: &str) -> (AgentProcess, mpsc::Receiver<Written>) {
        let path = ("PATH".to_owned(), std::env::var("PATH").unwrap());
        let config = ProcessConfig::new(command);
        let mut process = AgentProcess::spawn(&config, vec![path], prompt, true).await.unwrap();
        let written = process.take_lines();
        (process, written)
    }

    async fn text(written: &mut mpsc::Receiver<Written>) -> Option<String> {
        match tokio::time::timeout(LIMIT, written.recv()).await.expect("the agent is silent")? {
            Written::Text { text, .. } => Some(text),
            other => panic!("unexpected {other:?}"),
        }
    }

    fn input(message: &str) -> ClaimedInput {
        ClaimedInput {
            input_id: Uuid::nil(),
            seq: 1,
            kind: "free_text".into(),
            message: message.into(),
            answers: serde_json::Map::new(),
        }
    }

    use uuid::Uuid;

    #[tokio::test]
    async fn a_program_that_reads_its_input_to_the_end_finds_the_end() {
        let prompt = "line one\n".to_owned() + &"x".repeat(300_000);
        let (mut process, mut written) = spawn("wc -c", &prompt).await;
        assert_eq!(text(&mut written).await.unwrap().trim(), (prompt.len() + 1).to_string());
        assert!(tokio::time::timeout(LIMIT, process.wait()).await.unwrap().unwrap().success());
    }

    #[tokio::test]
    async fn an_agent_that_says_it_is_interactive_hears_answers() {
        let script = r#"echo '{"capstan":"interactive"}'; read prompt; echo "got $prompt"; read answer; echo "got $answer""#;
        let (mut process, mut written) = spawn(script, "hello").await;
        assert_eq!(written.recv().await, Some(Written::Message(Message::Interactive)));
        assert_eq!(text(&mut written).await.unwrap(), "got hello");
        assert!(process.can_hear());
        process.hear(&input("blue")).await.unwrap();
        let answer = text(&mut written).await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(answer.strip_prefix("got ").unwrap()).unwrap();
        assert_eq!((answer["capstan"].as_str(), answer["message"].as_str()), (Some("input"), Some("blue")));
        assert!(process.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn nobody_is_left_of_a_process_group_that_was_told_to_stop() {
        // The shell ignores TERM and so does its child: only the kill ends them.
        let script =
            "trap '' TERM; sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 0.1; done' & wait; wait";
        let (mut process, mut written) = spawn(script, "").await;
        let child = text(&mut written).await.unwrap();
        let child: i32 = child.strip_prefix("child ").unwrap().parse().unwrap();
        process.stop(Duration::from_millis(300)).await.unwrap();
        let child = rustix::process::Pid::from_raw(child).unwrap();
        let gone = async {
            while rustix::process::test_kill_process(child).is_ok() && !is_zombie(child) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.expect("the grandchild lives on");
    }

    /// In a container nobody may collect orphans; a dead process that is not collected is dead all the same.
    fn is_zombie(pid: rustix::process::Pid) -> bool {
        let status =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    }

    #[tokio::test]
    async fn an_agent_may_stop_in_its_own_way_within_the_grace() {
        let script = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done";
        let (mut process, mut written) = spawn(script, "").await;
        assert_eq!(text(&mut written).await.as_deref(), Some("up"));
        let status = process.stop(LIMIT).await.unwrap();
        assert_eq!(status.code(), Some(7));
        // Some shells also say on standard error that their child was terminated.
        let mut last_words = Vec::new();
        while let Some(text) = text(&mut written).await {
            last_words.push(text);
        }
        assert!(last_words.contains(&"bye".to_owned()), "{last_words:?}");
    }

    #[tokio::test]
    async fn a_pipe_that_somebody_else_still_holds_does_not_keep_the_attempt() {
        let (mut process, mut written) = spawn("setsid sleep 5 & echo started", "").await;
        assert_eq!(text(&mut written).await.as_deref(), Some("started"));
        assert!(process.wait().await.unwrap().success());
        assert_eq!(text(&mut written).await, None);
    }

    #[tokio::test]
    async fn messages_are_understood_on_standard_output_only() {
        let line = r#"{"capstan":"result","result":1}"#;
        let (mut process, mut written) = spawn(&format!("echo '{line}' >&2; echo '{line}x'"), "").await;
        process.wait().await.unwrap();
        let mut all = vec![text(&mut written).await.unwrap(), text(&mut written).await.unwrap()];
        all.sort();
        assert_eq!(all, [line.to_owned(), format!("{line}x")]);
    }
}
