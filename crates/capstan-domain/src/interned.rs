//! Values that many records share, each held once and dropped some time after nobody uses it.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Values held before those nobody uses are looked for.
const SWEEP_FROM: usize = 1024;

/// Shared values.
#[derive(Debug)]
pub struct Interned<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// The number of values at which unused ones are dropped.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: SWEEP_FROM }
    }
}

impl<T: ?Sized + Eq + Hash> Interned<T> {
    /// The one that is held of all that equal this value.
    pub fn shared(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.known.get(&value) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = SWEEP_FROM.max(2 * self.known.len());
        }
        self.known.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_dropped() {
        let mut interned = Interned::<str>::default();
        let kept = interned.shared("kept".into());
        for number in 0..10_000 {
            interned.shared(number.to_string().into());
        }
        assert!(interned.known.len() <= SWEEP_FROM, "{} values", interned.known.len());
        assert!(Arc::ptr_eq(&kept, &interned.shared("kept".into())));
    }
}
