//! `/asyncapi.json`: the messages on NATS and on live streams, described from the same operations as the HTTP surface.

use capstan_contract::command::body_schemas;
use capstan_contract::schema::NamedSchema;
use serde_json::{Map, Value, json};

use super::openapi::components::Components;
use super::openapi::paths::content;
use super::openapi::schemas;
use crate::operation::{Answer, Operation};
use crate::prefer::{APPLIED, MINIMAL, PREFER};
use crate::use_case::batch::BATCH;

#[derive(Default)]
struct Drawing {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
    components: Components,
}

/// The document for these operations, with the schemas of their answers.
pub(crate) fn document(operations: &[Operation], answers: &[NamedSchema]) -> Value {
    let components = schemas::all(operations, answers);
    let mut drawing = Drawing { components, ..Drawing::default() };
    drawing.commands(operations);
    drawing.queries(operations);
    drawing.worker_calls(operations);
    drawing.dead_letters();
    drawing.streams(operations);
    let mut schemas = drawing.components.used_by(&json!(drawing.messages));
    for schema in schemas.values_mut() {
        // AsyncAPI takes the field's name alone.
        if let Some(tag) = schema.pointer("/discriminator/propertyName").cloned() {
            schema["discriminator"] = tag;
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Capstan",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands and queries on NATS, and live streams over HTTP. With a subject prefix every subject \
                            begins with it.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": { "host": "localhost:4222", "protocol": "nats" },
            "http": { "host": "localhost:7070", "protocol": "http" },
        },
        "channels": drawing.channels,
        "operations": drawing.operations,
        "components": { "messages": drawing.messages, "messageTraits": preferences(), "schemas": schemas },
    })
}

fn workspace() -> Value {
    json!({ "workspace": { "description": "The name of a workspace." } })
}

/// Trait of messages that may carry the preferences of a caller, and of their replies.
const PREFERRING: &str = "preferring";
const PREFERRED: &str = "preferred";

fn preferences() -> Value {
    let header = |name: &str, header: Value| json!({ "headers": { "type": "object", "properties": { name: header } } });
    json!({
        PREFERRING: header(PREFER, json!({
            "type": "string", "examples": [MINIMAL],
            "description": "RFC 7240; with `return=minimal` the reply has no entity, and waits for none.",
        })),
        PREFERRED: header(APPLIED, json!({
            "type": "string", "const": MINIMAL,
            "description": "There when the reply has no entity because `Prefer` asked for none.",
        })),
    })
}

fn reference(place: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{place}/{}", name.replace('/', "~1")) })
}

impl Drawing {
    #[expect(clippy::needless_pass_by_value, reason = "the value is made for this place")]
    fn message(&mut self, name: &str, payload: Value, summary: &str) {
        self.messages.insert(
            name.to_owned(),
            json!({ "name": name, "summary": summary, "contentType": "application/json", "payload": payload }),
        );
    }

    fn follow_trait(&mut self, message: &str, name: &str) {
        self.messages[message]["traits"] = json!([reference("components/messageTraits", name)]);
    }

    #[expect(clippy::needless_pass_by_value, reason = "the value is made for this place")]
    fn channel(
        &mut self,
        name: &str,
        address: &str,
        server: &str,
        messages: &[&str],
        parameters: Value,
        about: &str,
    ) {
        let messages: Map<String, Value> = messages
            .iter()
            .map(|message| ((*message).to_owned(), reference("components/messages", message)))
            .collect();
        let channel = json!({
            "address": address, "description": about, "servers": [reference("servers", server)],
            "messages": messages, "parameters": parameters,
        });
        self.channels.insert(name.to_owned(), channel);
    }

    /// Adds an operation; `action` is from Capstan's side.
    fn operation(&mut self, name: &str, action: &str, channel: &str, summary: &str, reply: Option<&str>) {
        let mut operation =
            json!({ "action": action, "channel": reference("channels", channel), "summary": summary });
        if let Some(reply) = reply {
            operation["reply"] = json!({
                "channel": reference("channels", "reply"),
                "messages": [
                    reference("channels/reply/messages", reply),
                    reference("channels/reply/messages", "problem"),
                ],
            });
        }
        self.operations.insert(name.to_owned(), operation);
    }

