//! Messages to the agent about its call.

use crate::task::event::{ToolCallDeferred, ToolExecutionEnded, ToolOutcome};
use crate::task::state::ToolCall;

pub(in crate::task) fn to_repeat(call: &ToolCallDeferred, said: Option<&str>) -> String {
    let said = said.map(|said| format!("\n\n{said}")).unwrap_or_default();
    format!(
        "Your call of {} was approved ({}). No executor is available: make exactly the same call again \
         now. It passes once, within two minutes.{said}",
        call.tool, call.summary
    )
}

pub(in crate::task) fn rejected(call: &ToolCallDeferred) -> String {
    format!("Your call of {} was rejected ({}). Do not try it again.", call.tool, call.summary)
}

pub(in crate::task) fn to_revise(call: &ToolCallDeferred, said: &str) -> String {
    format!(
        "Your call of {} was not approved as it is ({}). Revise it and call again; it will be reviewed again. Feedback:\n\n\
         {said}",
        call.tool, call.summary
    )
}

pub(in crate::task) fn executed(call: &ToolCall, ended: &ToolExecutionEnded) -> String {
    let ToolCall { deferred: call, said, .. } = call;
    let tool = &call.tool;
    let mut text = match ended.outcome {
        ToolOutcome::Ok => {
            format!("Your call of {tool} was approved and was executed ({}). Do not repeat it.", call.summary)
        }
        ToolOutcome::Error => format!(
            "Your call of {tool} was approved and attempted ({}), but it failed. Do not repeat it as it is.",
            call.summary
        ),
        ToolOutcome::Unknown => format!(
            "Your call of {tool} was approved and begun ({}), but nobody knows whether it was executed. Find out \
             before you do anything about it; do not simply repeat it.",
            call.summary
        ),
    };
    if let Some(code) = ended.exit_code {
        text.extend(["\n\nExit code: ", &code.to_string()]);
    }
    for (name, part) in [
        ("Output", Some(ended.stdout.as_str())),
        ("Messages", Some(ended.stderr.as_str())),
        ("Error", ended.error.as_deref()),
        ("Said with the approval", said.as_deref()),
    ] {
        if let Some(part) = part.map(str::trim).filter(|part| !part.is_empty()) {
            text.extend(["\n\n", name, ":\n", part]);
        }
    }
    text
}
