//! Runs each attempt with the Claude Code command line, in its print mode with messages as JSON lines.
//!
//! The command line stores the agent's conversation on this machine. `sessions.rs` maps sessions of Capstan to those of the
//! command line, so that the next run continues the conversation.

mod command_line;
mod meter;
mod permission;
mod stream_json;
mod transcript;
mod verdict;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use capstan_client::{ClaimedInput, LeasedAttempt};
use serde_json::{Value, json};

use self::command_line::{CommandLine, HISTORY_UNAVAILABLE};
use self::stream_json::StreamJson;
use self::transcript::Transcript;
use self::verdict::verdict;
use crate::agent::{
    AgentProcess, Conversation, Ended, Relay, Session, Sessions, StdinMode, for_attempt, not_started, see_off,
};
use crate::{Assignment, Conclusion, Runner, RunnerOptions};

/// Variables that the command line needs to reach its model.
const CREDENTIALS: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
];

/// Runs each attempt with the Claude Code command line.
#[derive(Clone, Debug)]
pub(crate) struct ClaudeCodeRunner {
    options: RunnerOptions,
}

impl ClaudeCodeRunner {
    /// A runner with the command of the options.
    pub(crate) fn new(mut options: RunnerOptions) -> Self {
        options.pass_env.extend(CREDENTIALS.iter().map(|name| (*name).to_owned()));
        Self { options }
    }
}

#[async_trait]
impl Runner for ClaudeCodeRunner {
    async fn run(&self, assignment: Assignment) -> Conclusion {
        let leased = &assignment.leased;
        let session = Sessions::new(self.options.kept_state_dir(), "claude_code").of(leased);
        let known = session.recall();
        let is_history_missing = known.is_none() && leased.resumed_from_run_id.is_some();
        let first = self.converse(&assignment, &session, known.as_deref(), is_history_missing).await;
        match first {
            Ok((ended, transcript)) if known.is_some() && transcript.knows_no_conversation(&ended.said) => {
                // The command line does not know the session: report it, and start a new one.
                session.forget();
                match self.converse(&assignment, &session, None, true).await {
                    Ok((ended, transcript)) => report(ended, &transcript),
                    Err(conclusion) => conclusion,
                }
            }
            Ok((ended, transcript)) => report(ended, &transcript),
            Err(conclusion) => conclusion,
        }
    }
}

fn report(ended: Ended, transcript: &Transcript) -> Conclusion {
    Conclusion::Report(Box::new(verdict(ended, transcript)))
}

impl ClaudeCodeRunner {
    /// One process from its start to its end.
    async fn converse(
        &self,
        assignment: &Assignment,
        session: &Session,
        resume: Option<&str>,
        is_history_missing: bool,
    ) -> Result<(Ended, Transcript), Conclusion> {
        let transcript = Transcript::shared();
        let listener = StreamJson::new(&assignment.leased, session.clone(), Arc::clone(&transcript));
        let mut process = self
            .start(&assignment.leased, session, resume, is_history_missing, listener)
            .await
            .map_err(|error| not_started(&error))?;
        let relay = Relay::start(assignment.reporter.clone(), &mut process, permission::answer);
        let patience = self.options.patience;
        let line_of = said;
        let ending =
            Conversation { assignment, process: &mut process, relay: &relay, patience, line_of }.hold().await;
        let ended = see_off(process, relay, ending, patience, Some(interruption())).await?;
        let transcript =
            std::mem::take(&mut *transcript.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if let Some(usage) = transcript.unreported() {
            // The end is reported all the same: refused usage must not lose the work.
            if let Err(error) = assignment.reporter.usage(&usage).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last usage was refused");
            }
        }
        Ok((ended, transcript))
    }

    async fn start(
        &self,
        leased: &LeasedAttempt,
        session: &Session,
        resume: Option<&str>,
        is_history_missing: bool,
        listener: StreamJson,
    ) -> io::Result<AgentProcess> {
        let line = CommandLine::of(leased, resume);
        let note = is_history_missing.then_some(HISTORY_UNAVAILABLE);
        let texts: Vec<_> =
            note.into_iter().chain(line.overflow.as_deref()).chain([&*leased.prompt]).collect();
        let attachments =
            (!leased.attachments.is_empty()).then(|| format!("Attachments: {}", json!(leased.attachments)));
        let first = user_message(texts.into_iter().chain(attachments.as_deref()));
        let directory = session.working_directory(leased)?;
        let environment =
            for_attempt(leased, Some(&session.directory()?), &self.options.pass_env, std::env::vars());
        let mode = if leased.policy.interactive { StdinMode::Open } else { StdinMode::Close };
        let command = line.command(&self.options.claude).current_dir(directory);
        let is_open = Arc::new(AtomicBool::new(false));
        AgentProcess::spawn(command, environment, first, mode, is_open, listener).await
    }
}

/// A message of the user with one block per text.
fn user_message<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let blocks: Vec<_> = texts.map(|text| json!({ "type": "text", "text": text })).collect();
    line(&json!({ "type": "user", "message": { "role": "user", "content": blocks } }))
}

/// An input as a message to the agent.
fn said(input: &ClaimedInput) -> Vec<u8> {
    let answers = (!input.answers.is_empty()).then(|| {
        let answer = |(question, answer): (&String, &Value)| match answer {
            Value::String(text) => format!("{question}: {text}"),
            other => format!("{question}: {other}"),
        };
        input.answers.iter().map(answer).collect::<Vec<_>>().join("\n")
    });
    let message = Some(&*input.message).filter(|message| !message.is_empty());
    user_message(message.into_iter().chain(answers.as_deref()))
}

/// Requests the end of the turn, with a result that states the usage.
fn interruption() -> Vec<u8> {
    line(&json!({
        "type": "control_request",
        "request_id": uuid::Uuid::from_u128(rand::random()),
        "request": { "subtype": "interrupt" },
    }))
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}
