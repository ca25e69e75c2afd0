//! Bodies as people would write them.

use serde_json::{Value, json};

const TASK: &str = "3f0e4a52-8a5a-5b0c-9d55-0c8f0f2a6a11";
const ID: &str = "7d1c2f8e-1b7e-5d7b-8a54-6a0f4b1f2c33";

/// An example of the body of this wire name.
pub(super) fn of_body(name: &str) -> Option<Value> {
    Some(match name {
        "accept-agent-command" => json!({
            "agent_id": "demo", "message": "Write the release notes of 2.1.", "priority": "high",
            "labels": { "team": "docs" }, "idempotency_key": "release-notes-2.1",
        }),
        "submit-task-input" => json!({ "task_id": TASK, "message": "Leave out the internal changes." }),
        "enqueue-run-input" => json!({ "run_id": ID, "message": "And keep it short." }),
        "cancel-task" => json!({ "task_id": TASK, "reason": "not needed any more" }),
        "cancel-run" => json!({ "run_id": ID, "reason": "takes too long" }),
        "update-task" => json!({ "task_id": TASK, "priority": "urgent", "budget_usd": null }),
        "retry-task" => json!({ "task_id": TASK, "message": "Try again with the new key." }),
        "archive-task" | "unarchive-task" => json!({ "task_id": TASK }),
        "publish-source-event" => json!({
            "integration": "gmail", "correlation_keys": ["thread-7"], "items": [{ "subject": "It works" }],
        }),
        "create-agent" => json!({ "agent_key": "writer", "name": "Writer", "config": { "model": "opus" } }),
        "update-agent" => json!({ "agent_id": "writer", "name": "Chief writer", "quality_score": null }),
        "delete-agent" => json!({ "agent_id": "writer", "cancel_open": true }),
        "create-workspace" => json!({ "workspace": "docs", "display_name": "Documentation" }),
        "update-workspace" => json!({ "settings": { "quotas": { "open_tasks_max": 1000 } } }),
        "upsert-channel-binding" => {
            json!({ "channel_type": "email", "address": "docs@example.org", "agent_id": "writer" })
        }
        "delete-channel-binding" => json!({ "channel_type": "email", "address": "docs@example.org" }),
        "create-task-output" => json!({
            "task_id": TASK, "name": "notes", "output_type": "report", "title": "Release notes of 2.1",
            "data": { "rows": [] },
        }),
        "append-task-output-rows" => json!({ "task_id": TASK, "output_id": ID, "rows": [["fixed", 7]] }),
        "finalize-task-output" => json!({ "task_id": TASK, "output_id": ID, "summary": "7 defects fixed" }),
        "archive-output" => json!({ "output_id": ID }),
        "archive-all-outputs" => json!({ "agent_id": "writer", "created_before": "2026-01-01T00:00:00Z" }),
        "create-schedule" => json!({
            "agent_id": "writer", "cron_expr": "0 9 * * 1-5", "timezone": "Europe/Vienna",
            "prompt": "Write down what was decided yesterday.",
        }),
        "update-schedule" => json!({ "schedule_id": ID, "cron_expr": "30 8 * * 1-5" }),
        "delete-schedule" | "resume-schedule" | "trigger-schedule" => json!({ "schedule_id": ID }),
        "pause-schedule" => json!({ "schedule_id": ID, "reason": "holidays" }),
        "configure-class" => {
            json!({ "instance_key": "execclass_00112233445566778899aabbccddeeff", "desired_dispatch_concurrency": 4 })
        }
        "issue-token" => json!({ "name": "the build server", "scopes": ["command"] }),
        "revoke-token" => json!({ "token_id": ID, "reason": "it was shown in a log" }),
        _ => return None,
    })
}

/// An example of a batch.
pub(super) fn batch() -> Value {
    json!([
        { "type": "create-agent", "agent_key": "writer", "name": "Writer" },
        { "type": "accept-agent-command", "agent_id": "writer", "message": "Write the release notes of 2.1." },
    ])
}

#[cfg(test)]
mod tests {
    use capstan_contract::request::Request;
    use capstan_contract::schema::request_schema_of;
    use capstan_contract::{command, for_each_command};

    use super::*;
    use crate::request;

    /// True when the value says all that the part says.
    fn says(value: &Value, part: &Value) -> bool {
        match (value, part) {
            (Value::Object(value), Value::Object(part)) => {
                part.iter().all(|(name, part)| value.get(name).is_some_and(|value| says(value, part)))
            }
            _ => value == part,
        }
    }

    /// The example of a command fits its schema, is read without loss, and takes no field beside those declared.
    fn holds<C: Request>() {
        let mut example = of_body(C::NAME).unwrap_or_else(|| panic!("{} has no example", C::NAME));
        let schema = request_schema_of::<C, C::Beside>(C::NAME);
        let fits = jsonschema::draft202012::new(&schema).unwrap();
        assert!(fits.is_valid(&example), "{}: {example}", C::NAME);
        let read = |example: &Value| request::read::<C, C::Beside>(&[], example.to_string().as_bytes());
        let (command, _) = read(&example).unwrap_or_else(|problem| panic!("{}: {problem:?}", C::NAME));
        example["of_a_later_release"] = json!(1);
        assert!(read(&example).is_err() && !fits.is_valid(&example), "{}", C::NAME);
        let own = |name: &String| schema["properties"].get(name).is_some() && name != "idempotency_key";
        example.as_object_mut().unwrap().retain(|name, _| own(name));
        let written = serde_json::to_value(command).unwrap();
        assert!(says(&written, &example), "{} of {example} is {written}", C::NAME);
    }

    macro_rules! every_example {
        ($($body:ident($beside:ident) = $name:literal, $method:ident $path:literal => $shown:tt;)*) => {
            #[test]
            fn every_command_has_an_example_that_is_read_as_it_is_meant() {
                $(holds::<command::$body>();)*
            }
        };
    }

    for_each_command!(every_example);
}
