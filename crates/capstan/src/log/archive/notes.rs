//! Notes about streams, put aside by the hash of the stream, so that those of a few streams are in memory at once.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::Context;
use capstan_projections::{Spill, bucket_of, name_hash};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Bytes of the file that are read at once.
const PIECE: usize = 64 << 10;

/// Notes in buckets, each with all notes about its streams, in the order they came.
pub(super) struct Notes {
    directory: PathBuf,
    spill: Spill,
    text: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct About<'a, T>(#[serde(borrow)] Cow<'a, str>, T);

impl Notes {
    /// None yet. Beyond `memory_max` bytes they lie in a file without a name in `directory`.
    pub(super) fn new(directory: PathBuf, memory_max: usize, buckets: usize) -> Self {
        Self { spill: Spill::new(directory.clone(), memory_max, buckets), directory, text: Vec::new() }
    }

    /// Number of buckets.
    pub(super) fn buckets(&self) -> usize {
        self.spill.buckets()
    }

    /// Adds a note about a stream, by its name as in subjects.
    pub(super) fn add(&mut self, stream: &str, note: &impl Serialize) -> anyhow::Result<()> {
        self.text.clear();
        serde_json::to_writer(&mut self.text, &About(stream.into(), note))?;
        let hash = name_hash(stream);
        let bucket = bucket_of(hash, 0, self.spill.buckets());
        let pushed = self.spill.push(bucket, hash, &[&self.text]);
        pushed.with_context(|| format!("put notes about streams aside in {}", self.directory.display()))
    }

    /// Hands over the notes of a bucket, each with the name of its stream.
    pub(super) fn each<T: DeserializeOwned>(
        &self,
        bucket: usize,
        mut take: impl FnMut(&str, T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut records = self.spill.read(bucket, PIECE);
        while let Some(record) = records.take().context("read notes about streams")? {
            let About(stream, note) = serde_json::from_slice::<About<'_, T>>(record)?;
            take(&stream, note)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_of_a_stream_come_back_together_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut notes = Notes::new(folder.path().to_owned(), 2_000, 4);
        for number in 0..300_u64 {
            notes.add(&format!("dev.task.{}", number % 7), &number).unwrap();
        }
        let mut seen = vec![Vec::new(); 7];
        let mut places = [None; 7];
        for bucket in 0..notes.buckets() {
            notes
                .each(bucket, |stream, number: u64| {
                    let of = stream.rsplit('.').next().unwrap().parse::<usize>().unwrap();
                    assert!(*places[of].get_or_insert(bucket) == bucket);
                    seen[of].push(number);
                    Ok(())
                })
                .unwrap();
        }
        for (of, numbers) in seen.iter().enumerate() {
            assert!(numbers.iter().copied().eq((0..300).filter(|number| *number as usize % 7 == of)));
        }
    }
}
