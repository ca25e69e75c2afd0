//! The rules a run executes under.

pub(crate) mod based;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Faults;
use crate::choice::{unsupported, word};
use crate::fault::below;
use crate::finite::{self, AMOUNT_MAX, is_amount};
use crate::limits::{self, RESOURCES_BYTES_MAX};
use crate::span::SPAN_MS_MAX;

/// Most attempts of a run that may fail.
const ATTEMPTS_MAX: i64 = 1_000;

/// Places of execution.
const HOSTS: &[&str] = &["sandbox"];
/// Limits of the commands that may be executed.
const SECURITIES: &[&str] = &["deny", "allowlist", "full"];
/// Tool calls a person approves.
const ASKS: &[&str] = &["off", "on-miss", "always"];
/// Isolations a worker may offer.
pub const RUNTIME_TYPES: &[&str] = &["gvisor", "runc"];
/// Kinds of access to the files of a workspace.
pub const WORKSPACE_ACCESSES: &[&str] = &["none", "ro", "rw"];

word! {
    /// A place of execution.
    HostWord, "exact-case", is_inline: true, HOSTS.iter().copied()
}
word! {
    /// A limit of the commands that may be executed.
    SecurityWord, "exact-case", is_inline: true, SECURITIES.iter().copied()
}
word! {
    /// The tool calls a person approves.
    AskWord, "exact-case", is_inline: true, ASKS.iter().copied()
}
word! {
    /// An isolation.
    pub RuntimeTypeWord, "exact-case", is_inline: true, RUNTIME_TYPES.iter().copied()
}
word! {
    /// A kind of access to the files of a workspace.
    pub WorkspaceAccessWord, "exact-case", is_inline: true, WORKSPACE_ACCESSES.iter().copied()
}

/// The rules of retrying failed attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RetryPolicy {
    /// Attempts that may fail before the run does, the first included. 1 to 1,000.
    #[schemars(range(min = 1, max = ATTEMPTS_MAX))]
    pub max_attempts: i64,
    /// Pause before the second attempt, in milliseconds.
    #[schemars(range(min = 0, max = SPAN_MS_MAX))]
    pub delay_ms: i64,
    /// The pause grows by this factor with every further attempt. At least 1.
    #[serde(serialize_with = "finite::serialize")]
    #[schemars(range(min = 1.0, max = AMOUNT_MAX))]
    pub factor: f64,
    /// The pause never exceeds this, in milliseconds.
    #[schemars(range(min = 0, max = SPAN_MS_MAX))]
    pub max_delay_ms: i64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 2, delay_ms: 0, factor: 2.0, max_delay_ms: 300_000 }
    }
}

impl RetryPolicy {
    fn check(&self, faults: &mut Faults) {
        faults.require(
            (1..=ATTEMPTS_MAX).contains(&self.max_attempts),
            "/policy/retry/max_attempts",
            format_args!("max_attempts must be 1 to {ATTEMPTS_MAX}"),
        );
        faults.require(
            (1.0..=AMOUNT_MAX).contains(&self.factor),
            "/policy/retry/factor",
            format_args!("factor must be >= 1 and at most {AMOUNT_MAX:e}"),
        );
        for (field, ms) in [("delay_ms", self.delay_ms), ("max_delay_ms", self.max_delay_ms)] {
            let pointer = format!("/policy/retry/{field}");
            faults.require(ms >= 0, &pointer, format_args!("{field} must be >= 0"));
            faults.span(&pointer, Some(ms));
        }
    }

    /// Pause after `failed` failed attempts, in milliseconds.
    pub fn delay_after_ms(&self, failed: u32) -> i64 {
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX).min(62);
        let delay = self.delay_ms as f64 * self.factor.max(1.0).powi(exponent);
        // Float to integer casts saturate, so an overflow ends at the cap.
        (delay as i64).clamp(0, self.max_delay_ms.max(0))
    }
}

/// The rules a run executes under. Blank fields are filled with the defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RunPolicy {
    /// Place of execution: `sandbox`.
    #[schemars(with = "HostWord")]
    pub host: String,
    /// Commands that may be executed: `deny`, `allowlist`, `full`.
    #[schemars(with = "SecurityWord")]
    pub security: String,
    /// Approval of tool calls by a person: `off`, `on-miss`, `always`.
    #[schemars(with = "AskWord")]
    pub ask: String,
    /// The isolation the worker must offer: `gvisor`, `runc`.
    #[schemars(with = "RuntimeTypeWord")]
    pub runtime_type: String,
    /// Access to the workspace's files: `none`, `ro`, `rw`.
    #[schemars(with = "WorkspaceAccessWord")]
    pub workspace_access: String,
    /// True when the run may use the network.
    pub network_enabled: bool,
    /// True when inputs may reach the live run.
    pub interactive: bool,
    /// Resources of the machine by name, for example `{"cpu": 2000}`; an amount is not negative.
    pub resources: serde_json::Map<String, serde_json::Value>,
    /// Retries of failed attempts.
    pub retry: RetryPolicy,
}

impl Default for RunPolicy {
    fn default() -> Self {
        Self {
            host: "sandbox".into(),
            security: "allowlist".into(),
            ask: "off".into(),
            runtime_type: "gvisor".into(),
            workspace_access: "rw".into(),
            network_enabled: true,
            interactive: true,
            resources: serde_json::Map::new(),
            retry: RetryPolicy::default(),
        }
    }
}

impl RunPolicy {
    /// What it demands of a worker; everything else as the default has it.
    #[must_use]
    pub fn needs(&self) -> Self {
        Self {
            runtime_type: self.runtime_type.clone(),
            workspace_access: self.workspace_access.clone(),
            network_enabled: self.network_enabled,
            ..Self::default()
        }
    }

