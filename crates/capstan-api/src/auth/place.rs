//! The place an operation is about.

use capstan_domain::id::AttemptId;

/// The place an operation is about.
pub(crate) enum Place {
    /// This workspace.
    Workspace(String),
    /// An attempt of this workspace; none when the id is not valid.
    Attempt(Option<String>),
    /// No workspace in particular.
    Anywhere,
}

impl Place {
    /// The place a path names.
    pub(crate) fn from_path<'a>(path: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        for (name, value) in path {
            match name {
                "workspace" => return Self::Workspace(value.to_owned()),
                "attempt_id" => {
                    return Self::Attempt(value.parse().ok().map(|attempt: AttemptId| attempt.workspace));
                }
                _ => {}
            }
        }
        Self::Anywhere
    }
}
