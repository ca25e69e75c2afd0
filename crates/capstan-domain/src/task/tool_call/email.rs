//! Tools that send email: an email an executed call sent is an output of the task.

use serde_json::{Map, Value};

use crate::id::OutputId;
use crate::redaction::without_secrets;
use crate::task::event::{Event, OutputProduced, OutputStatus, ToolCallDeferred, ToolExecutionEnded};

/// Prefixes of the names of tools that send email.
pub(super) const TOOLS: [&str; 4] = ["gmail", "outlook", "agentmail", "email"];

/// True for tools that send email, by their name.
pub(super) fn is_email(tool: &str) -> bool {
    let tool = tool.to_lowercase();
    TOOLS.iter().any(|name| tool.starts_with(name))
}

/// The output of an executed call, when it is an email whose tool answered with a JSON object.
pub(super) fn output(
    call: &ToolCallDeferred,
    output_id: OutputId,
    ended: &ToolExecutionEnded,
) -> Option<Event> {
    if !is_email(&call.tool) {
        return None;
    }
    let Ok(Value::Object(answer)) = serde_json::from_str::<Value>(&ended.stdout) else { return None };
    let text =
        |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_str).map(str::to_owned);
    let asked = call.arguments.as_object().cloned().unwrap_or_default();
    let is_draft = call.tool.to_lowercase().contains("draft");
    let mut data = Map::new();
    for name in ["to", "cc", "from", "subject", "body"] {
        if let Some(value) = asked.get(name) {
            data.insert(name.to_owned(), value.clone());
        }
    }
    data.extend(answer.clone());
    data.insert("status".to_owned(), if is_draft { "draft" } else { "sent" }.into());
    if let Some(thread) = text(&answer, "thread_id").or_else(|| text(&answer, "conversation_id")) {
        data.insert("thread_id".to_owned(), thread.into());
    }
    let subject = text(&data, "subject").unwrap_or_else(|| "(no subject)".to_owned());
    let metadata = [("_tool", call.tool.as_str()), ("integration", integration(&call.tool))];
    Some(Event::OutputProduced(OutputProduced {
        output_id,
        run_id: Some(call.run_id),
        output_type: "email".to_owned(),
        title: format!("{}: {}", if is_draft { "Draft" } else { "Sent" }, without_secrets(&subject)),
        summary: Some(call.summary.clone()),
        uri: None,
        data,
        metadata: metadata.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        // Its id follows from the call, so nobody produces it a second time.
        fingerprint: None,
        status: OutputStatus::Active,
        created_at: ended.at,
    }))
}

/// The part of a tool's name that names the service.
fn integration(tool: &str) -> &str {
    tool.split(['.', ':', '_', '-', ' ']).next().unwrap_or(tool)
}
