//! The lines Claude Code writes in its `stream-json` format.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_client::{LeasedAttempt, LogStream, ProduceOutput, RunEvent};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::meter::{Tokens, Totals};
use super::permission;
use super::transcript::{Transcript, TurnResult};
use crate::agent::{Chunk, LINE_MAX, Line, Listener, Message, Refusal, Session, Written, read_message};

/// A tool's result may be a whole file, in one line.
const MESSAGE_MAX: usize = 16 * 1024 * 1024;
/// Longest logged request and result of a tool.
const TOOL_TEXT_MAX: usize = 16 * 1024;
/// The longest final answer that is kept as an output.
const ANSWER_MAX: usize = 256 * 1024;
/// The longest title and summary of an output.
const TITLE_MAX: usize = 120;
const SUMMARY_MAX: usize = 500;

/// Interprets the output of Claude Code.
pub(super) struct StreamJson {
    leased: LeasedAttempt,
    session: Session,
    transcript: Arc<Mutex<Transcript>>,
    /// Number of turns with an answer.
    answers: u32,
}

/// A message of the model or of its tools.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spoken {
    message: Body,
    /// The tool call whose subagent wrote this.
    parent_tool_use_id: Option<String>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    id: Option<String>,
    model: Option<String>,
    content: Value,
    usage: Option<Tokens>,
}

impl StreamJson {
    pub(super) fn new(leased: &LeasedAttempt, session: Session, transcript: Arc<Mutex<Transcript>>) -> Self {
        Self { leased: leased.clone(), session, transcript, answers: 0 }
    }

    fn transcript(&self) -> MutexGuard<'_, Transcript> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when it is not a message of the format at all.
    fn understand(&mut self, text: &str) -> Option<Vec<Written>> {
        let message: Value = serde_json::from_str(text).ok()?;
        let (kind, subtype) =
            (message.get("type")?.as_str()?, message.get("subtype").and_then(Value::as_str));
        Some(match (kind, subtype) {
            ("system", Some("init")) => self.begun(&message),
            ("assistant", _) => self.said(serde_json::from_value(message).ok()?),
            ("user", _) => tool_results(serde_json::from_value(message).ok()?),
            ("result", _) => self.turn_over(message),
            ("rate_limit_event", _) => self.limited(&message),
            // Parts of messages that also arrive whole, and responses to requests.
            (
                "stream_event"
                | "control_response"
                | "control_cancel_request"
                | "keep_alive"
                | "tool_progress",
                _,
            ) => Vec::new(),
            ("control_request", _) if permission::is_asked(&message) => permission::asked(message),
            (kind, subtype) => {
                vec![piece(
                    LogStream::System,
                    subtype.unwrap_or(kind),
                    &shortened(text, TOOL_TEXT_MAX),
                    Map::new(),
                )]
            }
        })
    }

    fn begun(&mut self, message: &Value) -> Vec<Written> {
        let Some(session_id) = message.get("session_id").and_then(Value::as_str) else { return Vec::new() };
        let is_known = self.transcript().session_id.replace(session_id.to_owned());
        if is_known.as_deref() == Some(session_id) {
            // Some versions begin every turn like this.
            return Vec::new();
        }
        if let Err(error) = self.session.remember(session_id, &self.leased) {
            tracing::warn!(%error, attempt = %self.leased.attempt_id, "the session cannot be remembered");
        }
        let payload = json!({
            "runner": "claude_code",
            "session_id": session_id,
            "model": message.get("model"),
            "cwd": message.get("cwd"),
            "version": message.get("claude_code_version"),
        });
        let event_type = "agent_session".to_owned();
        vec![Written::Message(Message::Event(RunEvent { event_type, payload, ts: Some(Utc::now()) }))]
    }

