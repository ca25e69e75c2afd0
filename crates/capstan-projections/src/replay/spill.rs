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
pub fn name_hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// The bucket of a name among `count`. Buckets of different levels split the names differently.
pub fn bucket_of(hash: u64, level: u32, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(hash);
    hasher.write_u32(level);
    ((u128::from(hasher.finish()) * count as u128) >> 64) as usize
}

/// Bytes of a buffer of records at most, and at least.
const BUFFER: usize = 64 * 1024;
const BUFFER_MIN: usize = 256;
/// Bytes before each block of the file: place and length of the bucket's block before it, so that a log of any size needs
/// no list of them in memory.
const BLOCK_HEADER: usize = 2 * size_of::<u64>();

/// Records by bucket.
#[derive(Debug)]
pub struct Spill {
    directory: PathBuf,
    /// Bytes kept in memory before all buckets are written to the file.
    memory_max: usize,
    buckets: Vec<Bucket>,
    /// Bytes of all buffers, filled or not.
    buffered: usize,
    file: Option<File>,
    /// Length of the file.
    written: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Its last block in the file.
    last: Option<Block>,
    /// The records behind it; each buffer holds whole ones.
    buffers: Vec<Vec<u8>>,
    bytes: u64,
    /// Hash of the first record's name.
    first: Option<u64>,
    has_several_names: bool,
}

/// A part of the file; it holds whole records.
#[derive(Clone, Copy, Debug)]
struct Block {
    offset: u64,
    bytes: u64,
}

impl Spill {
    /// Empty buckets. The file, if one is needed, lies in `directory`.
    pub fn new(directory: PathBuf, memory_max: usize, buckets: usize) -> Self {
        let buckets = (0..buckets).map(|_| Bucket::default()).collect();
        Self { directory, memory_max, buckets, buffered: 0, file: None, written: 0 }
    }

    /// Number of buckets.
    pub fn buckets(&self) -> usize {
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
    pub fn push(&mut self, bucket: usize, hash: u64, parts: &[&[u8]]) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let Ok(total) = u32::try_from(length) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the record is too long"));
        };
        let record = LENGTH + length;
        // Half of the memory may be in buffers that are not full.
        let usual = (self.memory_max / (2 * self.buckets.len())).clamp(BUFFER_MIN, BUFFER);
        let into = &mut self.buckets[bucket];
        into.bytes += record as u64;
        into.has_several_names |= *into.first.get_or_insert(hash) != hash;
        let fits = |buffer: &Vec<u8>| buffer.capacity() - buffer.len() >= record;
        if !into.buffers.last().is_some_and(fits) {
            let buffer = Vec::with_capacity(usual.max(record));
            self.buffered += buffer.capacity();
            into.buffers.push(buffer);
        }
        if let Some(buffer) = into.buffers.last_mut() {
            buffer.extend_from_slice(&total.to_le_bytes());
            for part in parts {
                buffer.extend_from_slice(part);
            }
        }
        if self.buffered > self.memory_max { self.write() } else { Ok(()) }
    }

    /// Writes all buckets to the file and frees their memory.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.buffered == 0 {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.directory)?);
        }
        let Some(file) = &self.file else { return Ok(()) };
        for bucket in self.buckets.iter_mut().filter(|bucket| !bucket.buffers.is_empty()) {
            let Block { offset, bytes } = bucket.last.unwrap_or(Block { offset: 0, bytes: 0 });
            let header = [offset.to_le_bytes(), bytes.to_le_bytes()].concat();
            file.write_all_at(&header, self.written)?;
            let offset = self.written + header.len() as u64;
            self.written = offset;
            for buffer in bucket.buffers.drain(..) {
                file.write_all_at(&buffer, self.written)?;
                self.written += buffer.len() as u64;
            }
            bucket.buffers = Vec::new();
            bucket.last = Some(Block { offset, bytes: self.written - offset });
        }
        self.buffered = 0;
        Ok(())
    }

    /// The records of a bucket in the order they came, read in pieces of about `piece` bytes.
    pub fn read(&self, bucket: usize, piece: usize) -> Records<'_> {
        Records {
            spill: self,
            bucket: &self.buckets[bucket],
            piece,
            blocks: None,
            part: 0,
            taken: 0,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// Appends all records of a bucket, for [`split_record`].
    pub(crate) fn read_whole(&self, bucket: usize, to: &mut Vec<u8>) -> io::Result<()> {
        let bucket = &self.buckets[bucket];
        to.reserve_exact(bucket.bytes as usize);
        if let Some(file) = &self.file {
            for block in self.blocks(bucket)?.iter().rev() {
                let from = to.len();
                to.resize(from + block.bytes as usize, 0);
                file.read_exact_at(&mut to[from..], block.offset)?;
            }
        }
        for buffer in &bucket.buffers {
            to.extend_from_slice(buffer);
        }
        Ok(())
    }

    /// The blocks of a bucket, the last one first.
    fn blocks(&self, bucket: &Bucket) -> io::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut next = bucket.last;
        while let (Some(block), Some(file)) = (next, &self.file) {
            blocks.push(block);
            let mut header = [0; BLOCK_HEADER];
            file.read_exact_at(&mut header, block.offset - BLOCK_HEADER as u64)?;
            let (offset, bytes) = header.split_at(BLOCK_HEADER / 2);
            let number =
                |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            let before = Block { offset: number(offset), bytes: number(bytes) };
            next = Some(before).filter(|before| before.offset > 0);
        }
        Ok(blocks)
    }
}

