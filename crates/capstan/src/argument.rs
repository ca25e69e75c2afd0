//! Arguments whose types the contract defines.

use capstan_contract::admin::DeadLetterId;
use capstan_contract::strict;
use capstan_domain::Change;
use clap::Args;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// One task.
#[derive(Args)]
pub(crate) struct TaskArgument {
    /// Id of the task, a UUID.
    #[arg(value_parser = uuid)]
    pub(crate) id: Uuid,
}

/// One schedule.
#[derive(Args)]
pub(crate) struct ScheduleArgument {
    /// Id of the schedule, a UUID.
    #[arg(value_parser = uuid)]
    pub(crate) id: Uuid,
}

/// One agent.
#[derive(Args)]
pub(crate) struct AgentArgument {
    /// Id or key of the agent.
    pub(crate) agent: String,
}

/// One dead letter.
#[derive(Args)]
pub(crate) struct DeadLetterArgument {
    /// Id of the dead letter, as `capstan dlq list` shows it.
    pub(crate) id: DeadLetterId,
}

/// A page of a list.
#[derive(Args)]
pub(crate) struct PageArguments {
    /// Page size, at most 500.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    /// The `next_cursor` of the previous page.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// Reads an id.
fn uuid(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "must be a UUID, for example 01890a5d-ac96-774b-bcce-b302099a8057".to_owned())
}

/// Reads JSON, and refuses a field that does not exist.
pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = strict::read(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Reads a text of a fixed form, for example a state or a time.
pub(crate) fn text<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(text.into())
}

/// Reads such a text, or the word that takes the value away.
pub(crate) fn text_or_empty<T: DeserializeOwned>(given: &str) -> Result<Change<T>, serde_json::Error> {
    if given.is_empty() { Ok(Change::Clear) } else { text(given).map(Change::Set) }
}

/// Reads a number, or nothing or `none`, which takes the value away.
pub(crate) fn number_or_none(text: &str) -> Result<Change<f64>, String> {
    if matches!(text, "" | "none") {
        return Ok(Change::Clear);
    }
    text.parse().map(Change::Set).map_err(|_| "must be a number or none".to_owned())
}

#[cfg(test)]
mod tests {
    use capstan_domain::schedule::Overlap;
    use capstan_domain::workspace::SettingsChanges;

    use super::*;

    #[test]
    fn json_is_read_whole_and_without_unknown_fields() {
        assert_eq!(json::<SettingsChanges>("{}").unwrap(), SettingsChanges::default());
        assert!(
            json::<SettingsChanges>(r#"{"quotas": {"agents_max": 1, "agent_max": 1}}"#)
                .is_err_and(|error| error.to_string().contains("quotas.agent_max"))
        );
        assert!(json::<SettingsChanges>("{} {}").is_err());
    }

    #[test]
    fn a_text_is_a_value_or_takes_it_away() {
        assert_eq!(text_or_empty::<String>("").unwrap(), Change::Clear);
        assert_eq!(text_or_empty::<Overlap>("skip").unwrap(), Change::Set(Overlap::Skip));
        assert!(text::<Overlap>("later").is_err_and(|error| error.to_string().contains("`skip`")));
        assert_eq!(number_or_none("none"), Ok(Change::Clear));
        assert_eq!(number_or_none("1.5"), Ok(Change::Set(1.5)));
        assert!(number_or_none("much").is_err());
    }
}
