//! Execution class keys: runs with equal keys share a concurrency limit.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Faults;
use crate::id::AgentId;
use crate::policy::RunPolicy;

/// First part of every key.
const PREFIX: &str = "execclass_";
/// Hexadecimal digits after it.
const DIGITS: usize = 32;

/// The schema of a key: its form, with blanks around it.
pub(crate) struct ClassKey;

impl JsonSchema for ClassKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ClassKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": format!(r"^\s*{PREFIX}[0-9a-f]{{{DIGITS}}}\s*$"),
            "examples": [format!("{PREFIX}{}", "0123456789abcdef".repeat(DIGITS / 16))],
        })
    }
}

/// Notes a text that no task can name as its class: it would be configured for nobody.
pub(crate) fn check(pointer: &str, key: &str, faults: &mut Faults) {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = key.strip_prefix(PREFIX).unwrap_or_default();
    faults.require(
        digits.len() == DIGITS && digits.bytes().all(is_digit),
        pointer,
        format_args!("must be {PREFIX} and {DIGITS} hexadecimal digits in lower case, as tasks show it"),
    );
}

/// Derives the execution class: the same workspace, agent, lane and policy always give the same key; retry
/// settings do not take part.
pub fn execution_class_key(
    workspace: &str,
    agent: AgentId,
    lane: Option<&str>,
    policy: &RunPolicy,
) -> String {
    let yes_or_no = |yes| if yes { "true" } else { "false" };
    let mut digest = Sha256::new();
    let mut take = |part: &str| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    };
    for part in [
        workspace,
        agent.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()),
        lane.unwrap_or("_"),
        &policy.host,
        &policy.security,
        &policy.ask,
        &policy.runtime_type,
        &policy.workspace_access,
        yes_or_no(policy.network_enabled),
        yes_or_no(policy.interactive),
    ] {
        take(part);
    }
    // A JSON map keeps its keys sorted, so equal resources read the same.
    for (key, value) in &policy.resources {
        take(&format!("{key}={value}"));
    }
    format!("{PREFIX}{}", HEXLOWER.encode(&digest.finalize()[..DIGITS / 2]))
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
    }

    #[test]
    fn only_a_key_of_the_derived_form_names_a_class() {
        let is_key = |text: &str| {
            let mut faults = Faults::default();
            check("/instance_key", text, &mut faults);
            faults.into_result().is_ok()
        };
        let derived = key(None, &RunPolicy::default());
        assert!(is_key(&derived), "{derived}");
        let (upper, long) = (derived.to_uppercase(), format!("{derived}0"));
        for text in ["", "foo", "execclass_", &derived[1..], &derived[..41], &long, &upper] {
            assert!(!is_key(text), "{text}");
        }
        assert!(!is_key(&derived.replace(|digit: char| digit.is_ascii_digit(), "g")));
    }
}