    fn said(&mut self, spoken: Spoken) -> Vec<Written> {
        {
            let mut transcript = self.transcript();
            transcript.has_answered = true;
            // Whatever ended before, a turn is under way.
            transcript.result = None;
            transcript.trouble =
                spoken.error.as_ref().map(|error| error.as_str().unwrap_or("unknown").to_owned());
            if let (Some(id), Some(tokens)) = (&spoken.message.id, spoken.message.usage) {
                transcript.meter.message(id, spoken.message.model.as_deref(), tokens);
            }
        }
        let mut written = vec![Written::TurnBegun];
        let within = within(spoken.parent_tool_use_id.as_deref());
        for block in blocks(spoken.message.content) {
            let field = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
            match field("type") {
                // A subagent inside a tool call addresses the model, not Capstan.
                "text" if within.is_empty() => written.extend(spoken_text(field("text")).1),
                "text" => written.extend(pieces("text", field("text"), &within)),
                "thinking" => written.extend(pieces("thinking", field("thinking"), &within)),
                "tool_use" | "server_tool_use" => {
                    let mut metadata = within.clone();
                    metadata.insert("tool_use_id".to_owned(), json!(field("id")));
                    metadata.insert("tool".to_owned(), json!(field("name")));
                    let input = block.get("input").map(Value::to_string).unwrap_or_default();
                    let text = shortened(&format!("{} {input}", field("name")), TOOL_TEXT_MAX);
                    written.push(piece(LogStream::Stdout, "tool_use", &text, metadata));
                }
                "" => {}
                other => written.push(piece(
                    LogStream::Stdout,
                    other,
                    &shortened(&block.to_string(), TOOL_TEXT_MAX),
                    within.clone(),
                )),
            }
        }
        written
    }

    fn turn_over(&mut self, message: Value) -> Vec<Written> {
        let totals = Totals::deserialize(&message).unwrap_or_default();
        let session_id = message.get("session_id").and_then(Value::as_str).map(str::to_owned);
        let result = TurnResult::deserialize(message).unwrap_or_else(|error| TurnResult {
            is_error: true,
            errors: vec![json!(format!("the result cannot be read: {error}"))],
            ..TurnResult::default()
        });
        let mut written = Vec::new();
        if let Some(usage) = self.transcript().meter.result(&totals) {
            written.push(Written::Message(Message::Usage(Box::new(usage))));
        }
        if result.is_success()
            && let Some(output) = self.answer(result.text.as_deref().unwrap_or_default())
        {
            written.push(Written::Message(Message::Output(Box::new(output))));
        }
        let mut transcript = self.transcript();
        transcript.session_id = transcript.session_id.take().or(session_id);
        transcript.result = Some(result);
        drop(transcript);
        written.push(Written::TurnOver);
        written
    }

    /// The final answer of a turn, as an output. A retry of the run has its own.
    fn answer(&mut self, text: &str) -> Option<ProduceOutput> {
        let (text, _) = spoken_text(text);
        let title = text.lines().map(str::trim).find(|line| !line.is_empty())?.to_owned();
        self.answers += 1;
        let metadata = [("kind", json!("final_response")), ("runner", json!("claude_code"))];
        Some(ProduceOutput {
            name: Some(format!(
                "final_response.{}.{}.{}",
                self.leased.run_no, self.leased.attempt_no, self.answers
            )),
            id: None,
            output_type: "text".to_owned(),
            title: shortened(title.trim_start_matches(['#', ' ']), TITLE_MAX),
            summary: Some(shortened(text.trim(), SUMMARY_MAX)),
            uri: None,
            data: Map::from_iter([("text".to_owned(), json!(shortened(&text, ANSWER_MAX)))]),
            metadata: metadata.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
            status: None,
        })
    }

    /// Snapshots of limits come all the time; only one that stops the agent is worth a line.
    fn limited(&mut self, message: &Value) -> Vec<Written> {
        let info = message.get("rate_limit_info").unwrap_or(&Value::Null);
        if info.get("status").and_then(Value::as_str) != Some("rejected") {
            return Vec::new();
        }
        self.transcript().limit_until = info.get("resetsAt").and_then(Value::as_i64);
        vec![piece(LogStream::System, "rate_limit", &info.to_string(), Map::new())]
    }
}

