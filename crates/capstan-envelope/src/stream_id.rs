//! The names of workspaces and streams.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name of a workspace, category or entity, in characters.
const NAME_MAX: usize = 128;

/// A name that cannot be part of a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use {part} name {name:?}: 1 to {NAME_MAX} of A-Z a-z 0-9 _ - are allowed")]
pub struct InvalidName {
    /// The part of the stream id that is wrong.
    pub part: &'static str,
    /// The refused text.
    pub name: String,
}

fn checked(part: &'static str, name: &str) -> Result<(), InvalidName> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    if !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(InvalidName { part, name: name.chars().take(NAME_MAX).collect() })
    }
}

/// The name of a tenant; everything else lives inside one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Workspace(Box<str>);

impl Workspace {
    /// Checks and keeps a workspace name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        checked("workspace", name)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Workspace {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Workspace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// The name of one history: `(workspace, category, id)`, for example `dev/task/018f…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    workspace: Workspace,
    category: Box<str>,
    id: Box<str>,
}

impl StreamId {
    /// Checks and joins the parts of a stream's name.
    pub fn new(workspace: Workspace, category: &str, id: &str) -> Result<Self, InvalidName> {
        checked("category", category)?;
        checked("entity", id)?;
        Ok(Self { workspace, category: category.into(), id: id.into() })
    }

    /// The tenant this stream belongs to.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The kind of thing whose history this is.
    pub fn category(&self) -> &str {
        &self.category
    }

    /// Id of the entity within its category.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl StreamId {
    /// The name as in subjects: `<workspace>.<category>.<id>`.
    pub fn tokens(&self) -> String {
        format!("{}.{}.{}", self.workspace, self.category, self.id)
    }

    /// Reads a name as in subjects.
    pub fn from_tokens(text: &str) -> Result<Self, InvalidName> {
        Self::from_parts(text, '.')
    }

    fn from_parts(text: &str, separator: char) -> Result<Self, InvalidName> {
        let mut parts = text.splitn(3, separator);
        let mut part = || parts.next().unwrap_or_default();
        let (workspace, category, id) = (part(), part(), part());
        Self::new(Workspace::new(workspace)?, category, id)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.workspace, self.category, self.id)
    }
}

impl FromStr for StreamId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_parts(text, '/')
    }
}

impl Serialize for StreamId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_reads_back_from_its_text() {
        let id: StreamId = "dev/task/0192-ab".parse().unwrap();
        assert_eq!((id.workspace().as_str(), id.category(), id.id()), ("dev", "task", "0192-ab"));
        assert_eq!(StreamId::from_tokens(&id.tokens()), Ok(id.clone()));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn names_that_would_break_a_subject_are_refused() {
        for name in ["", "a.b", "a b", "*", ">", "ä", "a/b", &"x".repeat(129)] {
            assert!(Workspace::new(name).is_err(), "{name:?} was accepted");
        }
    }
}
