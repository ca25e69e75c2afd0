//! Permission requests of Claude Code, asked at the gate of tool calls.
//!
//! With `--permission-prompt-tool stdio` the command line writes a `control_request` for each call its own rules neither
//! allow nor deny, and waits for the `control_response`. A call that waits for an approval is denied for now: the model is
//! told so, ends its turn, and receives the result later.

use capstan_client::{CheckToolCall, Decision, ToolDecision};
use serde_json::{Value, json};

use super::line;
use crate::agent::{Message, ToolCall, Written};

/// The arguments that make the command line ask.
pub(super) static ARGUMENTS: [&str; 2] = ["--permission-prompt-tool", "stdio"];

/// True for a request that can be answered.
pub(super) fn is_asked(message: &Value) -> bool {
    let subtype = message.pointer("/request/subtype").and_then(Value::as_str);
    subtype == Some("can_use_tool") && message.get("request_id").is_some_and(Value::is_string)
}

/// The request as a question to the gate.
pub(super) fn asked(mut message: Value) -> Vec<Written> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let id = text(message.get("request_id"));
    let tool = text(message.pointer("/request/tool_name")).unwrap_or_default();
    let arguments = message.pointer_mut("/request/input").map(Value::take).unwrap_or_default();
    let question = CheckToolCall::new(tool, arguments);
    vec![Written::Message(Message::ToolCall(Box::new(ToolCall { id, question })))]
}

/// The response to the command line.
pub(super) fn answer(call: &ToolCall, answer: &ToolDecision) -> Vec<u8> {
    let deny = |message: String| json!({ "behavior": "deny", "message": message });
    let response = match answer.decision {
        Decision::Allow => json!({ "behavior": "allow", "updatedInput": call.question.arguments }),
        Decision::Deferred => deny(
            "Not now: a person must approve this first. Do not try it again or in another way; end your turn. You will be \
             told the decision."
                .to_owned(),
        ),
        Decision::Pending => deny(
            "Not now: another question or call is not decided yet. Do not try it again or in another way; end your turn. \
             You will be told how to continue."
                .to_owned(),
        ),
        Decision::Rejected => deny(format!("Not allowed: {}", answer.reason)),
    };
    line(&json!({
        "type": "control_response",
        "response": { "subtype": "success", "request_id": call.id, "response": response },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> ToolCall {
        let request = json!({ "type": "control_request", "request_id": "r-1", "request": {
            "subtype": "can_use_tool", "tool_name": "Bash", "input": { "command": "ls" },
            "permission_suggestions": [], "tool_use_id": "t" } });
        assert!(is_asked(&request));
        let Some(Written::Message(Message::ToolCall(call))) = asked(request).pop() else { panic!("a call") };
        *call
    }

    fn told(decision: Decision) -> Value {
        let reason = "it was rejected".to_owned();
        let line = answer(&call(), &ToolDecision { decision, reason, ..ToolDecision::default() });
        assert!(line.ends_with(b"\n"));
        let told: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(
            (&told["type"], &told["response"]["subtype"], &told["response"]["request_id"]),
            (&json!("control_response"), &json!("success"), &json!("r-1"))
        );
        told["response"]["response"].clone()
    }

    #[test]
    fn only_a_yes_lets_a_call_through_and_it_goes_as_it_was_asked() {
        let call = call();
        assert_eq!(
            (call.question.tool.as_str(), &call.question.arguments["command"]),
            ("Bash", &json!("ls"))
        );
        let allowed = json!({ "behavior": "allow", "updatedInput": { "command": "ls" } });
        assert_eq!(told(Decision::Allow), allowed);
        for decision in [Decision::Deferred, Decision::Pending, Decision::Rejected] {
            assert_eq!(told(decision)["behavior"], "deny", "{decision:?}");
        }
        assert_eq!(told(Decision::Rejected)["message"], "Not allowed: it was rejected");
    }

    #[test]
    fn other_requests_are_not_answered_for() {
        for request in [
            json!({ "request_id": "r", "request": { "subtype": "hook_callback" } }),
            json!({ "request": { "subtype": "can_use_tool" } }),
        ] {
            assert!(!is_asked(&request), "{request}");
        }
    }
}
