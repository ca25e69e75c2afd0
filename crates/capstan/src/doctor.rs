//! `capstan doctor`: checks whether Capstan would run well here; changes nothing.

mod database;
mod machine;
mod nats;

use std::path::PathBuf;

use chrono::TimeDelta;
use clap::Args;
use serde::Serialize;

use crate::local_servers;
use crate::output::{CheckFailed, Format};
use crate::serve::SettingsSource;
use crate::settings::Settings;

/// Check the servers, the settings and this machine; changes nothing.
///
/// Checks the servers that `capstan serve` would use with the same file, environment and flags; if they name none, those
/// of the running `capstan dev`. Exit codes: 0 nothing failed (there may be warnings), 1 a check failed.
#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    settings: SettingsSource,
    /// Data folder of the running `capstan dev`.
    #[arg(long, default_value = ".capstan")]
    data_dir: PathBuf,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    /// Capstan runs, with a limitation.
    Warning,
    /// Capstan does not run, or not safely.
    Failed,
}

/// The result of a check.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    detail: String,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: impl Into<String>, verdict: Verdict, detail: impl Into<String>) {
        self.0.push(Finding { check: check.into(), verdict, detail: detail.into() });
    }

    fn ok(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.add(check, Verdict::Ok, detail);
    }

    fn warning(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.add(check, Verdict::Warning, detail);
    }

    fn failed(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.add(check, Verdict::Failed, detail);
    }

    /// Adds the finding about a clock, by its offset from this machine's clock.
    fn clock(&mut self, check: &str, ahead: TimeDelta) {
        let detail = format!("{} ms ahead of this machine", ahead.num_milliseconds());
        let verdict = match ahead.abs() {
            skew if skew < TimeDelta::milliseconds(500) => Verdict::Ok,
            skew if skew < TimeDelta::seconds(5) => Verdict::Warning,
            _ => Verdict::Failed,
        };
        self.add(check, verdict, detail);
    }
}

impl Doctor {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut findings = Findings::default();
        let mut source = self.settings;
        if source.names_no_servers() {
            let of_dev = |name| local_servers::of_dev(&self.data_dir, name).ok();
            source.database_url = of_dev("database_url");
            source.nats_url = of_dev("nats_url");
            source.nats_monitor_url = source.nats_monitor_url.or_else(|| of_dev("nats_monitor_url"));
        }
        match source.read() {
            Ok(settings) => {
                findings.ok("settings", "valid");
                look(&settings, &mut findings).await;
            }
            Err(faults) => faults.0.iter().for_each(|fault| findings.failed("settings", fault)),
        }
        machine::look(&mut findings);
        let failed = findings.0.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
        match self.output {
            Format::Json => {
                self.output.object(&serde_json::json!({ "ok": failed == 0, "checks": findings.0 }))?;
            }
            Format::Table => self.output.list_whole(&findings.0, &["check", "verdict", "detail"])?,
        }
        if failed == 0 { Ok(()) } else { Err(CheckFailed(failed).into()) }
    }
}

async fn look(settings: &Settings, findings: &mut Findings) {
    let log = nats::look(settings, findings).await;
    database::look(settings, log.as_ref(), findings).await;
}
