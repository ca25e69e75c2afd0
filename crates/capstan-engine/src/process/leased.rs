//! What a worker is told of an attempt it was given.

use capstan_contract::lease::LeasedAttempt;
use capstan_domain::agent_config::AgentConfig;
use capstan_domain::task::Task;
use capstan_domain::task::state::Live;
use serde_json::value::RawValue;

/// Everything a worker needs, from the state the lease led to.
pub(super) fn leased(task: &Task, live: &Live) -> Option<Box<RawValue>> {
    let run_index = task.runs.iter().rposition(|run| run.run_id == live.run_id)?;
    let run = &task.runs[run_index];
    let accepted = &task.accepted;
    let attempt = LeasedAttempt {
        attempt_id: live.attempt_id.clone(),
        epoch: live.attempt_id.epoch,
        lease_ms: live.lease_ms,
        workspace: accepted.workspace.clone(),
        task_id: task.id(),
        run_id: run.run_id,
        run_no: u32::try_from(run_index + 1).unwrap_or(u32::MAX),
        attempt_no: live.attempt_no,
        agent_id: accepted.agent_id,
        agent_key: accepted.agent_key.clone(),
        agent_name: accepted.agent_name.clone(),
        agent_config: AgentConfig::briefed(&accepted.agent_config),
        provider: accepted.provider.clone(),
        model: accepted.model.clone(),
        prompt: run.prompt.clone(),
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
    };
    serde_json::value::to_raw_value(&attempt).ok()
}
