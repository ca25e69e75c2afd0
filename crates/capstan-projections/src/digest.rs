//! A digest of all rows of a model, to compare tables.

use std::pin::pin;

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::catalogue::tasks::{ACCEPTANCES, PLACED_AT};
use crate::catalogue::{MODELS, model};
use crate::read_models::ReadModels;

/// The reason a digest could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// There is no read model of this name.
    #[error("digest {0}: there is no such read model")]
    UnknownModel(String),
    /// Reading the rows failed.
    #[error("read the rows of a read model")]
    Postgres(#[from] tokio_postgres::Error),
}

impl ReadModels {
    /// SHA-256, in hex, over every column of every row of the active tables but `PLACED_AT`, in key order.
    pub async fn digest(&self, name: &str) -> Result<String, DigestError> {
        let model = model(name).ok_or_else(|| DigestError::UnknownModel(name.to_owned()))?;
        let session = self.session().await?;
        let mut hasher = Sha256::new();
        let tables = model.tables().into_iter().map(|(table, columns)| (table, columns, "id::text"));
        let sums = model.sums.iter().map(|sum| (sum.table, sum.columns.to_vec(), "1"));
        for (table, columns, order) in tables.chain(sums) {
            let counts = |column: &&str| table != ACCEPTANCES || *column != PLACED_AT;
            let columns = columns.into_iter().filter(counts).collect::<Vec<_>>().join(", ");
            let sql = format!(
                "SELECT r FROM (SELECT ROW({columns})::text AS r, {order}::text AS o FROM capstan.{table}) t \
                 ORDER BY o COLLATE \"C\", r COLLATE \"C\""
            );
            let no_parameters: [&str; 0] = [];
            let mut rows = pin!(session.client().query_raw(sql.as_str(), no_parameters).await?);
            while let Some(row) = rows.try_next().await? {
                let text: &str = row.get(0);
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text);
            }
        }
        Ok(HEXLOWER.encode(&hasher.finalize()))
    }

    /// The digest of every model, by name.
    pub async fn digests(&self) -> Result<Vec<(&'static str, String)>, DigestError> {
        let mut digests = Vec::new();
        for model in MODELS {
            digests.push((model.name, self.digest(model.name).await?));
        }
        Ok(digests)
    }
}
