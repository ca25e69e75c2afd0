//! Batches: many commands in one request, answered in order, each with its own status.

use std::collections::HashSet;

use capstan_contract::command::{AcceptAgentCommand, BatchConditions, IdempotencyKey};
use capstan_contract::request::Request;
use capstan_domain::id::derived;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::commands;
use crate::App;
use crate::call::CallContext;
use crate::problem::{Code, Problem};
use crate::request::{self, Outer, Source};

/// The name of the batch on NATS.
pub const BATCH: &str = "batch";
/// Most commands of one batch.
pub(crate) const ITEMS_MAX: usize = 1000;
/// Longest batch, in multiples of the longest body of a command.
pub(crate) const BODIES: usize = 8;
/// Commands of one batch executed at once.
const CONCURRENCY: usize = 64;

/// One command: its wire name as `type`, and the fields of its body; as received.
type Item = Box<RawValue>;

/// The fields that decide how an item is read, and whether it shares anything with others. What else is wrong with them
/// is named when the command is read.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "type")]
    name: Option<String>,
    idempotency_key: Option<Item>,
    command_id: Option<Item>,
    session_id: Option<Item>,
    session_key: Option<Item>,
}

impl Head {
    /// Reads them; faults are named in the item, as those of its command are.
    fn of(item: &str) -> Result<Self, Problem> {
        if !item.starts_with('{') {
            let fault = "must be an object: a command, with its wire name as type";
            return Err(Problem::invalid_field("", fault));
        }
        serde_json::from_str(item).map_err(|error| {
            let message = error.to_string();
            match message.strip_prefix("duplicate field `").and_then(|rest| rest.split_once('`')) {
                Some((field, _)) => Problem::invalid_field(&format!("/{field}"), "is given twice"),
                None => Problem::invalid_field("/type", of_no_type("type must be a text")),
            }
        })
    }

    /// True for a new task that shares neither its session nor its key with another one of this stretch: such commands run
    /// concurrently. All others keep their order. A mark that is no text is refused when the command is read.
    fn stands_alone(&self, marks: &mut HashSet<String>) -> bool {
        if self.name.as_deref() != Some(AcceptAgentCommand::NAME) {
            return false;
        }
        let shared = [
            ("key", &self.idempotency_key),
            ("command_id", &self.command_id),
            ("session_id", &self.session_id),
            ("session_key", &self.session_key),
        ];
        let own = shared.map(|(name, mark)| {
            let text: String = serde_json::from_str(mark.as_ref()?.get()).ok()?;
            Some(format!("{name}={text}"))
        });
        if own.iter().flatten().any(|mark| marks.contains(mark)) {
            return false;
        }
        marks.extend(own.into_iter().flatten());
        true
    }
}

