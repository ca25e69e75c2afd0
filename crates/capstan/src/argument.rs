//! Arguments whose types the contract defines.

use capstan_contract::admin::DeadLetterId;
use capstan_contract::strict;
use capstan_domain::Change;
use capstan_envelope::{InvalidName, StreamId};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;
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

/// Reads one of a few words, for example a state.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, WrongWord> {
    T::deserialize(StrDeserializer::new(text))
}

/// A text that is none of the words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongWord(String);

impl serde::de::Error for WrongWord {
    fn custom<T: std::fmt::Display>(told: T) -> Self {
        Self(told.to_string())
    }

    fn unknown_variant(_: &str, words: &'static [&'static str]) -> Self {
        Self(format!("must be one of {}", words.join(", ")))
    }
}

/// Reads a text, or the empty one, which takes the value away.
#[expect(clippy::unnecessary_wraps, reason = "the form of every such reader")]
pub(crate) fn text_or_empty(given: &str) -> Result<Change<String>, String> {
    Ok(if given.is_empty() { Change::Clear } else { Change::Set(given.to_owned()) })
}

/// Reads a time, or the empty text, which takes the value away.
pub(crate) fn time_or_empty(given: &str) -> Result<Change<DateTime<Utc>>, String> {
    if given.is_empty() {
        return Ok(Change::Clear);
    }
    given.parse().map(Change::Set).map_err(|_| "must be a time, for example 2026-01-02T03:04:05Z".to_owned())
}

/// Reads the name of a stream.
pub(crate) fn stream(text: &str) -> Result<StreamId, String> {
    if text.split('/').count() != 3 {
        let example = "dev/task/01890a5d-ac96-774b-bcce-b302099a8057";
        return Err(format!("must be WORKSPACE/CATEGORY/ID, for example {example}"));
    }
    text.parse().map_err(|error: InvalidName| error.to_string())
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
    use capstan_domain::task::TaskState;
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
        assert_eq!(text_or_empty("").unwrap(), Change::Clear);
        assert_eq!(text_or_empty("a b").unwrap(), Change::Set("a b".to_owned()));
        assert_eq!(time_or_empty("").unwrap(), Change::Clear);
        assert!(matches!(time_or_empty("2026-01-02T03:04:05Z"), Ok(Change::Set(_))));
        assert!(time_or_empty("soon").unwrap_err().contains("2026-01-02T03:04:05Z"));
        assert_eq!(number_or_none("none"), Ok(Change::Clear));
        assert_eq!(number_or_none("1.5"), Ok(Change::Set(1.5)));
        assert!(number_or_none("much").is_err());
    }

    #[test]
    fn a_word_that_is_none_is_answered_with_those_there_are() {
        assert_eq!(word::<Overlap>("skip").unwrap(), Overlap::Skip);
        let told = word::<Overlap>("later").unwrap_err().to_string();
        assert_eq!(told, "must be one of queue, skip, cancel_running");
        let told = word::<TaskState>("zz").unwrap_err().to_string();
        assert_eq!(
            told,
            "must be one of queued, running, waiting, sleeping, done, error, dropped, cancelled"
        );
    }

    #[test]
    fn a_stream_has_three_names() {
        assert_eq!(stream("dev/task/1").unwrap().to_string(), "dev/task/1");
        for text in ["bogus", "dev/task", "dev/task/1/2", ""] {
            assert!(stream(text).unwrap_err().contains("WORKSPACE/CATEGORY/ID"), "{text}");
        }
        assert!(stream("dev/ta sk/1").unwrap_err().contains("category name \"ta sk\""));
    }
}
