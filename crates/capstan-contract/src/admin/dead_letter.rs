use std::fmt;
use std::str::FromStr;

use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of a dead letter: `command-7`, `commit-0-42-9f3ac21b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^(command-[0-9]+|commit-.+)$", "examples" = ["command-7"]))]
pub enum DeadLetterId {
    /// A command, by its sequence in the stream of dead letters.
    Command(u64),
    /// A commit, by its position in the log.
    Commit(Position),
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(sequence) => write!(f, "command-{sequence}"),
            Self::Commit(position) => write!(f, "commit-{position}"),
        }
    }
}

impl From<DeadLetterId> for String {
    fn from(id: DeadLetterId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for DeadLetterId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for DeadLetterId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.split_once('-').and_then(|(kind, number)| match kind {
            "command" => number.parse().ok().map(Self::Command),
            "commit" => number.parse().ok().map(Self::Commit),
            _ => None,
        });
        id.ok_or("must be the id of a dead letter, as in command-7")
    }
}

/// Lists dead letters: commands first, then commits, each oldest first.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListDeadLetters {
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<DeadLetterId>,
}

/// Reads a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetDeadLetter {
    /// Id of the dead letter.
    pub dead_letter_id: DeadLetterId,
}

/// Publishes a command again, or folds the parked commits of a stream again, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryDeadLetter {
    /// Id of the dead letter.
    pub dead_letter_id: DeadLetterId,
}

/// Discards a command; a commit cannot be discarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiscardDeadLetter {
    /// Id of the dead letter.
    pub dead_letter_id: DeadLetterId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_is_shown() {
        for id in [DeadLetterId::Command(7), DeadLetterId::Commit("0-42-9f3ac21b".parse().unwrap())] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "7", "command-", "command-x", "task-1", "command-1-2", "commit-42"] {
            assert!(text.parse::<DeadLetterId>().is_err(), "{text}");
        }
    }
}
