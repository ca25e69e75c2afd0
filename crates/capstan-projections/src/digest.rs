//! One number for all rows of a model, to compare tables by.

use std::pin::pin;

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::catalogue::{MODELS, columns};
use crate::read_models::ReadModels;

/// Why no digest could be made.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// No model has this name.
    #[error("digest {0}: there is no such read model")]
    UnknownModel(String),
    /// The rows could not be read.
    #[error("read the rows of a read model")]
    Postgres(#[from] tokio_postgres::Error),
}

impl ReadModels {
    /// SHA-256, in hex, over every column of every row of the active table, in key order.
    pub async fn digest(&self, model: &str) -> Result<String, DigestError> {
        if !MODELS.iter().any(|(name, _)| *name == model) {
            return Err(DigestError::UnknownModel(model.to_owned()));
        }
        let session = self.session().await?;
        let names = columns(model).join(", ");
        let sql = format!("SELECT ROW({names})::text FROM capstan.{model} ORDER BY id::text COLLATE \"C\"");
        let no_parameters: [&str; 0] = [];
        let mut rows = pin!(session.client().query_raw(sql.as_str(), no_parameters).await?);
        let mut hasher = Sha256::new();
        while let Some(row) = rows.try_next().await? {
            let text: &str = row.get(0);
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        Ok(HEXLOWER.encode(&hasher.finalize()))
    }

    /// The digest of every model, by name.
    pub async fn digests(&self) -> Result<Vec<(&'static str, String)>, DigestError> {
        let mut digests = Vec::new();
        for (name, _) in MODELS {
            digests.push((*name, self.digest(name).await?));
        }
        Ok(digests)
    }
}