/// The first of several records that were read whole, and the others.
pub(crate) fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = records.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// The records of a bucket.
#[derive(Debug)]
pub struct Records<'a> {
    spill: &'a Spill,
    bucket: &'a Bucket,
    piece: usize,
    /// The blocks that were not read to their end, the next one last; looked up when the first record is read.
    blocks: Option<Vec<Block>>,
    /// Index of the next of the buffers behind them.
    part: usize,
    /// Bytes of the next block that were read.
    taken: u64,
    buffer: Vec<u8>,
    /// Start of the next record in the buffer.
    at: usize,
}

impl Records<'_> {
    /// The next record, without taking it.
    pub fn peek(&mut self) -> io::Result<Option<&[u8]>> {
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
    pub fn take(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(length) = self.peek()?.map(<[u8]>::len) else { return Ok(None) };
        self.at += LENGTH + length;
        Ok(Some(&self.buffer[self.at - length..self.at]))
    }

    /// Makes sure that `wanted` bytes of the next record are in the buffer; false at the end.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        while self.buffer.len() - self.at < wanted {
            self.buffer.drain(..self.at);
            self.at = 0;
            if !self.read_more(wanted)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds more bytes to the buffer; false at the end.
    fn read_more(&mut self, wanted: usize) -> io::Result<bool> {
        let blocks = match &mut self.blocks {
            Some(blocks) => blocks,
            None => self.blocks.insert(self.spill.blocks(self.bucket)?),
        };
        if let (Some(block), Some(file)) = (blocks.last(), &self.spill.file) {
            let (from, left) = (self.buffer.len(), block.bytes - self.taken);
            let more = left.min(self.piece.max(wanted) as u64);
            self.buffer.resize(from + more as usize, 0);
            file.read_exact_at(&mut self.buffer[from..], block.offset + self.taken)?;
            self.taken += more;
            if more == left {
                blocks.pop();
                self.taken = 0;
            }
            return Ok(true);
        }
        let Some(part) = self.bucket.buffers.get(self.part) else { return Ok(false) };
        self.buffer.extend_from_slice(part);
        self.part += 1;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Spill {
        /// Bytes of the memory it holds.
        fn held(&self) -> usize {
            self.buckets.iter().flat_map(|bucket| &bucket.buffers).map(Vec::capacity).sum()
        }
    }

    fn read(spill: &Spill, bucket: usize, piece: usize) -> Vec<Vec<u8>> {
        let mut records = spill.read(bucket, piece);
        let mut read = Vec::new();
        while let Some(seen) = records.peek().unwrap().map(<[u8]>::to_vec) {
            assert_eq!(records.take().unwrap(), Some(seen.as_slice()));
            read.push(seen);
        }
        assert_eq!(records.take().unwrap(), None);
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
            assert!(spill.held() <= memory_max.saturating_add(BUFFER), "{}", spill.held());
            // Nothing to remove, whatever happens to this process.
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_held_stays_bounded_whatever_the_size_of_the_records() {
        let mut spill = Spill::new(std::env::temp_dir(), 1 << 20, 500);
        let large = vec![7; 200_000];
        for number in 0..1_000 {
            spill.push(number % 500, number as u64, &[&large]).unwrap();
            assert!(spill.held() <= 1 << 20);
        }
        assert!(spill.bytes(499) > 2 * 200_000);
        assert_eq!(read(&spill, 499, 1), [large.clone(), large]);
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
