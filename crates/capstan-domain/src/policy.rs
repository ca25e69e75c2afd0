//! The rules a run executes under.

pub(crate) mod based;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Faults;
use crate::finite::{self, AMOUNT_MAX};

/// The rules of retrying failed attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RetryPolicy {
    /// Attempts that may fail before the run does, the first included. At least 1.
    pub max_attempts: i64,
    /// Pause before the second attempt, in milliseconds.
    pub delay_ms: i64,
    /// The pause grows by this factor with every further attempt. At least 1.
    #[serde(serialize_with = "finite::serialize")]
    pub factor: f64,
    /// The pause never exceeds this, in milliseconds.
    pub max_delay_ms: i64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 2, delay_ms: 0, factor: 2.0, max_delay_ms: 300_000 }
    }
}

impl RetryPolicy {
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
    pub host: String,
    /// Commands that may be executed: `deny`, `allowlist`, `full`.
    pub security: String,
    /// Approval of tool calls by a person: `off`, `on-miss`, `always`.
    pub ask: String,
    /// The isolation the worker must offer: `gvisor`, `runc`.
    pub runtime_type: String,
    /// Access to the workspace's files: `none`, `ro`, `rw`.
    pub workspace_access: String,
    /// True when the run may use the network.
    pub network_enabled: bool,
    /// True when inputs may reach the live run.
    pub interactive: bool,
    /// Resources of the machine by name, for example `{"cpu": 2000}`.
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
    /// Fills blanks with the defaults; trims.
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
        if self.retry.max_attempts <= 0 {
            self.retry.max_attempts = default.retry.max_attempts;
        }
        self.retry.delay_ms = self.retry.delay_ms.max(0);
        self
    }

    /// Adds every fault of a normalised policy under `/policy`.
    pub fn check(&self, faults: &mut Faults) {
        let mut one_of = |field: &str, value: &str, allowed: &[&str]| {
            if !allowed.contains(&value) {
                faults.add(&format!("/policy/{field}"), format!("invalid policy: invalid {field}: {value}"));
            }
        };
        one_of("host", &self.host, &["sandbox"]);
        one_of("security", &self.security, &["deny", "allowlist", "full"]);
        one_of("ask", &self.ask, &["off", "on-miss", "always"]);
        one_of("runtime_type", &self.runtime_type, &["gvisor", "runc"]);
        one_of("workspace_access", &self.workspace_access, &["none", "ro", "rw"]);
        faults.require(
            (1.0..=AMOUNT_MAX).contains(&self.retry.factor),
            "/policy/retry/factor",
            format_args!("invalid policy: retry.factor must be >= 1 and at most {AMOUNT_MAX:e}"),
        );
        faults.require(
            self.retry.max_delay_ms >= 0,
            "/policy/retry/max_delay_ms",
            "invalid policy: retry.max_delay_ms must be >= 0",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_filled_and_a_valid_policy_has_no_faults() {
        let policy: RunPolicy =
            serde_json::from_str(r#"{"host":" ","ask":"always","retry":{"max_attempts":0}}"#).unwrap();
        let policy = policy.normalised();
        assert_eq!(
            (policy.host.as_str(), policy.ask.as_str(), policy.retry.max_attempts),
            ("sandbox", "always", 2)
        );
        let mut faults = Faults::default();
        policy.check(&mut faults);
        assert_eq!(faults.into_result(), Ok(()));
    }

    #[test]
    fn an_unknown_host_is_named_in_the_fault() {
        let mut faults = Faults::default();
        RunPolicy { host: "vm".into(), ..RunPolicy::default() }.check(&mut faults);
        assert_eq!(faults.into_result().unwrap_err()[0].message, "invalid policy: invalid host: vm");
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
