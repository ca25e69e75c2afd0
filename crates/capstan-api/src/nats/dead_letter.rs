//! Commands nobody could process, set aside with everything needed to look at them and send them again.

use async_nats::HeaderMap;
use async_nats::jetstream::{Context, Message};
use chrono::Utc;

use super::Surface;
use crate::problem::Problem;

/// Before the names of the original headers, which would otherwise steer the dead letter itself.
const ORIGINAL: &str = "Capstan-Original-";

/// Keeps the payload as it came; the headers say where it was found, what it carried and what was wrong.
pub(super) async fn publish(
    surface: &Surface,
    jetstream: &Context,
    message: &Message,
    problem: &Problem,
    deliveries: i64,
) -> Result<(), async_nats::Error> {
    let address = surface.topology.parse_command(&message.subject);
    let source =
        address.map_or_else(|| "cmd".to_owned(), |(workspace, command)| format!("cmd.{workspace}.{command}"));
    let mut headers = HeaderMap::new();
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        for value in values {
            headers.append(format!("{ORIGINAL}{name}"), value.clone());
        }
    }
    headers.insert("Capstan-Subject", message.subject.as_str());
    headers.insert("Capstan-Error-Code", problem.code.as_str());
    headers.insert("Capstan-Error", problem.detail.replace(['\r', '\n'], " "));
    headers.insert("Capstan-Attempts", deliveries.to_string());
    headers.insert("Capstan-Dead-At", Utc::now().to_rfc3339());
    let subject = surface.topology.dead_letter_subject(&source);
    jetstream.publish_with_headers(subject, headers, message.payload.clone()).await?.await?;
    metrics::counter!("capstan_dead_letters_total", "source" => "command").increment(1);
    tracing::error!(subject = %message.subject, code = problem.code.as_str(), "a command was set aside as a dead letter");
    Ok(())
}
