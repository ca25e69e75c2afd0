//! Checks that NATS is safe for the log and that the streams have their settings.

use std::time::Duration;

use capstan_contract::causes::explain;
use capstan_eventlog::{ConnectError, Durability, Inspection, JetStreamConfig, StreamState};

use super::Findings;
use crate::settings::Settings;

/// Time limit for a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// The stream of dead letters.
const DEAD_LETTERS: &str = "CAPSTAN_DEADLETTERS";

/// Checks NATS; returns its inspection if it is reachable.
pub(super) async fn look(settings: &Settings, findings: &mut Findings) -> Option<Inspection> {
    let config = JetStreamConfig {
        monitor_url: Some(settings.nats_monitor_url.clone()).filter(|url| !url.is_empty()),
        durability: settings.durability,
        replicas: settings.replicas,
        connect_timeout: PATIENCE,
        ..JetStreamConfig::new(&settings.nats_url)
    };
    let inspection = match Inspection::of(&config).await {
        Ok(inspection) => inspection,
        Err(error) => {
            let advice = if matches!(error, ConnectError::Connect { .. }) { "; is it running?" } else { "" };
            findings.failed("nats", explain(&error) + advice);
            return None;
        }
    };
    findings.ok("nats", format!("reachable at {}", config.url));
    match &inspection.version {
        Ok(version) => findings.ok("nats.version", version.to_string()),
        Err(error) => findings.failed("nats.version", error.to_string()),
    }
    let (payload, wanted) = (inspection.max_payload, settings.limits.command_bytes);
    if payload < wanted {
        let detail =
            format!("{payload} bytes, less than limits.command_bytes ({wanted}): large commands fail");
        findings.warning("nats.max_payload", detail);
    } else {
        findings.ok("nats.max_payload", format!("{payload} bytes"));
    }
    match &inspection.jetstream {
        Ok(()) => findings.ok("nats.jetstream", "on, with atomic batches"),
        Err(error) => findings.failed("nats.jetstream", explain(error)),
    }
    durability(inspection.durability, findings);
    for stream in &inspection.streams {
        let check = format!("stream {}", stream.name);
        match &stream.state {
            StreamState::AsWanted { messages } => {
                if stream.name == DEAD_LETTERS && *messages > 0 {
                    let detail = format!("{messages} dead letters; see capstan dlq list");
                    findings.warning(check, detail);
                } else {
                    findings.ok(check, format!("settings are correct, {messages} messages"));
                }
            }
            StreamState::Missing => findings.ok(check, "missing; the first start creates it"),
            StreamState::Differs(differences) => {
                for difference in differences {
                    findings.failed(&check, difference);
                }
            }
            StreamState::Unknown(error) => findings.failed(check, explain(&**error)),
        }
    }
    match inspection.clock_ahead {
        Some(ahead) => findings.clock("nats.clock", ahead),
        None => findings.ok("nats.clock", "not checked: no stream exists yet"),
    }
    Some(inspection)
}

fn durability(durability: Durability, findings: &mut Findings) {
    let check = "nats.durability";
    match durability {
        Durability::Always => findings.ok(check, "always: flushed before the acknowledgement"),
        Durability::Interval(_) | Durability::SomeInterval => findings.warning(
            check,
            format!("{durability}: a power cut may lose acknowledged commands; set sync_interval: always"),
        ),
        Durability::Unknown => findings
            .warning(check, "unknown: give nats_monitor_url, and make sure that sync_interval is always"),
    }
}
