//! Bytes that a part of the process may hold in memory, and those it holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A part's share of the memory of its process: the most bytes it may hold, and those it holds, by its own estimate. The
/// share refuses nothing: its part drops what it can do without, or takes no more. Clones are the same share.
#[derive(Clone, Debug)]
pub struct MemoryShare(Arc<Share>);

#[derive(Debug)]
struct Share {
    limit: usize,
    held: AtomicUsize,
}

impl MemoryShare {
    /// A share of so many bytes, of which none is held.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Share { limit, held: AtomicUsize::new(0) }))
    }

    /// A share without a limit, for tests and for tools whose input is bounded.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Most bytes to hold.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that all holders have.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// True when the holders have more than the limit.
    pub fn is_exceeded(&self) -> bool {
        self.held() > self.limit()
    }

    /// A holder that has so many bytes.
    pub fn hold(&self, bytes: usize) -> Held {
        let mut held = Held { share: self.clone(), bytes: 0 };
        held.add(bytes);
        held
    }
}

/// Bytes that one holder has of a share. Dropped, it gives them back.
#[derive(Debug)]
pub struct Held {
    share: MemoryShare,
    bytes: usize,
}

impl Held {
    /// The share it is of.
    pub fn share(&self) -> &MemoryShare {
        &self.share
    }

    /// Bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.share.0.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives some back, at most what it has.
    pub fn remove(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.share.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Has so many from now on.
    pub fn set(&mut self, bytes: usize) {
        self.add(bytes.saturating_sub(self.bytes));
        self.remove(self.bytes - bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_what_its_holders_have_until_they_are_dropped() {
        let share = MemoryShare::new(10);
        let (mut one, other) = (share.clone().hold(4), share.hold(6));
        assert_eq!((share.held(), share.is_exceeded()), (10, false));
        one.set(5);
        assert!(share.is_exceeded());
        one.set(1);
        one.remove(3);
        assert_eq!((one.bytes(), share.held()), (0, 6));
        drop(other);
        one.add(2);
        assert_eq!(share.held(), 2);
    }
}
