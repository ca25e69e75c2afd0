//! What an archive writes and what it frees, known before it begins.

use std::fmt;

use anyhow::ensure;

use super::carry::Carrier;
use super::content::Content;

/// Bytes that an archive frees for each that it writes, at least, unless an operator says otherwise. Over the life of a log that
/// has a bound: with at least `r` all archives together write no more than all other writers, divided by `r - 1`.
pub(in crate::log) const RATIO_MIN: f64 = 1.25;

/// Reads such a ratio.
pub(in crate::log) fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio = text.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio >= 0.0);
    ratio.ok_or("expected a number from 0")
}

/// Streams and bytes of an archive. Bytes are those of the log, with what its storage adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::log) struct Weight {
    pub(super) streams: u64,
    written: u64,
    freed: u64,
}

impl Weight {
    /// That of an archive of the commits up to `through`.
    pub(super) async fn of(content: &Content, carrier: &Carrier<'_>, through: u64) -> anyhow::Result<Self> {
        let mut weight = Self::default();
        for notes in [&content.others, &content.agents] {
            for bucket in 0..notes.buckets() {
                let streams = content.streams(notes, bucket, through)?;
                for seen in streams.values() {
                    weight.freed += seen.freed + seen.freed_commits * content.besides;
                }
                let (bytes, count) = carrier.weigh(&streams, through).await?;
                weight.streams += count;
                weight.written += bytes + count * content.besides;
            }
        }
        Ok(weight)
    }

    /// Refuses an archive that frees less than `ratio` bytes for each that it writes.
    pub(super) fn check(&self, ratio: f64) -> anyhow::Result<()> {
        ensure!(
            self.freed as f64 >= ratio * self.written as f64,
            "archive the log: it would free only {:.2} bytes for each that it writes, and {ratio} are asked for; archive more at \
             once, later, or allow less (--min-ratio)",
            self.freed as f64 / self.written as f64
        );
        Ok(())
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { streams, written, freed } = self;
        write!(f, "{streams} streams to carry forward in {}, which frees {}", Bytes(*written), Bytes(*freed))
    }
}

/// Bytes in a readable unit.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ ..10_000 => write!(f, "{bytes} bytes"),
            bytes @ ..10_000_000 => write!(f, "{} KB", bytes / 1_000),
            bytes => write!(f, "{} MB", bytes / 1_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_must_free_enough_for_what_it_writes() {
        let weight = |written, freed| Weight { streams: 3, written, freed };
        assert!(weight(100, 200).check(2.0).is_ok() && weight(0, 0).check(2.0).is_ok());
        let refused = weight(100, 199).check(2.0).unwrap_err().to_string();
        assert!(refused.contains("free only 1.99 bytes") && refused.contains("--min-ratio"), "{refused}");
        assert!(weight(100, 0).check(0.0).is_ok());
        assert_eq!(
            weight(9_999, 25_300_000).to_string(),
            "3 streams to carry forward in 9999 bytes, which frees 25 MB"
        );
    }

    #[test]
    fn a_ratio_is_a_number_from_nothing() {
        assert_eq!((ratio("0"), ratio("2.5")), (Ok(0.0), Ok(2.5)));
        for text in ["-1", "NaN", "inf", "much"] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }
}
