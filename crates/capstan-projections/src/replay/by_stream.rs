//! A bucket in memory, with the commits of each stream behind each other.

use std::collections::HashMap;
use std::io;

use super::record::Record;
use super::spill::{Spill, split_record};

/// The records of a bucket: streams in the order in which they began, the commits of each in order. Folded like this, the
/// rows of a stream are complete and leave memory before the next ones come.
#[derive(Debug, Default)]
pub(crate) struct ByStream {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// A record: number of its stream, and where it lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    stream: u32,
    start: usize,
    end: usize,
}

impl ByStream {
    /// Reads a bucket in place of the one before, whose memory is used again up to `kept` bytes.
    pub(crate) fn read(&mut self, spill: &Spill, bucket: usize, kept: u64) -> io::Result<()> {
        let Self { bytes, places } = self;
        bytes.clear();
        bytes.shrink_to(usize::try_from(kept).unwrap_or(usize::MAX));
        places.clear();
        spill.read_whole(bucket, bytes)?;
        let mut streams: HashMap<&str, u32> = HashMap::new();
        let mut rest = &bytes[..];
        while let Some((record, behind)) = split_record(rest) {
            let end = bytes.len() - behind.len();
            let number = streams.len() as u32;
            let stream = *streams.entry(Record::of(record)?.raw.stream).or_insert(number);
            places.push(Place { stream, start: end - record.len(), end });
            rest = behind;
        }
        places.sort_unstable_by_key(|place| (place.stream, place.start));
        Ok(())
    }

    /// The records.
    pub(crate) fn records(&self) -> impl Iterator<Item = io::Result<Record<'_>>> {
        self.places.iter().map(|place| Record::of(&self.bytes[place.start..place.end]))
    }
}

#[cfg(test)]
mod tests {
    use capstan_eventlog::RawCommit;
    use chrono::DateTime;

    use super::*;

    #[test]
    fn the_commits_of_each_stream_come_together_and_in_order() {
        for memory_max in [usize::MAX, 300] {
            let mut spill = Spill::new(std::env::temp_dir(), memory_max, 1);
            for (sequence, stream) in (1..).zip(["b", "a", "b", "c", "a", "b"]) {
                let recorded_at = DateTime::UNIX_EPOCH;
                let raw = RawCommit { sequence, recorded_at, stream, expected: 0, payload: b"{}" };
                Record::whole(raw).put(&mut spill, |_| 0).unwrap();
            }
            let mut by_stream = ByStream::default();
            for _ in 0..2 {
                by_stream.read(&spill, 0, 0).unwrap();
                let records = by_stream.records().map(|record| record.unwrap().raw);
                let read: Vec<_> = records.map(|raw| (raw.stream, raw.sequence)).collect();
                assert_eq!(read, [("b", 1), ("b", 3), ("b", 6), ("a", 2), ("a", 5), ("c", 4)]);
            }
        }
    }
}