/// Executes the commands of a batch. `may` refuses the wire names the caller may not use.
pub(crate) async fn execute(
    app: &App,
    workspace: &str,
    conditions: BatchConditions,
    json: &[u8],
    call: &CallContext,
    may: impl Fn(&str) -> Result<(), Problem> + Sync,
) -> Result<Vec<Value>, Problem> {
    let items: Vec<Item> = match serde_json::from_slice(json) {
        Ok(items) => items,
        Err(error) if error.is_data() || json.iter().all(u8::is_ascii_whitespace) => {
            return Err(Problem::invalid_field("", "must be a list of commands"));
        }
        Err(error) => return Err(request::malformed(&error)),
    };
    if items.len() > ITEMS_MAX {
        let detail = format!("a batch has at most {ITEMS_MAX} commands");
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    let (may, key) = (&may, conditions.idempotency_key.as_ref());
    let mut answers = Vec::with_capacity(items.len());
    let mut items = items.into_iter().map(|item| (Head::of(item.get()), item)).enumerate().peekable();
    while let Some(first) = items.next() {
        let mut marks = HashSet::new();
        let mut alone =
            |head: &Result<Head, Problem>| head.as_ref().is_ok_and(|head| head.stands_alone(&mut marks));
        let mut stretch = vec![first];
        if alone(&stretch[0].1.0) {
            while let Some(next) = items.next_if(|(_, (head, _))| alone(head)) {
                stretch.push(next);
            }
        }
        let under_way = stretch
            .into_iter()
            .map(|(index, item)| one(app, workspace, key.map(|key| key_at(key, index)), item, call, may));
        let done: Vec<Value> = stream::iter(under_way).buffered(CONCURRENCY).collect().await;
        answers.extend(done);
    }
    Ok(answers)
}

async fn one(
    app: &App,
    workspace: &str,
    key: Option<String>,
    (head, item): (Result<Head, Problem>, Item),
    call: &CallContext,
    may: &(impl Fn(&str) -> Result<(), Problem> + Sync),
) -> Value {
    let answered: Result<Value, Problem> = async {
        let head = head?;
        let name =
            head.name.ok_or_else(|| Problem::invalid_field("/type", of_no_type("type is required")))?;
        may(&name)?;
        // The key of the batch, with the place, is the key of each command without its own key.
        let key = key.filter(|_| head.idempotency_key.is_none());
        let key = key.map(|key| Outer::new("idempotency_key", key, Source::Header("Idempotency-Key")));
        let reply = commands::execute_given(
            app,
            workspace,
            &name,
            key.as_slice(),
            item.get().as_bytes(),
            &["type"],
            call,
        )
        .await?;
        let mut shown = serde_json::to_value(&reply).map_err(Problem::internal)?;
        shown["status"] = reply.success.status().into();
        Ok(shown)
    }
    .await;
    answered.unwrap_or_else(|problem| {
        problem.log(call.correlation_id);
        serde_json::to_value(problem.document(call.correlation_id)).unwrap_or_default()
    })
}

/// The key of the command at this place of a batch. The place makes no key too long: a name is derived from one that it would.
fn key_at(key: &IdempotencyKey, index: usize) -> String {
    let whole = format!("{key}/{index}");
    // Compared in bytes, which are no fewer: a stored key must come out the same.
    if whole.len() <= IdempotencyKey::CHARACTERS_MAX {
        return whole;
    }
    derived(&["batch-key", &key.to_string(), &index.to_string()]).to_string()
}

/// The fault of a `type` that cannot be the wire name of a command.
fn of_no_type(fault: &str) -> String {
    format!("{fault}: the wire name of a command, such as {}; /schemas lists them", AcceptAgentCommand::NAME)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_with_a_wrong_field_is_still_known_by_its_type() {
        let wrong = Head::of(r#"{ "type": "cancel-task", "session_id": 7, "idempotency_key": 7 }"#).unwrap();
        assert_eq!((wrong.name.as_deref(), wrong.idempotency_key.is_some()), (Some("cancel-task"), true));
        assert!(
            Head::of(r#"{ "type": "cancel-task", "idempotency_key": null }"#)
                .unwrap()
                .idempotency_key
                .is_none()
        );
        for (item, pointer, says) in [
            (r#"{ "type": "cancel-task", "type": "archive-task" }"#, "/type", "is given twice"),
            (
                r#"{ "type": 5 }"#,
                "/type",
                "must be a text: the wire name of a command, such as accept-agent-command",
            ),
            ("7", "", "must be an object: a command"),
            ("[]", "", "must be an object: a command"),
        ] {
            let fault = &Head::of(item).unwrap_err().errors[0];
            assert_eq!(fault.pointer, pointer, "{item}");
            assert!(fault.message.contains(says), "{item}: {}", fault.message);
        }
    }

    #[test]
    fn every_place_of_a_batch_has_a_key_of_its_own_that_is_one() {
        assert_eq!(key_at(&"k".parse().unwrap(), 7), "k/7");
        let longest: IdempotencyKey = "ä".repeat(IdempotencyKey::CHARACTERS_MAX).parse().unwrap();
        let keys: HashSet<_> = (0..ITEMS_MAX).map(|index| key_at(&longest, index)).collect();
        assert_eq!(keys.len(), ITEMS_MAX);
        assert!(keys.iter().all(|key| key.parse::<IdempotencyKey>().is_ok()));
    }

    #[test]
    fn only_new_tasks_that_share_nothing_may_overtake_each_other() {
        let mut marks = HashSet::new();
        let mut alone = |item: Value| Head::of(&item.to_string()).unwrap().stands_alone(&mut marks);
        assert!(alone(json!({ "type": "accept-agent-command", "message": "a" })));
        assert!(alone(json!({ "type": "accept-agent-command", "session_id": "s" })));
        assert!(!alone(json!({ "type": "accept-agent-command", "session_id": "s" })));
        assert!(alone(json!({ "type": "accept-agent-command", "idempotency_key": "s" })));
        assert!(alone(json!({ "type": "accept-agent-command", "command_id": "s" })));
        assert!(!alone(json!({ "type": "accept-agent-command", "command_id": "s" })));
        assert!(!alone(json!({ "type": "cancel-task" })));
        assert!(alone(json!({ "type": "accept-agent-command", "session_key": "s" })));
        let escaped = r#"{ "type": "accept-agent-command", "session_key": "\u0073" }"#;
        assert!(!Head::of(escaped).unwrap().stands_alone(&mut marks), "the same text");
    }
}
