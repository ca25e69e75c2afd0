//! Records put aside by bucket, each bucket in the order they came: in memory while they are few, otherwise in a file.
//!
//! The file has no name: whatever ends this process, its space is free again.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Bytes of the length before each record.
const LENGTH: usize = size_of::<u32>();

/// Hash of a name: that of a stream, or of a row. Equal names have equal hashes in every process.
pub(crate) fn name_hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// The bucket of a name among `count`. Buckets of different levels split the names differently.
pub(crate) fn bucket_of(hash: u64, level: u32, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(hash);
    hasher.write_u32(level);
    ((u128::from(hasher.finish()) * count as u128) >> 64) as usize
}

/// Records by bucket.
#[derive(Debug)]
pub(crate) struct Spill {
    directory: PathBuf,
    /// Bytes kept in memory before all buckets are written to the file.
    memory_max: usize,
    buckets: Vec<Bucket>,
    buffered: usize,
    file: Option<File>,
    /// Length of the file.
    written: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Parts of the file, in order; each holds whole records.
    blocks: Vec<Block>,
    /// The records behind them.
    buffer: Vec<u8>,
    bytes: u64,
    /// Hash of the first record's name.
    first: Option<u64>,
    has_several_names: bool,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    offset: u64,
    bytes: usize,
}

impl Spill {
    /// Empty buckets. The file, if one is needed, lies in `directory`.
    pub(crate) fn new(directory: PathBuf, memory_max: usize, buckets: usize) -> Self {
        let buckets = (0..buckets).map(|_| Bucket::default()).collect();
        Self { directory, memory_max, buckets, buffered: 0, file: None, written: 0 }
    }

    /// Number of buckets.
    pub(crate) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Adds an empty bucket and returns its number.
    pub(crate) fn add_bucket(&mut self) -> usize {
        self.buckets.push(Bucket::default());
        self.buckets.len() - 1
    }

    /// Bytes of a bucket's records.
    pub(crate) fn bytes(&self, bucket: usize) -> u64 {
        self.buckets[bucket].bytes
    }

    /// True when all records of a bucket have one name, as far as hashes tell.
    pub(crate) fn has_one_name(&self, bucket: usize) -> bool {
        !self.buckets[bucket].has_several_names
    }

    /// Bytes in the file.
    pub(crate) fn spilled(&self) -> u64 {
        self.written
    }

    /// Adds a record to a bucket; `hash` is that of its name, `parts` are its bytes.
    pub(crate) fn push(&mut self, bucket: usize, hash: u64, parts: &[&[u8]]) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let Ok(total) = u32::try_from(length) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the record is too long"));
        };
        let into = &mut self.buckets[bucket];
        into.buffer.extend_from_slice(&total.to_le_bytes());
        for part in parts {
            into.buffer.extend_from_slice(part);
        }
        into.bytes += (LENGTH + length) as u64;
        into.has_several_names |= *into.first.get_or_insert(hash) != hash;
        self.buffered += LENGTH + length;
        if self.buffered > self.memory_max { self.write() } else { Ok(()) }
    }

    /// Writes all buckets to the file.
    fn write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.directory)?);
        }
        let Some(file) = &self.file else { return Ok(()) };
        for bucket in self.buckets.iter_mut().filter(|bucket| !bucket.buffer.is_empty()) {
            file.write_all_at(&bucket.buffer, self.written)?;
            bucket.blocks.push(Block { offset: self.written, bytes: bucket.buffer.len() });
            self.written += bucket.buffer.len() as u64;
            bucket.buffer.clear();
        }
        self.buffered = 0;
        Ok(())
    }

    /// The records of a bucket in the order they came, read in pieces of about `piece` bytes.
    pub(crate) fn read(&self, bucket: usize, piece: usize) -> Records<'_> {
        Records {
            spill: self,
            bucket: &self.buckets[bucket],
            piece,
            part: 0,
            taken: 0,
            buffer: Vec::new(),
            at: 0,
        }
    }
}

/// The records of a bucket.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    spill: &'a Spill,
    bucket: &'a Bucket,
    piece: usize,
    /// Index of the block being read; the one behind the last is the part in memory.
    part: usize,
    /// Bytes of it that are in the buffer, or were.
    taken: usize,
    buffer: Vec<u8>,
    /// Start of the next record in the buffer.
    at: usize,
}

