//! Answers of a shape that the question states, as JSON Schema.
//!
//! The check stands here and not in the domain: every validator there is uses a source of randomness, and rules have none.
//! The domain keeps the schema with the question and accepts only answers that name the question they were checked for;
//! the schema of a question never changes, so that is enough.

use capstan_domain::id::InputId;
use capstan_domain::task::Task;
use capstan_domain::task::command::{OpenBlocker, SubmitTaskInput};
use capstan_domain::task::state::Input;
use capstan_domain::{Fault, Faults};
use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::json_schema;
use crate::problem::Problem;

/// Most faults named for one answer.
const FAULTS_MAX: usize = 50;

fn validator(schema: &Value) -> Result<Validator, String> {
    json_schema::options().build(schema).map_err(|error| {
        let place = error.instance_path().to_string();
        let what = json_schema::in_words(&error);
        if place.is_empty() { what } else { format!("{place} {what}") }
    })
}

/// The waiting inputs of a task that satisfy the schema of a question, or the fault of the schema; `field` of the call holds
/// the question.
pub(crate) fn fitting(field: &str, asked: &OpenBlocker, task: Option<&Task>) -> Result<Vec<InputId>, Fault> {
    let Some(schema) = &asked.answer_schema else { return Ok(Vec::new()) };
    let validator = validator(schema).map_err(|why| Fault {
        pointer: format!("{field}/answer_schema"),
        message: format!("is not a JSON Schema: {why}"),
    })?;
    let fits = |input: &&Input| faults(&validator, &input.answers, &input.message).is_empty();
    let waiting = task.into_iter().flat_map(Task::pending_inputs);
    Ok(waiting.filter(fits).map(|input| input.input_id).collect())
}

/// Refuses an input that does not match the schema of its question.
pub(crate) fn check(schema: &Value, input: &SubmitTaskInput) -> Result<(), Problem> {
    let validator = validator(schema).map_err(|why| Problem::internal(std::io::Error::other(why)))?;
    let mut noted = Faults::default();
    for Fault { pointer, message } in faults(&validator, &input.answers, input.message.trim()) {
        noted.add(&pointer, message);
    }
    Problem::refuse(noted)
}

/// The faults of the answers; of the text, when there are no answers.
fn faults(validator: &Validator, answers: &Map<String, Value>, message: &str) -> Vec<Fault> {
    let (base, value) = if answers.is_empty() {
        ("/message", Value::from(message))
    } else {
        ("/answers", Value::Object(answers.clone()))
    };
    let fault = |error: jsonschema::ValidationError<'_>| Fault {
        pointer: format!("{base}{}", error.instance_path()),
        message: json_schema::in_words(&error),
    };
    validator.iter_errors(&value).take(FAULTS_MAX).map(fault).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the value is made for this place")]
    fn found(schema: &Value, answers: Value, message: &str) -> Vec<String> {
        let answers = answers.as_object().cloned().unwrap_or_default();
        let validator = validator(schema).unwrap();
        faults(&validator, &answers, message).into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn every_fault_of_an_answer_is_named_where_it_is() {
        let schema = json!({
            "type": "object",
            "required": ["size"],
            "properties": { "colour": { "enum": ["red", "blue"] }, "size": { "type": "integer" } },
        });
        assert!(found(&schema, json!({ "colour": "red", "size": 3 }), "").is_empty());
        assert_eq!(
            found(&schema, json!({ "colour": "grey", "size": "big" }), ""),
            ["/answers/colour", "/answers/size"]
        );
        assert_eq!(found(&schema, json!({ "colour": "red" }), ""), ["/answers"]);
        assert_eq!(found(&schema, json!({}), "red"), ["/message"]);
        assert!(found(&json!({ "enum": ["yes", "no"] }), json!({}), "yes").is_empty());
    }

    #[test]
    fn a_schema_that_is_none_or_reaches_outside_is_refused() {
        for (schema, told) in [
            (json!({ "type": 7 }), "/type has none of the allowed forms"),
            (json!({ "$ref": "http://127.0.0.1:1/schema" }), "leads nowhere, or outside the schema"),
        ] {
            let asked = OpenBlocker { answer_schema: Some(schema), ..OpenBlocker::default() };
            let no = fitting("/blocker", &asked, None).unwrap_err();
            assert_eq!(no.pointer, "/blocker/answer_schema");
            assert!(no.message.ends_with(told), "{}", no.message);
        }
    }
}
