use std::collections::BTreeMap;

use capstan_domain::id::{AgentId, AttemptId, RunId, TaskId};
use capstan_domain::policy::RunPolicy;
use capstan_domain::task::Task;
use capstan_domain::task::event::RunCause;
use capstan_domain::task::state::Live;
use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The fields that may be of any length, and that an answer without room for them leaves out.
const LONG: [&str; 15] = [
    "agent_config",
    "agent_key",
    "agent_name",
    "attachments",
    "extra_system_prompt",
    "input_provenance",
    "label",
    "model",
    "policy",
    "prompt",
    "provider",
    "routing",
    "session_id",
    "session_key",
    "skill_paths",
];

/// A try at a run, with everything a worker needs to execute it. Fields for which the answer had no room are named in
/// `omitted`; the whole attempt is then fetched in pages.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = may_be_left_out)]
pub struct LeasedAttempt {
    /// The attempt, and the fence of every call about it.
    pub attempt_id: AttemptId,
    /// The epoch of the lease.
    pub epoch: u64,
    /// Lifetime of the lease without renewal, in milliseconds.
    pub lease_ms: i64,
    /// Workspace of the task.
    pub workspace: String,
    /// The task.
    pub task_id: TaskId,
    /// The run.
    pub run_id: RunId,
    /// The run's number within the task, from 1.
    pub run_no: u32,
    /// The attempt's number within the run, from 1.
    pub attempt_no: u32,
    /// Id of the agent.
    pub agent_id: AgentId,
    /// The agent's key.
    #[serde(default)]
    pub agent_key: String,
    /// The agent's name.
    #[serde(default)]
    pub agent_name: String,
    /// Number of the agent's configuration when the task was accepted.
    pub agent_config_version: u64,
    /// The agent's configuration of that version.
    #[serde(default)]
    pub agent_config: Map<String, Value>,
    /// The model's provider.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// Prompt for the agent.
    #[serde(default)]
    pub prompt: String,
    /// Reason the run was requested.
    #[serde(deserialize_with = "super::cause")]
    pub cause: RunCause,
    /// The conversation its runs share.
    #[serde(default)]
    pub session_id: String,
    /// A caller's name for the session.
    pub session_key: Option<String>,
    /// The run whose session it resumes.
    pub resumed_from_run_id: Option<RunId>,
    /// Rules of execution.
    #[serde(default)]
    pub policy: RunPolicy,
    /// Longest time the attempt may run, in milliseconds; 0 = none.
    pub timeout_ms: i64,
    /// Text added to the agent's system prompt.
    pub extra_system_prompt: Option<String>,
    /// Objects handed to the agent.
    #[serde(default)]
    pub attachments: Vec<Map<String, Value>>,
    /// Skills the agent is to use, as paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skill_paths: Vec<String>,
    /// Display name.
    pub label: Option<String>,
    /// Source of the command.
    #[serde(default)]
    pub input_provenance: Map<String, Value>,
    /// Reply addressing.
    #[serde(default)]
    pub routing: Map<String, Value>,
    /// Deadline of the task.
    pub deadline: Option<DateTime<Utc>>,
    /// Names of the fields that are left out, because the answer had no room for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
}

/// Long fields are required in no answer.
fn may_be_left_out(schema: &mut Schema) {
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name.as_str().is_none_or(|name| !LONG.contains(&name)));
    }
}

impl LeasedAttempt {
    /// The attempt that holds the lease of a task, but for the configuration of its agent; none when its run has left.
    pub fn of(task: &Task, live: &Live) -> Option<Self> {
        let run = task.run(live.run_id)?;
        let accepted = &task.accepted;
        Some(Self {
            attempt_id: live.attempt_id.clone(),
            epoch: live.attempt_id.epoch,
            lease_ms: live.lease_ms,
            workspace: accepted.workspace.clone(),
            task_id: task.id(),
            run_id: run.run_id,
            run_no: run.run_no,
            attempt_no: live.attempt_no,
            agent_id: accepted.agent_id,
            agent_key: accepted.agent_key.clone(),
            agent_name: accepted.agent_name.clone(),
            agent_config_version: accepted.agent_config_version,
            agent_config: Map::new(),
            provider: accepted.provider.clone(),
            model: accepted.model.clone(),
            prompt: task.prompt(run).to_owned(),
            cause: run.cause,
            session_id: accepted.session_id.clone(),
            session_key: accepted.session_key.clone(),
            resumed_from_run_id: run.resumed_from,
            policy: accepted.policy.clone(),
            timeout_ms: accepted.timeout_ms,
            extra_system_prompt: accepted.extra_system_prompt.clone(),
            attachments: accepted.attachments.clone(),
            skill_paths: accepted.skill_paths.clone(),
            label: accepted.label.clone(),
            input_provenance: accepted.input_provenance.clone(),
            routing: accepted.routing.clone(),
            deadline: accepted.deadline,
            omitted: Vec::new(),
        })
    }