impl Listener for StreamJson {
    fn line_max(&self) -> usize {
        MESSAGE_MAX
    }

    fn hear(&mut self, line: Line) -> Vec<Written> {
        let understood = if line.is_whole { self.understand(&line.text) } else { None };
        understood.unwrap_or_else(|| vec![Written::text(LogStream::Stdout, shortened(&line.text, LINE_MAX))])
    }
}

/// Text of the model: lines that are messages of the line protocol, and the text without them.
fn spoken_text(text: &str) -> (String, Vec<Written>) {
    let (mut plain, mut all, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.split('\n') {
        let Some(message) = read_message(line) else {
            plain.push(line);
            all.push(line);
            continue;
        };
        written.extend(pieces("text", &std::mem::take(&mut plain).join("\n"), &Map::new()));
        written.push(match message {
            Ok(Message::ToolCall(_)) => {
                // The model cannot receive the decision as a line; the command line requests it.
                let reason = "message tool_call: Claude Code's own permission requests are asked".to_owned();
                Written::Refused { refusal: Refusal { reason, is_of_plan: false }, text: line.to_owned() }
            }
            Ok(message) => Written::Message(message),
            Err(refusal) => Written::Refused { refusal, text: line.to_owned() },
        });
    }
    written.extend(pieces("text", &plain.join("\n"), &Map::new()));
    (all.join("\n"), written)
}

fn tool_results(spoken: Spoken) -> Vec<Written> {
    let within = within(spoken.parent_tool_use_id.as_deref());
    let results = blocks(spoken.message.content).into_iter();
    results
        .filter(|block| block.get("type").and_then(Value::as_str) == Some("tool_result"))
        .map(|block| {
            let mut metadata = within.clone();
            metadata.insert("tool_use_id".to_owned(), block.get("tool_use_id").cloned().unwrap_or_default());
            if block.get("is_error").and_then(Value::as_bool) == Some(true) {
                metadata.insert("is_error".to_owned(), json!(true));
            }
            let texts: Vec<_> = blocks(block.get("content").cloned().unwrap_or_default())
                .iter()
                .map(|part| match part.get("text").and_then(Value::as_str) {
                    Some(text) => text.to_owned(),
                    None => format!("[{}]", part.get("type").and_then(Value::as_str).unwrap_or("content")),
                })
                .collect();
            piece(LogStream::Stdout, "tool_result", &shortened(&texts.join("\n"), TOOL_TEXT_MAX), metadata)
        })
        .collect()
}

/// Content is a text, or a list of blocks.
fn blocks(content: Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({ "type": "text", "text": text })],
        Value::Array(blocks) => blocks,
        _ => Vec::new(),
    }
}

fn within(parent_tool_use_id: Option<&str>) -> Map<String, Value> {
    parent_tool_use_id.map(|id| ("parent_tool_use_id".to_owned(), json!(id))).into_iter().collect()
}

/// One piece of the log.
fn piece(stream: LogStream, kind: &str, text: &str, metadata: Map<String, Value>) -> Written {
    let chunk = Some(Chunk { kind: kind.to_owned(), metadata });
    Written::Text { stream, at: Utc::now(), text: text.to_owned(), chunk }
}

/// A text of any length, in pieces the log takes. Nothing for nothing.
fn pieces(kind: &str, text: &str, metadata: &Map<String, Value>) -> Vec<Written> {
    let (mut rest, mut pieces) = (text.trim_matches('\n'), Vec::new());
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(rest.floor_char_boundary(LINE_MAX));
        pieces.push(piece(LogStream::Stdout, kind, head, metadata.clone()));
        rest = tail;
    }
    pieces
}

/// The text, or its beginning and how much is missing.
fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(max)];
    format!("{head}… ({} bytes more)", text.len() - head.len())
}

#[cfg(test)]
mod tests;
