//! The messages an agent writes to its standard output, one JSON object with a `capstan` key per line.

use capstan_client::{BlockerReport, CheckToolCall, OutputStatus, ProduceOutput, RunEvent, Usage, WakePlan};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A message of the agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    Interactive,
    Output(Box<ProduceOutput>),
    Rows { output: String, rows: Vec<Value> },
    Finalize { output: String, summary: String },
    Usage(Box<Usage>),
    Blocker(BlockerReport),
    Wake(WakePlan),
    Subtask { subtask: Value, join: Option<String> },
    Watch(Value),
    Event(RunEvent),
    ToolCall(Box<ToolCall>),
    Result(Value),
}

/// A tool call that the agent requests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolCall {
    /// The agent's own id of the call, returned with the decision.
    pub(crate) id: Option<String>,
    pub(crate) question: CheckToolCall,
}

/// The wire form; the `capstan` key was taken off before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputLine {
    name: Option<String>,
    output_type: String,
    title: String,
    summary: Option<String>,
    uri: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
    status: Option<OutputStatus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowsLine {
    output: String,
    rows: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinalizeLine {
    output: String,
    summary: String,
}

#[derive(Deserialize)]
struct SubtaskLine {
    join: Option<String>,
    #[serde(flatten)]
    subtask: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine {
    event_type: String,
    #[serde(default)]
    payload: Value,
    ts: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCallLine {
    id: Option<String>,
    tool: String,
    #[serde(default)]
    arguments: Value,
    summary: Option<String>,
    details: Option<String>,
    is_write: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultLine {
    result: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyLine {}

/// Reads a line: `None` for plain output, an error for an invalid message.
pub(crate) fn read(line: &str) -> Option<Result<Message, String>> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let kind = fields.remove("capstan")?;
    Some(match kind.as_str() {
        Some(kind) => of_kind(kind, Value::Object(fields)),
        None => Err("the value of capstan is not a text".to_owned()),
    })
}

fn of_kind(kind: &str, fields: Value) -> Result<Message, String> {
    let refused = |error: serde_json::Error| format!("message {kind}: {error}");
    Ok(match kind {
        "interactive" => {
            let EmptyLine {} = serde_json::from_value(fields).map_err(refused)?;
            Message::Interactive
        }
        "output" => {
            let line: OutputLine = serde_json::from_value(fields).map_err(refused)?;
            Message::Output(Box::new(ProduceOutput {
                name: line.name,
                id: None,
                output_type: line.output_type,
                title: line.title,
                summary: line.summary,
                uri: line.uri,
                data: line.data,
                metadata: line.metadata,
                status: line.status,
            }))
        }
        "rows" => {
            let RowsLine { output, rows } = serde_json::from_value(fields).map_err(refused)?;
            Message::Rows { output, rows }
        }
        "finalize" => {
            let FinalizeLine { output, summary } = serde_json::from_value(fields).map_err(refused)?;
            Message::Finalize { output, summary }
        }
        "usage" => Message::Usage(Box::new(usage(fields).map_err(refused)?)),
        // The server validates the other fields of a question, a subtask or a watch.
        "blocker" => Message::Blocker(serde_json::from_value(fields).map_err(refused)?),
        "subtask" => {
            let SubtaskLine { join, subtask } = serde_json::from_value(fields).map_err(refused)?;
            Message::Subtask { subtask: Value::Object(subtask), join }
        }
        "watch" => Message::Watch(fields),
        "tool_call" => {
            let ToolCallLine { id, tool, arguments, summary, details, is_write } =
                serde_json::from_value(fields).map_err(refused)?;
            let mut question = CheckToolCall { summary, details, ..CheckToolCall::new(tool, arguments) };
            question.is_write = is_write.unwrap_or(question.is_write);
            Message::ToolCall(Box::new(ToolCall { id, question }))
        }
        "wake" => Message::Wake(serde_json::from_value(fields).map_err(refused)?),
        "event" => {
            let EventLine { event_type, payload, ts } = serde_json::from_value(fields).map_err(refused)?;
            Message::Event(RunEvent { event_type, payload, ts })
        }
        "result" => {
            let ResultLine { result } = serde_json::from_value(fields).map_err(refused)?;
            Message::Result(result)
        }
        _ => return Err(format!("message {kind}: there is no such message")),
    })
}

/// A misspelt counter would be lost usage, in total and by model.
fn usage(fields: Value) -> Result<Usage, serde_json::Error> {
    const COUNTERS: [&str; 5] = [
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "cost_usd",
    ];
    let is_counter = |key: &&String| COUNTERS.contains(&key.as_str());
    let is_of_total = |key: &&String| is_counter(key) || *key == "total_tokens" || *key == "models";
    let models = fields.get("models").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let of_models = models.filter_map(Value::as_object).flat_map(Map::keys).find(|key| !is_counter(key));
    let of_total = fields.as_object().and_then(|fields| fields.keys().find(|key| !is_of_total(key)));
    match of_total.or(of_models) {
        Some(key) => Err(serde::de::Error::custom(format!("unknown field `{key}`"))),
        None => serde_json::from_value(fields),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_without_the_key_is_plain_output() {
        for line in ["hello", "", "{not json", r#"{"level":"info"}"#, r#"["capstan"]"#, r#""capstan""#, "{}"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn every_message_is_read() {
        let line = json!({"capstan": "output", "name": "report", "output_type": "summary", "title": "T", "data": {"a": 1}});
        let Some(Ok(Message::Output(output))) = read(&line.to_string()) else { panic!("an output") };
        assert_eq!((output.name.as_deref(), output.data["a"].as_i64()), (Some("report"), Some(1)));

        let read = |line: Value| read(&line.to_string()).unwrap().unwrap();
        assert_eq!(read(json!({"capstan": "interactive"})), Message::Interactive);
        assert_eq!(
            read(json!({"capstan": "rows", "output": "report", "rows": [1]})),
            Message::Rows { output: "report".into(), rows: vec![json!(1)] }
        );
        assert_eq!(
            read(json!({"capstan": "finalize", "output": "report", "summary": "s"})),
            Message::Finalize { output: "report".into(), summary: "s".into() }
        );
        let Message::Usage(usage) = read(json!({"capstan": "usage", "input_tokens": 3, "cost_usd": 0.5}))
        else {
            panic!("usage")
        };
        assert_eq!(usage.input_tokens, 3);
        let Message::Blocker(blocker) =
            read(json!({"capstan": "blocker", "summary": "which?", "questions": [{"id": "q", "text": "?"}]}))
        else {
            panic!("a blocker")
        };
        assert_eq!(blocker.questions[0].id, "q");
        let line = json!({"capstan": "blocker", "summary": "ok?", "kind": "approval", "items": [{"output": "report"}]});
        let Message::Blocker(blocker) = read(line) else { panic!("a blocker") };
        assert_eq!(
            (&blocker.more["kind"], &blocker.more["items"][0]["output"]),
            (&json!("approval"), &json!("report"))
        );
        assert_eq!(
            read(json!({"capstan": "subtask", "prompt": "look", "join": "all"})),
            Message::Subtask { subtask: json!({"prompt": "look"}), join: Some("all".into()) }
        );
        let watch = json!({"integration": "mail", "thread_id": "t"});
        assert_eq!(
            read(json!({"capstan": "watch", "integration": "mail", "thread_id": "t"})),
            Message::Watch(watch)
        );
        let Message::Wake(wake) = read(json!({"capstan": "wake", "delay_minutes": 5, "reason": "r"})) else {
            panic!("a wake")
        };
        assert_eq!(wake.delay_minutes, Some(5));
        assert_eq!(read(json!({"capstan": "result", "result": {"x": 1}})), Message::Result(json!({"x": 1})));
        let Message::Event(event) = read(json!({"capstan": "event", "event_type": "tool", "payload": [1]}))
        else {
            panic!("an event")
        };
        assert_eq!(event.event_type, "tool");
        let line = json!({"capstan": "tool_call", "id": "1", "tool": "crm.update", "arguments": {"n": 1}});
        let Message::ToolCall(call) = read(line) else { panic!("a tool call") };
        assert_eq!((call.id.as_deref(), &call.question.arguments["n"]), (Some("1"), &json!(1)));
        assert!(call.question.is_write, "silence means what it means to the server");
    }

    #[test]
    fn a_message_nobody_can_follow_is_refused_by_name() {
        for (line, says) in [
            (r#"{"capstan":"blocker","details":"x"}"#, "summary"),
            (r#"{"capstan":"subtask","join":3}"#, "subtask"),
            (r#"{"capstan":"dance"}"#, "no such message"),
            (r#"{"capstan":"tool_call","arguments":{}}"#, "tool"),
            (r#"{"capstan":"tool_call","tool":"t","is_wirte":false}"#, "is_wirte"),
            (r#"{"capstan":7}"#, "not a text"),
            (r#"{"capstan":"output","title":"t"}"#, "output_type"),
            (r#"{"capstan":"output","output_type":"a","title":"t","colour":"red"}"#, "colour"),
            (r#"{"capstan":"usage","input_token":1}"#, "input_token"),
            (r#"{"capstan":"usage","models":{"m":{"output_token":1}}}"#, "output_token"),
            (r#"{"capstan":"output","output_type":"a","title":"t","status":"red"}"#, "red"),
            (r#"{"capstan":"rows","output":"o","rows":3}"#, "rows"),
        ] {
            let error = read(line).unwrap().unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
