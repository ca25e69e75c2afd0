//! The reason rows could not be read or written.

use capstan_contract::causes::explain;
use tokio_postgres::error::SqlState;

/// The reason rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("read or write the rows of {model}")]
    Postgres {
        /// Name of the read model.
        model: &'static str,
        /// The error from Postgres.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A stored row does not deserialize in this build; a rebuild replaces it.
    #[error("read row {id} of {model}: it has another shape")]
    Unreadable {
        /// Name of the read model.
        model: &'static str,
        /// Id of the row.
        id: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A row cannot be written, for example because of its size.
    #[error("write a row of {model}")]
    Unwritable {
        /// Name of the read model.
        model: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// True when a row that was taken for new is in the table: it was folded before.
    pub(crate) fn is_known_row(&self) -> bool {
        matches!(self, Self::Postgres { source, .. } if source.code() == Some(&SqlState::UNIQUE_VIOLATION))
    }

    /// True when the statement found the transaction failed by another one.
    pub(crate) fn is_aftermath(&self) -> bool {
        let failed = Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
        matches!(self, Self::Postgres { source, .. } if source.code() == failed)
    }

    /// The error text, if the cause is in the data of a commit or a stored row, so that a retry cannot help.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Self::Postgres { source, .. } => refused_data(source),
            Self::Unwritable { .. } | Self::Unreadable { .. } => Some(explain(self)),
        }
    }
}

/// The error text, if Postgres rejected the data: data exceptions, violated constraints, exceeded limits.
pub(crate) fn refused_data(error: &tokio_postgres::Error) -> Option<String> {
    let code = error.code()?;
    let in_the_data = ["22", "23", "54"].iter().any(|class| code.code().starts_with(class));
    (in_the_data && *code != SqlState::UNDEFINED_TABLE).then(|| explain(error))
}