impl Records<'_> {
    /// The next record, without taking it.
    pub(crate) fn peek(&mut self) -> io::Result<Option<&[u8]>> {
        if !self.fill(LENGTH)? {
            return Ok(None);
        }
        let prefix = std::array::from_fn(|index| self.buffer[self.at + index]);
        let length = LENGTH + u32::from_le_bytes(prefix) as usize;
        if !self.fill(length)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(&self.buffer[self.at + LENGTH..self.at + length]))
    }

    /// Takes the next record.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(length) = self.peek()?.map(<[u8]>::len) else { return Ok(None) };
        self.at += LENGTH + length;
        Ok(Some(&self.buffer[self.at - length..self.at]))
    }

    /// Makes sure that `wanted` bytes of the next record are in the buffer; false at the end.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        while self.buffer.len() - self.at < wanted {
            let whole = match self.bucket.blocks.get(self.part) {
                Some(block) => block.bytes,
                None if self.part == self.bucket.blocks.len() => self.bucket.buffer.len(),
                None => return Ok(false),
            };
            let more = (whole - self.taken).min(self.piece.max(wanted));
            if more == 0 {
                self.part += 1;
                self.taken = 0;
                continue;
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            let from = self.buffer.len();
            match (self.bucket.blocks.get(self.part), &self.spill.file) {
                (Some(block), Some(file)) => {
                    self.buffer.resize(from + more, 0);
                    file.read_exact_at(&mut self.buffer[from..], block.offset + self.taken as u64)?;
                }
                (Some(_), None) => return Err(io::ErrorKind::NotFound.into()),
                (None, _) => {
                    let part = &self.bucket.buffer[self.taken..self.taken + more];
                    self.buffer.extend_from_slice(part);
                }
            }
            self.taken += more;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spill: &Spill, bucket: usize, piece: usize) -> Vec<Vec<u8>> {
        let mut records = spill.read(bucket, piece);
        let mut read = Vec::new();
        while let Some(seen) = records.peek().unwrap().map(<[u8]>::to_vec) {
            assert_eq!(records.next().unwrap(), Some(seen.as_slice()));
            read.push(seen);
        }
        assert_eq!(records.next().unwrap(), None);
        read
    }

    #[test]
    fn records_come_back_by_bucket_and_in_order_from_memory_and_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        for memory_max in [usize::MAX, 5_000, 0] {
            let mut spill = Spill::new(folder.path().to_owned(), memory_max, 3);
            let mut pushed = vec![Vec::new(); 4];
            for number in 1..500_usize {
                if number == 200 {
                    assert_eq!(spill.add_bucket(), 3);
                }
                let record = vec![number as u8; (number * 37) % 900];
                let bucket = number % if number < 200 { 3 } else { 4 };
                let (one, other) = record.split_at(record.len() / 3);
                spill.push(bucket, number as u64, &[one, other]).unwrap();
                pushed[bucket].push(record);
            }
            for piece in [1, 100, 1 << 20] {
                for (bucket, pushed) in pushed.iter().enumerate() {
                    assert_eq!(read(&spill, bucket, piece), *pushed);
                }
            }
            assert_eq!(spill.spilled() > 0, memory_max < usize::MAX);
            assert!((0..4).map(|bucket| spill.bytes(bucket)).sum::<u64>() >= spill.spilled());
            // Nothing to remove, whatever happens to this process.
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_bucket_knows_whether_its_records_have_one_name() {
        let mut spill = Spill::new(std::env::temp_dir(), usize::MAX, 1);
        for (name, one) in [("a", true), ("a", true), ("b", false), ("a", false)] {
            spill.push(0, name_hash(name), &[b"x"]).unwrap();
            assert_eq!(spill.has_one_name(0), one);
        }
    }

    #[test]
    fn levels_split_the_names_of_a_bucket_evenly() {
        let hashes = (0..10_000).map(|number| name_hash(&format!("dev.task.{number}")));
        let in_first: Vec<u64> = hashes.filter(|hash| bucket_of(*hash, 0, 4) == 0).collect();
        assert!((2_200..2_800).contains(&in_first.len()), "{}", in_first.len());
        let again = in_first.iter().filter(|hash| bucket_of(**hash, 1, 4) == 0).count();
        assert!((500..800).contains(&again), "{again}");
    }
}