    /// The attempts as JSON, of at most `bytes_max` bytes together: the longest fields of all are left out until they
    /// are. What is not long stays: at most 1 KB of an attempt.
    pub fn fitted(attempts: &[Self], bytes_max: usize) -> serde_json::Result<Vec<Box<RawValue>>> {
        let whole: Vec<_> = attempts.iter().map(serde_json::value::to_raw_value).collect::<Result<_, _>>()?;
        let mut bytes: usize = whole.iter().map(|json| json.get().len()).sum();
        if bytes <= bytes_max && attempts.iter().all(|attempt| attempt.omitted.is_empty()) {
            return Ok(whole);
        }
        let mut fields: Vec<BTreeMap<&str, &RawValue>> =
            whole.iter().map(|json| serde_json::from_str(json.get())).collect::<Result<_, _>>()?;
        let mut omitted: Vec<Vec<&str>> = Vec::new();
        for (fields, attempt) in fields.iter_mut().zip(attempts) {
            let left_out: Vec<&str> = attempt.omitted.iter().map(String::as_str).collect();
            fields.retain(|name, _| !left_out.contains(name));
            omitted.push(left_out);
        }
        let mut longest = Vec::new();
        for (place, fields) in fields.iter().enumerate() {
            let long = LONG.iter().filter_map(|name| Some((fields.get(name)?.get().len(), place, *name)));
            longest.extend(long);
        }
        longest.sort_unstable();
        bytes = fields.iter().flatten().map(|(name, json)| name.len() + json.get().len() + 4).sum::<usize>()
            + omitted.iter().flatten().map(|name| name.len() + 3).sum::<usize>()
            + OMITTED_BYTES * attempts.len();
        while bytes > bytes_max
            && let Some((length, place, name)) = longest.pop()
        {
            fields[place].remove(name);
            omitted[place].push(name);
            bytes = bytes.saturating_sub(length);
        }
        let mut fitted = Vec::with_capacity(attempts.len());
        for (mut fields, omitted) in fields.into_iter().zip(omitted) {
            let omitted = serde_json::value::to_raw_value(&omitted)?;
            fields.insert("omitted", &omitted);
            fitted.push(serde_json::value::to_raw_value(&fields)?);
        }
        Ok(fitted)
    }
}

/// Bytes of an attempt beside its fields: braces, and the name of the list of those that are left out.
const OMITTED_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attempt(prompt: usize, config: usize) -> LeasedAttempt {
        let id = uuid::Uuid::nil();
        serde_json::from_value(json!({
            "attempt_id": format!("dev.{id}.1"), "epoch": 1, "lease_ms": 30_000, "workspace": "dev", "task_id": id,
            "run_id": id, "run_no": 1, "attempt_no": 1, "agent_id": id, "agent_key": "demo", "agent_name": "Demo",
            "agent_config_version": 1,
            "agent_config": { "system_prompt": "c".repeat(config) }, "prompt": "p".repeat(prompt),
            "cause": "accepted", "session_id": "s", "policy": {}, "timeout_ms": 0,
        }))
        .unwrap()
    }

    fn read(fitted: &[Box<RawValue>]) -> Vec<LeasedAttempt> {
        fitted.iter().map(|json| serde_json::from_str(json.get()).unwrap()).collect()
    }

    #[test]
    fn attempts_that_fit_are_whole() {
        let attempts = [attempt(100, 100), attempt(10, 10)];
        assert_eq!(read(&LeasedAttempt::fitted(&attempts, 10_000).unwrap()), attempts);
    }

    #[test]
    fn the_longest_fields_of_all_attempts_are_left_out_until_they_fit() {
        let attempts = [attempt(5_000, 100), attempt(10, 4_000), attempt(50, 3_000)];
        let fitted = LeasedAttempt::fitted(&attempts, 6_000).unwrap();
        let bytes: usize = fitted.iter().map(|json| json.get().len()).sum();
        assert!(bytes <= 6_000, "{bytes}");
        let fitted = read(&fitted);
        assert_eq!(fitted[0].omitted, ["prompt"]);
        assert_eq!((fitted[0].prompt.as_str(), &fitted[0].agent_config), ("", &attempts[0].agent_config));
        assert_eq!(fitted[1].omitted, ["agent_config"]);
        assert_eq!(fitted[2], attempts[2], "there is room for it");
    }

    #[test]
    fn what_was_left_out_before_is_not_there_again_and_the_rest_is_short() {
        let mut before = attempt(0, 9_000);
        before.omitted = vec!["prompt".to_owned()];
        let fitted = LeasedAttempt::fitted(std::slice::from_ref(&before), 100_000).unwrap();
        assert!(!fitted[0].get().contains(r#""prompt":"#), "{}", fitted[0]);
        let least = LeasedAttempt::fitted(&[attempt(9_000, 9_000)], 0).unwrap();
        assert!(least[0].get().len() <= 1_000, "{} bytes", least[0].get().len());
        let schema = schemars::schema_for!(LeasedAttempt);
        let schema = jsonschema::draft202012::new(schema.as_value()).unwrap();
        assert!(schema.is_valid(&serde_json::from_str(least[0].get()).unwrap()));
    }
}
