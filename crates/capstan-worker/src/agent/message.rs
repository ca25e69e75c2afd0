//! The messages an agent writes to its standard output, one JSON object with a `capstan` key per line.

use capstan_client::{
    CheckToolCall, Join, OpenBlocker, OutputId, ProduceOutput, RunEvent, SourceWatch, SubtaskSpec, Usage,
    WakePlan, strict,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A message of the agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    Interactive,
    Output(Box<ProduceOutput>),
    Rows(RowsLine),
    Finalize(FinalizeLine),
    Usage(Box<Usage>),
    Blocker { question: Box<OpenBlocker>, items: Vec<ItemLine> },
    Wake(WakePlan),
    Subtask { subtask: Box<SubtaskSpec>, join: Option<Join> },
    Watch(Box<SourceWatch>),
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

/// Rows for an output.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct RowsLine {
    /// The agent's name for the output, or its id.
    pub(crate) output: String,
    pub(crate) rows: Vec<Value>,
}

/// The final summary of an output.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct FinalizeLine {
    /// The agent's name for the output, or its id.
    pub(crate) output: String,
    pub(crate) summary: String,
}

/// An output a question is about, by the agent's name for it or by its id.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct ItemLine {
    pub(crate) output: Option<String>,
    pub(crate) output_id: Option<OutputId>,
    pub(crate) item_key: Option<String>,
}

#[derive(Deserialize)]
struct ResultLine {
    result: Value,
}

#[derive(Deserialize)]
struct EmptyLine {}

/// A message that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// True for messages that decide what follows the run. Without them the task would end as if nothing were left.
    pub(crate) is_of_plan: bool,
}

/// Reads a line: `None` for plain output, an error for an invalid message.
pub(crate) fn read(line: &str) -> Option<Result<Message, Refusal>> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let kind = fields.remove("capstan")?;
    Some(match kind.as_str() {
        Some(kind) => from_kind(kind, fields).map_err(|error| Refusal {
            reason: format!("message {kind}: {error}"),
            is_of_plan: matches!(kind, "blocker" | "subtask" | "wake" | "watch"),
        }),
        None => Err(Refusal { reason: "the value of capstan is not a text".to_owned(), is_of_plan: false }),
    })
}

fn from_kind(kind: &str, mut fields: Map<String, Value>) -> Result<Message, serde_json::Error> {
    Ok(match kind {
        "interactive" => {
            let EmptyLine {} = strict(fields)?;
            Message::Interactive
        }
        "output" => Message::Output(strict(fields)?),
        "rows" => Message::Rows(strict(fields)?),
        "finalize" => Message::Finalize(strict(fields)?),
        "usage" => Message::Usage(strict(fields)?),
        "blocker" => {
            let items = taken(&mut fields, "items")?.unwrap_or_default();
            Message::Blocker { question: strict(fields)?, items }
        }
        "subtask" => {
            let join = taken(&mut fields, "join")?;
            Message::Subtask { subtask: strict(fields)?, join }
        }
        "watch" => Message::Watch(strict(fields)?),
        "tool_call" => {
            let id = taken(&mut fields, "id")?;
            Message::ToolCall(Box::new(ToolCall { id, question: strict(fields)? }))
        }
        "wake" => Message::Wake(strict(fields)?),
        "event" => Message::Event(strict(fields)?),
        "result" => Message::Result(strict::<ResultLine>(fields)?.result),
        _ => return Err(serde::de::Error::custom("there is no such message")),
    })
}

/// Takes a field that the worker reads itself.
fn taken<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<T>, serde_json::Error> {
    fields.remove(name).map_or(Ok(None), strict::read)
}

/// Reads a message.
fn strict<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, serde_json::Error> {
    strict::read(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use capstan_client::AskedKind;
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
            Message::Rows(RowsLine { output: "report".into(), rows: vec![json!(1)] })
        );
        assert_eq!(
            read(json!({"capstan": "finalize", "output": "report", "summary": "s"})),
            Message::Finalize(FinalizeLine { output: "report".into(), summary: "s".into() })
        );
        let Message::Usage(usage) = read(json!({"capstan": "usage", "input_tokens": 3, "cost_usd": 0.5}))
        else {
            panic!("usage")
        };
        assert_eq!(usage.input_tokens, 3);
        let Message::Blocker { question, .. } =
            read(json!({"capstan": "blocker", "summary": "which?", "questions": [{"id": "q", "text": "?"}]}))
        else {
            panic!("a blocker")
        };
        assert_eq!(question.questions[0].id, "q");
        let line = json!({"capstan": "blocker", "summary": "ok?", "kind": "approval", "items": [{"output": "report"}]});
        let Message::Blocker { question, items } = read(line) else { panic!("a blocker") };
        assert_eq!((question.kind, items[0].output.as_deref()), (Some(AskedKind::Approval), Some("report")));
        let subtask = SubtaskSpec { prompt: "look".into(), ..SubtaskSpec::default() };
        assert_eq!(
            read(json!({"capstan": "subtask", "prompt": "look", "join": "all"})),
            Message::Subtask { subtask: Box::new(subtask), join: Some(Join::All) }
        );
        let Message::Watch(watch) =
            read(json!({"capstan": "watch", "integration": "mail", "thread_id": "t"}))
        else {
            panic!("a watch")
        };
        assert_eq!((watch.integration.as_str(), watch.thread_id.as_deref()), ("mail", Some("t")));
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
            (r#"{"capstan":"subtask","prompt":"p","policy":{"hots":"x"}}"#, "policy.hots"),
            (r#"{"capstan":"watch","integration":"mail","thread":"t"}"#, "thread"),
            (r#"{"capstan":"blocker","summary":"s","items":[{"outptu":"report"}]}"#, "outptu"),
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
            let refusal = read(line).unwrap().unwrap_err();
            assert!(refusal.reason.contains(says), "{line}: {refusal:?}");
            let is_of_plan = ["blocker", "subtask", "watch"].iter().any(|kind| line.contains(kind));
            assert_eq!(refusal.is_of_plan, is_of_plan, "{line}");
        }
    }
}