    /// Fills blank words with the defaults; trims. Numbers stay: [`Self::check`] refuses those out of their limits.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        let default = Self::default();
        let fill = |field: &mut String, default: String| {
            let trimmed = field.trim();
            *field = if trimmed.is_empty() { default } else { trimmed.to_owned() };
        };
        fill(&mut self.host, default.host);
        fill(&mut self.security, default.security);
        fill(&mut self.ask, default.ask);
        fill(&mut self.runtime_type, default.runtime_type);
        fill(&mut self.workspace_access, default.workspace_access);
        self
    }

    /// Adds every fault of a normalised policy under `/policy`.
    pub fn check(&self, faults: &mut Faults) {
        let mut one_of = |field: &str, value: &str, allowed: &[&str]| {
            if !allowed.contains(&value) {
                let message = unsupported(field, value, allowed.iter().copied());
                faults.add(&format!("/policy/{field}"), message);
            }
        };
        one_of("host", &self.host, HOSTS);
        one_of("security", &self.security, SECURITIES);
        one_of("ask", &self.ask, ASKS);
        one_of("runtime_type", &self.runtime_type, RUNTIME_TYPES);
        one_of("workspace_access", &self.workspace_access, WORKSPACE_ACCESSES);
        limits::check_json("/policy/resources", &self.resources, RESOURCES_BYTES_MAX, faults);
        for (name, amount) in &self.resources {
            faults.require(
                amount.as_f64().is_none_or(is_amount),
                &below("/policy/resources", name),
                format_args!("{name} must be >= 0 and at most {AMOUNT_MAX:e}"),
            );
        }
        self.retry.check(faults);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blanks_are_filled_and_a_valid_policy_has_no_faults() {
        let policy: RunPolicy = serde_json::from_str(r#"{"host":" ","ask":"always"}"#).unwrap();
        let policy = policy.normalised();
        assert_eq!((policy.host.as_str(), policy.ask.as_str()), ("sandbox", "always"));
        let mut faults = Faults::default();
        policy.check(&mut faults);
        assert_eq!(faults.into_result(), Ok(()));
    }

    #[test]
    fn an_unknown_word_is_refused_with_those_that_are_supported() {
        let mut faults = Faults::default();
        RunPolicy { ask: "z".into(), ..RunPolicy::default() }.check(&mut faults);
        assert_eq!(
            faults.into_result().unwrap_err()[0].message,
            "ask \"z\" is not supported (supported: off, on-miss, always)"
        );
    }

    #[test]
    fn a_number_out_of_its_limits_is_refused_and_never_replaced() {
        let policy =
            |json: serde_json::Value| serde_json::from_value::<RunPolicy>(json).unwrap().normalised();
        let faults = |policy: &RunPolicy| {
            let mut faults = Faults::default();
            policy.check(&mut faults);
            faults.into_result().err().unwrap_or_default()
        };
        for (given, pointer, message) in [
            (json!({"retry": {"max_attempts": 0}}), "/retry/max_attempts", "max_attempts must be 1 to 1000"),
            (json!({"retry": {"max_attempts": -1}}), "/retry/max_attempts", "max_attempts must be 1 to 1000"),
            (
                json!({"retry": {"max_attempts": 3_000_000_000_u32}}),
                "/retry/max_attempts",
                "max_attempts must be 1 to 1000",
            ),
            (json!({"retry": {"delay_ms": -4}}), "/retry/delay_ms", "delay_ms must be >= 0"),
            (json!({"retry": {"delay_ms": i64::MAX}}), "/retry/delay_ms", "must be at most a century"),
            (json!({"retry": {"max_delay_ms": -1}}), "/retry/max_delay_ms", "max_delay_ms must be >= 0"),
            (
                json!({"resources": {"memory/mb": -3}}),
                "/resources/memory~1mb",
                "memory/mb must be >= 0 and at most 1e12",
            ),
        ] {
            let found = faults(&policy(given.clone()));
            let found: Vec<_> = found.iter().map(|f| (f.pointer.as_str(), f.message.as_str())).collect();
            assert_eq!(found, [(format!("/policy{pointer}").as_str(), message)], "{given}");
        }
        let allowed =
            json!({"retry": {"max_attempts": 1000, "delay_ms": 0}, "resources": {"cpu": 0, "gpu": "a100"}});
        assert_eq!(faults(&policy(allowed)), []);
    }

    #[test]
    fn a_retry_factor_that_shrinks_or_is_absurd_is_refused() {
        for factor in [0.9, 1.1e12, f64::INFINITY, f64::NAN] {
            let retry = RetryPolicy { factor, ..RetryPolicy::default() };
            let mut faults = Faults::default();
            RunPolicy { retry, ..RunPolicy::default() }.check(&mut faults);
            assert_eq!(faults.into_result().unwrap_err()[0].pointer, "/policy/retry/factor", "{factor}");
        }
    }

    #[test]
    fn the_retry_pause_grows_to_its_cap_and_never_overflows() {
        let retry = RetryPolicy { max_attempts: 9, delay_ms: 1000, factor: 2.0, max_delay_ms: 5000 };
        let delays: Vec<_> = (1..=4).map(|failed| retry.delay_after_ms(failed)).collect();
        assert_eq!(delays, [1000, 2000, 4000, 5000]);
        let wild = RetryPolicy { delay_ms: i64::MAX, factor: 1e300, ..retry };
        assert_eq!(wild.delay_after_ms(u32::MAX), 5000);
    }
}
