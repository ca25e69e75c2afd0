//! Execution class keys: runs with equal keys share a concurrency limit.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::id::AgentId;
use crate::policy::RunPolicy;

/// Derives the execution class: the same workspace, agent, lane and policy always give the same key; retry
/// settings do not take part.
pub fn execution_class_key(
    workspace: &str,
    agent: AgentId,
    lane: Option<&str>,
    policy: &RunPolicy,
) -> String {
    let agent = agent.to_string();
    let network = policy.network_enabled.to_string();
    let interactive = policy.interactive.to_string();
    let mut parts = vec![
        workspace,
        &agent,
        lane.unwrap_or("_"),
        &policy.host,
        &policy.security,
        &policy.ask,
        &policy.runtime_type,
        &policy.workspace_access,
        &network,
        &interactive,
    ];
    // A JSON map keeps its keys sorted, so equal resources read the same.
    let resources: Vec<String> =
        policy.resources.iter().map(|(key, value)| format!("{key}={value}")).collect();
    parts.extend(resources.iter().map(String::as_str));
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    format!("execclass_{}", HEXLOWER.encode(&digest.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(lane: Option<&str>, policy: &RunPolicy) -> String {
        execution_class_key("dev", AgentId::from_key("dev", "demo"), lane, policy)
    }

    #[test]
    fn the_key_depends_on_every_part_but_retry() {
        let policy = RunPolicy::default();
        let mut retry = policy.clone();
        retry.retry.max_attempts = 9;
        assert_eq!(key(None, &policy), key(None, &retry));
        assert_ne!(key(None, &policy), key(Some("lane"), &policy));
        assert_ne!(key(None, &policy), key(None, &RunPolicy { ask: "always".into(), ..policy.clone() }));
        let other = |change: fn(&mut RunPolicy)| {
            let mut other = policy.clone();
            change(&mut other);
            assert_ne!(key(None, &policy), key(None, &other), "{other:?}");
        };
        other(|policy| policy.host = "gateway".into());
        other(|policy| policy.security = "deny".into());
        other(|policy| policy.runtime_type = "runc".into());
        other(|policy| policy.workspace_access = "none".into());
        other(|policy| policy.network_enabled = !policy.network_enabled);
        other(|policy| policy.interactive = !policy.interactive);
        let of = |workspace: &str, agent: &str| {
            execution_class_key(workspace, AgentId::from_key("dev", agent), None, &policy)
        };
        assert_ne!(of("dev", "demo"), of("other", "demo"));
        assert_ne!(of("dev", "demo"), of("dev", "other"));
        let mut resources = policy.clone();
        resources.resources.insert("cpu".into(), 2000.into());
        assert_ne!(key(None, &policy), key(None, &resources));
        assert!(key(None, &policy).starts_with("execclass_"));
    }
}
