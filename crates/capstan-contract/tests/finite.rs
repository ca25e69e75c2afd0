//! JSON has no infinity: an event that holds one is refused, for `null` in its place could never be read.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use std::path::Path;
use std::sync::Arc;

use capstan_contract::catalogue::event_named;
use capstan_contract::schema_files::sample_path;
use capstan_contract::{AgentCodec, CATALOGUE, EventName, TaskCodec, WorkspaceCodec};
use capstan_domain::Change;
use capstan_domain::policy::RunPolicy;
use capstan_domain::usage::ModelUsage;
use capstan_domain::{agent, task, workspace};
use capstan_envelope::{CodecError, EventRecord};
use serde_json::Value;

fn sample(category: &str, name: &str) -> EventRecord {
    let event: &EventName = event_named(category, name).unwrap();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let text = std::fs::read_to_string(schemas.join(sample_path(event, event.version()))).unwrap();
    let data = serde_json::from_str(&text).unwrap();
    EventRecord { name: name.to_owned(), version: event.version(), data }
}

fn refused(written: &Result<EventRecord, CodecError>) {
    assert!(matches!(written, Err(CodecError::Unwritable { .. })), "{written:?}");
}

/// The pointers below a schema that lead to a floating point number.
fn floats(schema: &Value, at: &str, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) if object.get("format").is_some_and(|format| format == "double") => {
            found.push(at.to_owned());
        }
        Value::Object(object) => {
            object.iter().for_each(|(key, inner)| floats(inner, &format!("{at}/{key}"), found));
        }
        Value::Array(items) => items.iter().for_each(|inner| floats(inner, at, found)),
        _ => {}
    }
}

/// A new number needs `serialize_with = "finite::serialize"` and a line in the test below.
#[test]
fn every_floating_point_number_of_an_event_is_known_here() {
    let mut found = Vec::new();
    for event in CATALOGUE {
        floats(&(event.schema)(), event.name, &mut found);
    }
    assert_eq!(
        found,
        [
            "workspace-updated/$defs/RetryPolicy/properties/factor",
            "workspace-updated/properties/budget_usd_per_day",
            "agent-created/properties/cost_budget_usd",
            "agent-created/properties/quality_score",
            "agent-updated/properties/cost_budget_usd",
            "agent-updated/properties/quality_score",
            "task-accepted/$defs/RetryPolicy/properties/factor",
            "task-accepted/properties/budget_usd",
            "usage-recorded/$defs/ModelUsage/properties/cost_usd",
            "usage-recorded/$defs/Usage/properties/cost_usd",
            "task-budget-set/properties/budget_usd",
            "subtasks-spawned/$defs/RetryPolicy/properties/factor",
            "subtasks-spawned/$defs/Subtask/properties/budget_usd",
            "subtask-ended/properties/cost_usd",
            "budget-warned/properties/limit_usd",
            "budget-warned/properties/spent_usd",
            "budget-exceeded/properties/limit_usd",
            "budget-exceeded/properties/spent_usd",
        ]
    );
}

#[test]
fn an_event_with_a_number_that_is_not_finite_is_not_written() {
    for number in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let decoded = AgentCodec::read(&sample("agent", "agent-created")).unwrap();
        let agent::Event::Created(created) = decoded else { panic!("created") };
        let score = agent::Created { quality_score: Some(number), ..created.clone() };
        refused(&AgentCodec::write(&agent::Event::Created(score)));
        let budget = agent::Created { cost_budget_usd: Some(number), ..created };
        refused(&AgentCodec::write(&agent::Event::Created(budget)));
        let decoded = AgentCodec::read(&sample("agent", "agent-updated")).unwrap();
        let agent::Event::Updated(updated) = decoded else { panic!("updated") };
        let score = agent::Updated { quality_score: Change::Set(number), ..updated.clone() };
        refused(&AgentCodec::write(&agent::Event::Updated(score)));
        let budget = agent::Updated { cost_budget_usd: Change::Set(number), ..updated };
        refused(&AgentCodec::write(&agent::Event::Updated(budget)));

        let decoded = WorkspaceCodec::read(&sample("workspace", "workspace-updated")).unwrap();
        let workspace::Event::Updated(updated) = decoded else { panic!("updated") };
        let budget = workspace::Updated { budget_usd_per_day: Change::Set(number), ..(*updated).clone() };
        refused(&WorkspaceCodec::write(&workspace::Event::Updated(Box::new(budget))));
        let mut policy = RunPolicy::default();
        policy.retry.factor = number;
        let policy = workspace::Updated { default_policy: Change::Set(policy), ..*updated };
        refused(&WorkspaceCodec::write(&workspace::Event::Updated(Box::new(policy))));

        let decoded = TaskCodec::read(&sample("task", "task-accepted")).unwrap();
        let task::Event::TaskAccepted(accepted) = decoded else { panic!("accepted") };
        let mut budget = (*accepted).clone();
        budget.budget_usd = Some(number);
        refused(&TaskCodec::write(&task::Event::TaskAccepted(Arc::new(budget))));
        let mut factor = (*accepted).clone();
        factor.policy.retry.factor = number;
        refused(&TaskCodec::write(&task::Event::TaskAccepted(Arc::new(factor))));

        let decoded = TaskCodec::read(&sample("task", "usage-recorded")).unwrap();
        let task::Event::UsageRecorded(recorded) = decoded else { panic!("usage") };
        let mut cost = recorded.clone();
        cost.usage.cost_usd = number;
        refused(&TaskCodec::write(&task::Event::UsageRecorded(cost)));
        let mut of_model = recorded;
        let model = ModelUsage { cost_usd: number, ..ModelUsage::default() };
        of_model.usage.models.insert("m".into(), model);
        refused(&TaskCodec::write(&task::Event::UsageRecorded(of_model)));
    }
}
