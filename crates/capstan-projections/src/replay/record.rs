//! A commit as it is put aside.

use std::io;

use capstan_envelope::CommitHash;
use capstan_eventlog::RawCommit;
use chrono::DateTime;

use super::spill::{Records, Spill, name_hash};

/// Bytes before the name of the stream: sequence, time, expected sequence, hash, length of the name.
const HEADER: usize = HASH_AT + CommitHash::BYTES + 2;
const HASH_AT: usize = 3 * size_of::<u64>();

/// A commit put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// The commit, or a part of it.
    pub(crate) raw: RawCommit<'a>,
    /// Hash of the whole commit where `raw` is a part of it; otherwise none.
    pub(crate) hash: CommitHash,
}

impl<'a> Record<'a> {
    /// A whole commit.
    pub(crate) fn whole(raw: RawCommit<'a>) -> Self {
        Self { raw, hash: CommitHash::NONE }
    }

    /// Puts it aside in the bucket that `bucket_of` chooses by the hash of its stream.
    pub(crate) fn put(&self, spill: &mut Spill, bucket_of: impl FnOnce(u64) -> usize) -> io::Result<()> {
        let RawCommit { sequence, recorded_at, stream, expected, payload } = self.raw;
        let Ok(name) = u16::try_from(stream.len()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the name of the stream is too long"));
        };
        let recorded_at = recorded_at.timestamp_nanos_opt().unwrap_or_default();
        let hash = name_hash(stream);
        let parts: [&[u8]; 7] = [
            &sequence.to_le_bytes(),
            &recorded_at.to_le_bytes(),
            &expected.to_le_bytes(),
            &self.hash.to_bytes(),
            &name.to_le_bytes(),
            stream.as_bytes(),
            payload,
        ];
        spill.push(bucket_of(hash), hash, &parts)
    }

    /// Takes the next commit that was put aside.
    pub(crate) fn take(records: &'a mut Records<'_>) -> io::Result<Option<Self>> {
        records.take()?.map(Self::of).transpose()
    }

    /// Reads a commit that was put aside.
    pub(crate) fn of(record: &'a [u8]) -> io::Result<Self> {
        let read = || {
            let (header, rest) = record.split_at_checked(HEADER)?;
            let number =
                |at: usize| Some(u64::from_le_bytes(header[at..at + size_of::<u64>()].try_into().ok()?));
            let (hash, name) = header[HASH_AT..].split_at_checked(CommitHash::BYTES)?;
            let name = usize::from(u16::from_le_bytes(name.try_into().ok()?));
            let (stream, payload) = rest.split_at_checked(name)?;
            let raw = RawCommit {
                sequence: number(0)?,
                recorded_at: DateTime::from_timestamp_nanos(number(8)? as i64),
                stream: std::str::from_utf8(stream).ok()?,
                expected: number(16)?,
                payload,
            };
            Some(Self { raw, hash: CommitHash::from_bytes(hash.try_into().ok()?) })
        };
        read().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a record is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_reads_back_as_it_was_put_aside() {
        let mut spill = Spill::new(std::env::temp_dir(), usize::MAX, 2);
        let raw = RawCommit {
            sequence: u64::MAX,
            recorded_at: DateTime::from_timestamp_nanos(1_700_000_000_000_000_001),
            stream: "dev.task.1",
            expected: 7,
            payload: b"{}",
        };
        let part = Record { raw, hash: CommitHash::of("dev.task.1", b"more") };
        let empty = Record::whole(RawCommit { sequence: 1, expected: 0, payload: b"", ..raw });
        for record in [part, empty] {
            record.put(&mut spill, |hash| usize::from(hash == name_hash("dev.task.1"))).unwrap();
        }
        let mut records = spill.read(1, 16);
        assert_eq!(Record::take(&mut records).unwrap(), Some(part));
        assert_eq!(Record::take(&mut records).unwrap(), Some(empty));
        assert_eq!(Record::take(&mut records).unwrap(), None);
    }
}
