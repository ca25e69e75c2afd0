//! The bodies of responses: pages, replies to commands, and the answers to a batch.

use serde_json::{Map, Value, json};

use super::components::{Components, pascal};
use crate::operation::{Answer, Operation};

/// Adds the pages and replies of these operations.
pub(super) fn add(components: &mut Components, operations: &[Operation]) {
    // Replies to the items of a batch have the entity of any command.
    let mut properties = Map::new();
    for operation in operations {
        match operation.answer {
            Answer::List(item) => components.insert(page_name(item), page(item, components)),
            Answer::Receipt(entity) => {
                let reply = reply(entity, components);
                if let (Some(_), Value::Object(of_reply)) = (operation.bus, &reply["properties"]) {
                    properties.extend(of_reply.clone());
                }
                components.insert(reply_name(entity), reply);
            }
            Answer::Entity(_)
            | Answer::View(_)
            | Answer::Object(_)
            | Answer::Maybe(_)
            | Answer::Array(_)
            | Answer::Stream
            | Answer::Text(_) => {}
        }
    }
    let status = json!({ "type": "integer", "minimum": 200, "maximum": 299, "description": "HTTP status." });
    properties.insert("status".to_owned(), status);
    let about = "The reply to a command of a batch.";
    let reply = json!({
        "type": "object", "description": about, "required": ["status", "receipt"], "properties": properties,
    });
    components.insert("BatchReply".to_owned(), reply);
    let answers = json!([components.reference("BatchReply"), components.reference("problem")]);
    let about = "The answer to a command of a batch: a reply, or a problem document.";
    components.insert("BatchAnswer".to_owned(), json!({ "description": about, "anyOf": answers }));
}

/// Name of the page of these objects.
pub(super) fn page_name(item: &str) -> String {
    format!("{}Page", pascal(item))
}

/// Name of the reply with this entity.
pub(super) fn reply_name(entity: &str) -> String {
    format!("{}Reply", pascal(entity))
}

pub(super) fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn page(item: &str, components: &Components) -> Value {
    json!({
        "type": "object",
        "description": "A page of a list.",
        "required": ["items", "position", "limit"],
        "properties": {
            "items": { "type": "array", "items": components.reference(item) },
            "next_cursor": {
                "type": "string", "description": "The `cursor` of the next page; absent on the last page.",
            },
            "position": components.reference("Position"),
            "limit": { "type": "integer", "minimum": 0, "description": "Most objects of a page." },
            "total": { "type": "integer", "minimum": 0, "description": "Objects on all pages, with `count=true`." },
            "total_is_more": { "type": "boolean", "description": "More objects exist than `total`." },
        },
    })
}

fn reply(entity: &str, components: &Components) -> Value {
    let mut schema = json!({
        "type": "object",
        "description": "The receipt of a command; the entity is absent while the read models are behind, and with `Prefer: return=minimal`.",
        "required": ["receipt"],
        "properties": { "receipt": components.reference("receipt") },
    });
    let properties = &mut schema["properties"];
    match entity {
        "" => {}
        "cancelled_tasks" => {
            properties[entity] = json!({ "type": "array", "items": components.reference("TaskId") });
        }
        "archived" => properties[entity] = components.reference("archived-outputs"),
        "event" => properties[entity] = components.reference("delivery"),
        // A claim that finds nothing answers null.
        "input" => properties[entity] = or_null(&components.reference("claimed-input")),
        name => properties[entity] = components.reference(name),
    }
    if entity == "task" {
        let outcome = components.reference("InputOutcome");
        properties["outcome"] = json!({ "anyOf": [outcome, { "type": "string", "const": "duplicate" }] });
        properties["first_outcome"] = outcome;
        properties["continued"] = json!({
            "type": "boolean", "description": "The command became an input of the task of its session.",
        });
        properties["input_id"] = components.reference("InputId");
        properties["task_id"] = components.reference("TaskId");
    }
    if entity == "output" {
        properties["output_id"] = components.reference("OutputId");
    }
    if entity == "token" {
        properties["secret"] =
            json!({ "type": "string", "description": "The whole token, returned only once." });
    }
    schema
}
