//! Runs each attempt as a process that speaks the line protocol.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use capstan_child::ChildCommand;
use capstan_client::{ClaimedInput, LeasedAttempt, LogStream, ToolDecision};
use serde::Serialize;

use crate::agent::{
    AgentProcess, Conversation, LINE_MAX, Line, Listener, Message, Relay, Sessions, StdinMode, ToolCall,
    Written, for_attempt, not_started, read_message, result_of, see_off,
};
use crate::runner_options::MissingOption;
use crate::{Assignment, Conclusion, Runner, RunnerOptions};

/// Runs each attempt as a process that speaks the line protocol of `docs/worker-protocol.md`.
#[derive(Clone, Debug)]
pub(crate) struct ProcessRunner {
    command: String,
    options: RunnerOptions,
}

impl ProcessRunner {
    /// A runner with the command line of the options.
    pub(crate) fn new(options: RunnerOptions) -> Result<Self, MissingOption> {
        let command = options.exec.clone().ok_or(MissingOption("a command line (--exec)"))?;
        Ok(Self { command, options })
    }

    fn session_dir(&self, leased: &LeasedAttempt) -> std::io::Result<Option<PathBuf>> {
        let of_session = |state_dir: &PathBuf| Sessions::new(state_dir, "process").of(leased).directory();
        self.options.state_dir.as_ref().map(of_session).transpose()
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    async fn run(&self, assignment: Assignment) -> Conclusion {
        let leased = &assignment.leased;
        let session_dir = match self.session_dir(leased) {
            Ok(session_dir) => session_dir,
            Err(error) => return not_started(&error),
        };
        let environment =
            for_attempt(leased, session_dir.as_deref(), &self.options.pass_env, std::env::vars());
        let mode = if leased.policy.interactive { self.options.stdin } else { StdinMode::Close };
        let mut process = match start(&self.command, environment, &leased.prompt, mode).await {
            Ok(process) => process,
            Err(error) => return not_started(&error),
        };
        let relay = Relay::start(assignment.reporter.clone(), &mut process, decision_line);
        let patience = self.options.patience;
        let conversation = Conversation {
            assignment: &assignment,
            process: &mut process,
            relay: &relay,
            patience,
            line_of: input_line,
        };
        let ending = conversation.hold().await;
        match see_off(process, relay, ending, patience, None).await {
            Ok(ended) => Conclusion::Report(Box::new(result_of(ended))),
            Err(conclusion) => conclusion,
        }
    }
}

async fn start(
    command: &str,
    environment: Vec<(String, String)>,
    prompt: &str,
    mode: StdinMode,
) -> std::io::Result<AgentProcess> {
    let is_open = Arc::new(AtomicBool::new(false));
    let listener = LineProtocol { is_open: (mode != StdinMode::Close).then(|| Arc::clone(&is_open)) };
    let mut first = prompt.as_bytes().to_vec();
    first.push(b'\n');
    let command = ChildCommand::new("sh").arg("-c").arg(command);
    AgentProcess::spawn(command, environment, first, mode, is_open, listener).await
}

/// Interprets messages of the line protocol; everything else is plain output.
struct LineProtocol {
    /// Set when the agent declares itself interactive, unless its input is closed anyway.
    is_open: Option<Arc<AtomicBool>>,
}

impl Listener for LineProtocol {
    fn line_max(&self) -> usize {
        LINE_MAX
    }

    fn hear(&mut self, line: Line) -> Vec<Written> {
        let message = if line.is_whole { read_message(&line.text) } else { None };
        if let (Some(Ok(Message::Interactive)), Some(is_open)) = (&message, &self.is_open) {
            is_open.store(true, Ordering::Release);
        }
        vec![match message {
            Some(Ok(message)) => Written::Message(message),
            Some(Err(refusal)) => Written::Refused { refusal, text: line.text },
            None => Written::text(LogStream::Stdout, line.text),
        }]
    }
}

/// An input, as written to the agent.
#[derive(Serialize)]
struct InputLine<'a> {
    capstan: &'static str,
    #[serde(flatten)]
    input: &'a ClaimedInput,
}

fn input_line(input: &ClaimedInput) -> Vec<u8> {
    whole(&InputLine { capstan: "input", input })
}

/// The decision on a tool call, as written to the agent.
#[derive(Serialize)]
struct DecisionLine<'a> {
    capstan: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    tool: &'a str,
    #[serde(flatten)]
    answer: &'a ToolDecision,
}

fn decision_line(call: &ToolCall, answer: &ToolDecision) -> Vec<u8> {
    whole(&DecisionLine { capstan: "decision", id: call.id.as_deref(), tool: &call.question.tool, answer })
}

fn whole(line: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(line).expect("texts and numbers can be written");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
