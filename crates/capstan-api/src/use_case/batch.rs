//! Batches: many commands in one request, answered in order, each with its own status.

use std::collections::HashSet;

use capstan_contract::command::{AcceptAgentCommand, CommandBody};
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};

use super::{body, commands};
use crate::App;
use crate::call::CallContext;
use crate::problem::{Code, Problem};

/// The name of the batch on NATS.
pub const BATCH: &str = "batch";
/// Most commands of one batch.
pub(crate) const ITEMS_MAX: usize = 1000;
/// Longest batch, in multiples of the longest body of a command.
pub(crate) const BODIES: usize = 8;
/// Commands of one batch executed at once.
const CONCURRENCY: usize = 64;

/// One command: its wire name as `type`, and the fields of its body.
type Item = Map<String, Value>;

/// Executes the commands of a batch. `may` refuses the wire names the caller may not use.
pub(crate) async fn execute(
    app: &App,
    workspace: &str,
    json: &[u8],
    call: &CallContext,
    may: impl Fn(&str) -> Result<(), Problem> + Sync,
) -> Result<Vec<Value>, Problem> {
    let items: Vec<Item> = body::parse(json)?;
    if items.len() > ITEMS_MAX {
        let detail = format!("a batch has at most {ITEMS_MAX} commands");
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    let may = &may;
    let mut answers = Vec::with_capacity(items.len());
    let mut items = items.into_iter().enumerate().peekable();
    while let Some(first) = items.next() {
        let mut marks = HashSet::new();
        let mut stretch = vec![first];
        if stands_alone(&stretch[0].1, &mut marks) {
            while let Some(next) = items.next_if(|(_, item)| stands_alone(item, &mut marks)) {
                stretch.push(next);
            }
        }
        let under_way = stretch.into_iter().map(|(index, item)| one(app, workspace, index, item, call, may));
        let done: Vec<Value> = stream::iter(under_way).buffered(CONCURRENCY).collect().await;
        answers.extend(done);
    }
    Ok(answers)
}

/// True for a new task that shares neither its session nor its key with another one of this stretch: such commands run
/// concurrently. All others keep their order.
fn stands_alone(item: &Item, marks: &mut HashSet<String>) -> bool {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    if text("type") != Some(AcceptAgentCommand::NAME) {
        return false;
    }
    let shared = ["idempotency_key", "session_id", "session_key"];
    let own: Vec<_> = shared.iter().filter_map(|name| Some(format!("{name}={}", text(name)?))).collect();
    if own.iter().any(|mark| marks.contains(mark)) {
        return false;
    }
    marks.extend(own);
    true
}

async fn one(
    app: &App,
    workspace: &str,
    index: usize,
    item: Item,
    call: &CallContext,
    may: &(impl Fn(&str) -> Result<(), Problem> + Sync),
) -> Value {
    let answered: Result<Value, Problem> = async {
        let (name, json, call) = taken_apart(index, item, call)?;
        may(&name)?;
        let reply = commands::execute(app, workspace, &name, &json, &call).await?;
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

/// The command's name, its body, and its context.
fn taken_apart(
    index: usize,
    mut item: Item,
    call: &CallContext,
) -> Result<(String, Vec<u8>, CallContext), Problem> {
    let Some(Value::String(name)) = item.remove("type") else {
        return Err(Problem::invalid_field("/type", "type is required: the wire name of a command"));
    };
    // The key of the batch, with the index, is the key of each command without its own key.
    let has_own_key = item.get("idempotency_key").is_some_and(|key| !key.is_null());
    let key = call.idempotency_key.as_ref().filter(|_| !has_own_key).map(|key| format!("{key}/{index}"));
    let call = CallContext { idempotency_key: key, command_id: None, expected_version: None, ..call.clone() };
    Ok((name, Value::Object(item).to_string().into_bytes(), call))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_new_tasks_that_share_nothing_may_overtake_each_other() {
        let mut marks = HashSet::new();
        let mut alone = |item: Value| stands_alone(item.as_object().unwrap(), &mut marks);
        assert!(alone(json!({ "type": "accept-agent-command", "message": "a" })));
        assert!(alone(json!({ "type": "accept-agent-command", "session_id": "s" })));
        assert!(!alone(json!({ "type": "accept-agent-command", "session_id": "s" })));
        assert!(alone(json!({ "type": "accept-agent-command", "idempotency_key": "s" })));
        assert!(!alone(json!({ "type": "cancel-task" })));
    }
}