    fn commands(&mut self, operations: &[Operation]) {
        let problem = self.components.reference("problem");
        self.message("problem", problem, "a rejection or a failure");
        self.message(
            "reply",
            self.components.reference("reply"),
            "the receipt of a command, with the entity",
        );
        self.follow_trait("reply", PREFERRED);
        self.channel("reply", "", "nats", &["problem"], json!({}), "replies");
        self.channels["reply"]["address"] = Value::Null;
        for operation in operations.iter().filter(|operation| operation.bus.is_some()) {
            let Some(name) = operation.bus else { continue };
            let Some(body) = body_schemas().find(|named| named.name == name) else { continue };
            self.message(name, self.components.reference(body.name), operation.summary);
            self.follow_trait(name, PREFERRING);
            let durable = format!("cmd/{name}");
            let about = "Durable: stored until it is executed; the outcome is published on `cmd-result`.";
            self.channel(
                &durable,
                &format!("capstan.cmd.{{workspace}}.{name}"),
                "nats",
                &[name],
                workspace(),
                about,
            );
            self.operation(&format!("publish-{name}"), "receive", &durable, operation.summary, None);
            self.rpc(name, name, operation);
        }
        self.message(BATCH, self.components.reference(BATCH), "commands, each with its wire name as `type`");
        self.follow_trait(BATCH, PREFERRING);
        for operation in operations.iter().filter(|operation| operation.is_batch()) {
            self.rpc(BATCH, BATCH, operation);
        }
        let parameters = json!({
            "workspace": { "description": "The name of a workspace." },
            "command_id": { "description": "The id of the command: its field `command_id`, or the header `Capstan-Command-Id`." },
        });
        let about =
            "Outcomes of durable commands, stored for a day. The header `Capstan-Status` is the HTTP status.";
        self.channel(
            "cmd-result",
            "capstan.cmd-result.{workspace}.{command_id}",
            "nats",
            &["reply", "problem"],
            parameters,
            about,
        );
        self.operation("hear-outcome", "send", "cmd-result", "the outcome of a durable command", None);
    }

    /// A request and its reply; the reply is the body of the response over HTTP.
    fn rpc(&mut self, name: &str, message: &str, operation: &Operation) {
        let channel = format!("rpc/{name}");
        let address = format!("capstan.rpc.{{workspace}}.{name}");
        let about = "Request and reply; a NATS service named `capstan`.";
        self.channel(&channel, &address, "nats", &[message], workspace(), about);
        let answer = format!("answer.{name}");
        let (_, payload) = content(operation, &self.components);
        self.message(&answer, payload, "the body of the response over HTTP");
        if operation.takes_preferences() {
            self.follow_trait(&answer, PREFERRED);
        }
        self.channels["reply"]["messages"][&answer] = reference("components/messages", &answer);
        self.operation(&format!("ask-{name}"), "receive", &channel, operation.summary, Some(&answer));
    }

    fn queries(&mut self, operations: &[Operation]) {
        for operation in operations.iter().filter(|operation| operation.is_query()) {
            let Some(name) = operation.rpc_name() else { continue };
            self.message(&name, self.components.reference(&name), operation.summary);
            self.rpc(&name, &name, operation);
        }
    }

    fn worker_calls(&mut self, operations: &[Operation]) {
        for operation in operations.iter().filter(|operation| operation.is_worker_call()) {
            let (Some(name), Some(body)) = (operation.rpc_name(), operation.body) else { continue };
            self.message(&name, self.components.reference(body), operation.summary);
            self.rpc(&name, &name, operation);
        }
    }

    fn dead_letters(&mut self) {
        self.message("dead-letter", json!({}), "the original message; its headers describe the error");
        let parameters = json!({
            "workspace": { "description": "The name of a workspace." },
            "command": { "description": "The last token of the original subject." },
        });
        let about = "Commands that could not be processed, stored in `CAPSTAN_DEADLETTERS` with `Capstan-Error-Code` and the original headers.";
        self.channel(
            "dead-letters",
            "capstan.dlq.cmd.{workspace}.{command}",
            "nats",
            &["dead-letter"],
            parameters,
            about,
        );
        self.operation(
            "hear-dead-letters",
            "send",
            "dead-letters",
            "commands that could not be processed",
            None,
        );
    }

    fn streams(&mut self, operations: &[Operation]) {
        let mut names = Vec::new();
        let frames = self.components.get("live-frame")["discriminator"]["mapping"].clone();
        for (event, frame) in frames.as_object().into_iter().flatten() {
            let name = format!("frame.{event}");
            self.message(
                &name,
                json!({ "$ref": frame }),
                "a frame of a live stream; its name is the field `event`",
            );
            names.push(name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for operation in operations.iter().filter(|operation| matches!(operation.answer, Answer::Stream)) {
            let parameters: Map<String, Value> = operation
                .path_names()
                .map(|name| (name.to_owned(), json!({ "description": format!("The {name}.") })))
                .collect();
            let about = "Server-sent events; the same frames over a WebSocket on the same path.";
            self.channel(operation.name, operation.path, "http", &names, Value::Object(parameters), about);
            self.operation(operation.name, "send", operation.name, operation.summary, None);
        }
    }
}
