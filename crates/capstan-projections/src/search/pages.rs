//! The form of a block: pages of sorted grams, each with the places of the tasks that have it.
//!
//! A gram in a page is its distance from the one before it, the number of places, and the places: their distances, or one bit for
//! each place of a block where those are shorter. Numbers are of seven bits a byte, the low ones first; the high bit says that
//! more follow.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::BLOCK;
use super::gram::Gram;

/// Bytes of a page: four rows fill a page of Postgres, and none is stored apart from its row.
const PAGE_BYTES: usize = 1_960;
/// Bytes of the places as bits.
const BITS_BYTES: usize = BLOCK / 8;

/// A set of places in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places([u8; BITS_BYTES]);

impl Places {
    /// No place.
    pub(crate) const NONE: Self = Self([0; BITS_BYTES]);
    /// Every place.
    pub(crate) const ALL: Self = Self([u8::MAX; BITS_BYTES]);

    /// Number of places.
    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    fn insert(&mut self, place: usize) {
        if let Some(byte) = self.0.get_mut(place / 8) {
            *byte |= 1 << (place % 8);
        }
    }

    /// True for a place in it.
    pub(crate) fn contains(&self, place: usize) -> bool {
        self.0.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }

    /// Keeps what is in the other one, too.
    pub(crate) fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte &= other);
    }

    /// Adds what is in the other one.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte |= other);
    }

    /// The places, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..BLOCK).filter(|place| self.contains(*place))
    }
}

/// A block while tasks are added.
#[derive(Debug, Default)]
pub(crate) struct Block {
    grams: HashMap<Gram, Vec<u16>>,
    tasks: u16,
}

impl Block {
    /// Adds a task at the next place.
    pub(crate) fn push(&mut self, grams: impl IntoIterator<Item = Gram>) {
        for gram in grams {
            self.grams.entry(gram).or_default().push(self.tasks);
        }
        self.tasks += 1;
    }

    /// The pages, each with its first gram.
    pub(crate) fn pages(&self) -> Vec<(Gram, Vec<u8>)> {
        let mut grams: Vec<_> = self.grams.iter().collect();
        grams.sort_unstable();
        let mut pages: Vec<(Gram, Vec<u8>)> = Vec::new();
        let (mut last, mut next) = (0, Vec::new());
        for (gram, places) in grams {
            encode(places, &mut next);
            // The longest number has nine bytes.
            match pages.last_mut() {
                Some((_, page)) if page.len() + next.len() + 9 <= PAGE_BYTES => {
                    put(page, gram.abs_diff(last));
                    page.append(&mut next);
                }
                Some(_) | None => {
                    let mut page = vec![0];
                    page.append(&mut next);
                    pages.push((*gram, page));
                }
            }
            last = *gram;
        }
        pages
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn encode(places: &[u16], out: &mut Vec<u8>) {
    let (mut distances, mut last) = (Vec::new(), 0);
    for place in places {
        put(&mut distances, u64::from(place - last));
        last = *place;
    }
    if distances.len() < BITS_BYTES {
        put(out, places.len() as u64);
        out.append(&mut distances);
        return;
    }
    // No place is counted: bits follow.
    put(out, 0);
    let mut bits = Places::NONE;
    for place in places {
        bits.insert(usize::from(*place));
    }
    out.extend(bits.0);
}

/// Reads a page.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }

    fn places(&mut self) -> Option<Places> {
        let count = self.number()?;
        if count == 0 {
            let (bits, rest) = self.0.split_first_chunk()?;
            self.0 = rest;
            return Some(Places(*bits));
        }
        let (mut places, mut place) = (Places::NONE, 0_usize);
        for _ in 0..count {
            place = place.checked_add(usize::try_from(self.number()?).ok()?)?;
            places.insert(place);
        }
        Some(places)
    }

    /// The same, without making the set.
    fn skip_places(&mut self) -> Option<()> {
        let count = self.number()?;
        if count == 0 {
            self.0 = self.0.get(BITS_BYTES..)?;
        }
        for _ in 0..count {
            self.number()?;
        }
        Some(())
    }
}

/// The grams of a page that begins with this one, in order. A damaged page ends early.
pub(crate) fn read(first: Gram, page: &[u8]) -> impl Iterator<Item = (Gram, Places)> {
    let (mut reader, mut gram) = (Reader(page), first);
    std::iter::from_fn(move || {
        gram = gram.checked_add_unsigned(reader.number()?)?;
        Some((gram, reader.places()?))
    })
}

/// The tasks with a gram in this range, by a page that begins with this one.
pub(crate) fn within(range: &RangeInclusive<Gram>, first: Gram, page: &[u8]) -> Places {
    let (mut reader, mut gram, mut found) = (Reader(page), first, Places::NONE);
    while let Some(next) = reader.number().and_then(|distance| gram.checked_add_unsigned(distance))
        && next <= *range.end()
    {
        gram = next;
        let places =
            if gram < *range.start() { reader.skip_places().map(|()| Places::NONE) } else { reader.places() };
        let Some(places) = places else { break };
        found.unite(&places);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_block_reads_back() {
        let mut block = Block::default();
        let grams_of = |task: i64| {
            let few = (0..40).map(move |number| (task * 37 + number * number * 11) % 9_000 * 1_000_003);
            // In every task, in every second one, in very few.
            let some = [Some(5), (task % 2 == 0).then_some(i64::MAX), (task % 1_000 == 0).then_some(7)];
            few.chain(some.into_iter().flatten()).collect::<BTreeSet<Gram>>()
        };
        (0..BLOCK as i64).for_each(|task| block.push(grams_of(task)));
        let pages = block.pages();
        assert!(pages.len() > 10 && pages.iter().all(|(_, page)| page.len() <= PAGE_BYTES));
        let all: Vec<_> = pages.iter().flat_map(|(first, page)| read(*first, page)).collect();
        assert!(all.is_sorted_by(|(one, _), (next, _)| one < next));
        for task in 0..BLOCK {
            let found = all.iter().filter(|(_, places)| places.contains(task)).map(|(gram, _)| *gram);
            assert_eq!(found.collect::<BTreeSet<_>>(), grams_of(task as i64), "{task}");
        }
        let (first, page) = &pages[0];
        assert_eq!(
            within(&(7..=7), *first, page).iter().collect::<Vec<_>>(),
            [0, 1_000, 2_000, 3_000, 4_000]
        );
        assert_eq!(within(&(8..=9), *first, page), Places::NONE);
    }

    #[test]
    fn a_damaged_page_ends_early() {
        let mut block = Block::default();
        block.push([1, 1 << 50]);
        let (first, page) = &block.pages()[0];
        for length in 0..page.len() {
            assert!(read(*first, &page[..length]).count() < 2);
        }
        assert_eq!(read(0, &[0xff; 20]).count(), 0);
    }
}
