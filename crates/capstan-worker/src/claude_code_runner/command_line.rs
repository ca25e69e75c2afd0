//! The arguments one run is started with.

use capstan_child::ChildCommand;
use capstan_client::LeasedAttempt;
use serde_json::Value;

use super::permission;

/// The first message to an agent whose previous conversation is missing.
pub(super) const HISTORY_UNAVAILABLE: &str = "Note: this task was worked on before, but the history of that conversation is not available here. \
     Do not assume that you know what was said or done; look before you repeat anything that has an effect.";

/// The kernel refuses a single argument beyond 128 KiB.
const ARGUMENT_MAX: usize = 96 * 1024;

/// The arguments of one run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    arguments: Vec<String>,
    /// True when it may request permissions. Without interaction the command line refuses such calls.
    asks: bool,
    /// A system prompt too long for an argument; it is sent before the prompt instead.
    pub(super) overflow: Option<String>,
}

impl CommandLine {
    pub(super) fn of(leased: &LeasedAttempt, resume: Option<&str>) -> Self {
        let mut arguments: Vec<_> =
            ["--print", "--output-format", "stream-json", "--input-format", "stream-json", "--verbose"]
                .map(str::to_owned)
                .into();
        let mut add = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        let config = |key: &str| leased.agent_config.get(key).and_then(Value::as_str);
        if let Some(model) = leased.model.as_deref().or(config("model")).filter(|model| !model.is_empty()) {
            add("--model", model);
        }
        let prompts = [config("system_prompt"), leased.extra_system_prompt.as_deref()];
        let skills = (!leased.skill_paths.is_empty())
            .then(|| format!("Read and use these skills first: {}", leased.skill_paths.join(", ")));
        let prompts = prompts.into_iter().chain([skills.as_deref()]).flatten();
        let prompts: Vec<_> = prompts.filter(|text| !text.trim().is_empty()).collect();
        let system_prompt = prompts.join("\n\n");
        let mut overflow = None;
        if system_prompt.len() > ARGUMENT_MAX || system_prompt.contains('\0') {
            overflow = Some(system_prompt);
        } else if !system_prompt.is_empty() {
            add("--append-system-prompt", &system_prompt);
        }
        if let Some(session) = resume {
            add("--resume", session);
        }
        Self { arguments, asks: leased.policy.interactive, overflow }
    }

    /// The command to start: the operator's command, then the arguments.
    pub(super) fn command(&self, operators: &str) -> ChildCommand {
        let script = format!("exec {operators} \"$@\"");
        let permissions = self.permissions(operators);
        ChildCommand::new("sh").args(["-c", &script, "sh"]).args(&self.arguments).args(permissions)
    }

    /// The arguments for permission requests, unless the operator configured another tool for them.
    fn permissions(&self, operators: &str) -> &'static [&'static str] {
        let is_ours = self.asks && !operators.contains(permission::ARGUMENTS[0]);
        if is_ours { &permission::ARGUMENTS } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use capstan_client::RunPolicy;
    use serde_json::json;

    use super::*;
    use crate::fixture;

    fn leased() -> LeasedAttempt {
        let Value::Object(agent_config) = json!({"model": "claude-a", "system_prompt": "Be brief."}) else {
            unreachable!()
        };
        LeasedAttempt {
            agent_config,
            extra_system_prompt: Some("Today.".into()),
            skill_paths: vec!["skills/a".into(), "skills/b".into()],
            ..fixture::leased()
        }
    }

    fn after(line: &CommandLine, name: &str) -> Option<String> {
        let mut arguments = line.arguments.iter();
        arguments.find(|argument| *argument == name)?;
        arguments.next().cloned()
    }

    #[test]
    fn model_system_prompt_and_session_are_named() {
        let line = CommandLine::of(&leased(), Some("s-1"));
        assert_eq!(after(&line, "--model").as_deref(), Some("claude-a"));
        assert_eq!(
            after(&line, "--append-system-prompt").as_deref(),
            Some("Be brief.\n\nToday.\n\nRead and use these skills first: skills/a, skills/b")
        );
        assert_eq!(after(&line, "--resume").as_deref(), Some("s-1"));
        let line = CommandLine::of(&LeasedAttempt { model: Some("claude-b".into()), ..leased() }, None);
        assert_eq!((after(&line, "--model").as_deref(), after(&line, "--resume")), (Some("claude-b"), None));
        assert_eq!(after(&CommandLine::of(&fixture::leased(), None), "--append-system-prompt"), None);
    }

    #[test]
    fn permissions_are_asked_for_where_the_answer_can_be_heard() {
        let asks = |leased: LeasedAttempt, operators: &str| {
            !CommandLine::of(&leased, None).permissions(operators).is_empty()
        };
        assert!(asks(leased(), "claude"));
        assert!(!asks(leased(), "claude --permission-prompt-tool mcp__desk__ask"));
        let deaf =
            LeasedAttempt { policy: RunPolicy { interactive: false, ..RunPolicy::default() }, ..leased() };
        assert!(!asks(deaf, "claude"));
    }

    #[test]
    fn a_system_prompt_the_kernel_would_refuse_is_said_instead() {
        let long = "x".repeat(ARGUMENT_MAX + 1);
        let line = CommandLine::of(
            &LeasedAttempt { extra_system_prompt: Some(long.clone()), ..fixture::leased() },
            None,
        );
        assert_eq!((after(&line, "--append-system-prompt"), line.overflow), (None, Some(long)));
    }
}
