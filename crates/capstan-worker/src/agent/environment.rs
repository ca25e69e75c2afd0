//! The environment variables of an agent.

use std::path::Path;

use capstan_client::LeasedAttempt;
use serde::Serialize;
use serde_json::{Map, Value};

/// Variables of the worker that are no secret and that programs need to work at all.
const HARMLESS: &[&str] = &[
    "HOME",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
];

/// The kernel refuses a single variable beyond 128 KiB; what is longer is left out and named instead.
const VALUE_MAX: usize = 96 * 1024;

/// The agent's environment: the harmless part of the worker's, the variables chosen by the operator, and the attempt in
/// `CAPSTAN_` variables. The worker's own settings, such as its token, are not passed.
pub(crate) fn for_attempt(
    leased: &LeasedAttempt,
    session_dir: Option<&Path>,
    pass_env: &[String],
    own: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let mut environment = passed_on(pass_env, own);
    let mut omitted = Vec::new();
    let session_dir = ("SESSION_DIR", session_dir.map(|path| path.display().to_string()));
    for (name, value) in variables(leased).into_iter().chain([session_dir]) {
        let Some(value) = value else { continue };
        let name = format!("CAPSTAN_{name}");
        if value.len() > VALUE_MAX || value.contains('\0') {
            omitted.push(name);
        } else {
            environment.push((name, value));
        }
    }
    if !omitted.is_empty() {
        environment.push(("CAPSTAN_OMITTED".to_owned(), omitted.join(" ")));
    }
    environment
}

/// The harmless part of the worker's environment and the variables chosen by the operator, without the worker's settings.
pub(crate) fn passed_on(
    pass_env: &[String],
    own: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let is_passed = |name: &str| {
        let is_chosen = pass_env.iter().any(|passed| passed == name);
        is_chosen || HARMLESS.contains(&name) || name.starts_with("LC_")
    };
    own.filter(|(name, _)| !name.starts_with("CAPSTAN_") && is_passed(name)).collect()
}

fn variables(leased: &LeasedAttempt) -> Vec<(&'static str, Option<String>)> {
    let some = |text: &dyn ToString| Some(text.to_string());
    let object = |fields: &Map<String, Value>| (!fields.is_empty()).then(|| json(fields));
    vec![
        ("AGENT_CONFIG", object(&leased.agent_config)),
        ("AGENT_ID", some(&leased.agent_id)),
        ("AGENT_KEY", some(&leased.agent_key)),
        ("AGENT_NAME", some(&leased.agent_name)),
        ("ATTACHMENTS", (!leased.attachments.is_empty()).then(|| json(&leased.attachments))),
        ("ATTEMPT_ID", some(&leased.attempt_id)),
        ("ATTEMPT_NO", some(&leased.attempt_no)),
        ("CAUSE", Some(json(&leased.cause).trim_matches('"').to_owned())),
        ("DEADLINE", leased.deadline.map(|deadline| deadline.to_rfc3339())),
        ("EXTRA_SYSTEM_PROMPT", leased.extra_system_prompt.clone()),
        ("LABEL", leased.label.clone()),
        ("MODEL", leased.model.clone()),
        ("POLICY", Some(json(&leased.policy))),
        ("PROMPT", some(&leased.prompt)),
        ("PROMPT_BYTES", some(&leased.prompt.len())),
        ("PROVENANCE", object(&leased.input_provenance)),
        ("PROVIDER", leased.provider.clone()),
        ("RESUMED_FROM_RUN_ID", leased.resumed_from_run_id.map(|run| run.to_string())),
        ("ROUTING", object(&leased.routing)),
        ("RUN_ID", some(&leased.run_id)),
        ("RUN_NO", some(&leased.run_no)),
        ("SESSION_ID", some(&leased.session_id)),
        ("SESSION_KEY", leased.session_key.clone()),
        ("SKILL_PATHS", (!leased.skill_paths.is_empty()).then(|| json(&leased.skill_paths))),
        ("TASK_ID", some(&leased.task_id)),
        ("TIMEOUT_MS", some(&leased.timeout_ms)),
        ("WORKSPACE", some(&leased.workspace)),
    ]
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a part of an attempt is JSON")
}

#[cfg(test)]
mod tests {
    use capstan_client::{RunCause, RunId};

    use super::*;
    use crate::fixture::leased;

    fn environment(leased: &LeasedAttempt) -> std::collections::BTreeMap<String, String> {
        let own = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("CAPSTAN_TOKEN", "secret"),
            ("CAPSTAN_URL", "http://x"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("MODEL_KEY", "wanted"),
        ];
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let passed = ["MODEL_KEY".to_owned(), "CAPSTAN_TOKEN".to_owned()];
        for_attempt(leased, Some(Path::new("/sessions/s")), &passed, own).into_iter().collect()
    }

    #[test]
    fn secrets_of_the_worker_stay_with_the_worker() {
        let environment = environment(&leased());
        assert_eq!(environment["PATH"], "/bin");
        assert_eq!(environment["LC_ALL"], "C");
        assert_eq!(environment["MODEL_KEY"], "wanted");
        assert!(environment.values().all(|value| value != "secret"));
        assert!(!environment.contains_key("CAPSTAN_URL"));
    }

    #[test]
    fn the_attempt_is_told_in_full_and_absent_things_are_absent() {
        let leased = LeasedAttempt {
            prompt: "hé".into(),
            cause: RunCause::Input,
            resumed_from_run_id: Some(RunId(uuid::Uuid::nil())),
            attachments: vec![Map::from_iter([("uri".to_owned(), Value::from("x"))])],
            skill_paths: vec!["skills/a".into()],
            ..leased()
        };
        let environment = environment(&leased);
        assert_eq!(environment["CAPSTAN_PROMPT_BYTES"], "3");
        assert_eq!(environment["CAPSTAN_CAUSE"], "input");
        assert_eq!(environment["CAPSTAN_RESUMED_FROM_RUN_ID"], uuid::Uuid::nil().to_string());
        assert_eq!(environment["CAPSTAN_ATTACHMENTS"], r#"[{"uri":"x"}]"#);
        assert_eq!(environment["CAPSTAN_SKILL_PATHS"], r#"["skills/a"]"#);
        assert_eq!(environment["CAPSTAN_SESSION_DIR"], "/sessions/s");
        assert!(!environment.contains_key("CAPSTAN_LABEL") && !environment.contains_key("CAPSTAN_OMITTED"));
    }

    #[test]
    fn what_the_kernel_would_refuse_is_left_out_and_named() {
        let leased = LeasedAttempt { prompt: "x".repeat(VALUE_MAX + 1), ..leased() };
        let environment = environment(&leased);
        assert!(!environment.contains_key("CAPSTAN_PROMPT"));
        assert_eq!(environment["CAPSTAN_OMITTED"], "CAPSTAN_PROMPT");
    }
}
