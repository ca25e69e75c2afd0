//! Configurations that agents had before their present one, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_envelope::{Held, MemoryShare, StreamId};
use serde_json::{Map, Value};

/// Bytes of a configuration beside its values.
const ENTRY_BYTES: usize = 256;
/// Bytes that values take for each byte of their text, about.
const VALUE_FACTOR: usize = 4;

/// The past configurations that were asked for last: one never changes, and to find it costs its agent's whole stream.
pub(crate) struct PastConfigs {
    kept: Mutex<VecDeque<Kept>>,
    share: MemoryShare,
}

struct Kept {
    agent: StreamId,
    version: u64,
    config: PastConfig,
    _held: Held,
}

/// A configuration that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PastConfig {
    /// It is in the log; or, where it is archived, the one of this number is instead.
    Found(u64, Arc<Map<String, Value>>),
    /// Nothing is left of it, nor will be.
    Gone,
}

impl PastConfig {
    /// Bytes it takes, about.
    fn bytes(&self) -> usize {
        match self {
            Self::Found(_, config) => {
                serde_json::to_string(config).map_or(0, |text| VALUE_FACTOR * text.len())
            }
            Self::Gone => 0,
        }
    }
}

impl PastConfigs {
    /// None yet; they are kept in this share.
    pub(crate) fn new(share: &MemoryShare) -> Self {
        Self { kept: Mutex::default(), share: share.clone() }
    }

    /// What is known of the agent's configuration of this number.
    pub(crate) fn get(&self, agent: &StreamId, version: u64) -> Option<PastConfig> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|kept| (&kept.agent, kept.version) == (agent, version))?;
        let found = kept.remove(place)?;
        let config = found.config.clone();
        kept.push_front(found);
        Some(config)
    }

    /// Keeps a configuration. Those that were asked for least recently leave when all do not fit.
    pub(crate) fn put(&self, agent: StreamId, version: u64, config: PastConfig) {
        let held = self.share.hold(ENTRY_BYTES + config.bytes());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| (&kept.agent, kept.version) != (&agent, version));
        kept.push_front(Kept { agent, version, config, _held: held });
        while self.share.is_exceeded() && kept.pop_back().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ones_that_were_asked_for_last_are_kept_as_far_as_they_fit() {
        let (agent, share): (StreamId, _) = ("dev/agent/a".parse().unwrap(), MemoryShare::new(100_000));
        let kept = PastConfigs::new(&share);
        let config = |bytes: usize| Map::from_iter([("role".to_owned(), "r".repeat(bytes).into())]).into();
        for version in 1..=4 {
            kept.put(agent.clone(), version, PastConfig::Found(version, config(5_000)));
        }
        assert!(kept.get(&agent, 1).is_some());
        kept.put(agent.clone(), 100, PastConfig::Found(100, config(5_000)));
        kept.put(agent.clone(), 101, PastConfig::Gone);
        let found = [1, 2, 3, 4, 100, 101].map(|version| kept.get(&agent, version).is_some());
        assert_eq!(found, [true, false, true, true, true, true]);
        assert_eq!(kept.get(&agent, 101), Some(PastConfig::Gone));
        assert!(kept.get(&"dev/agent/b".parse().unwrap(), 1).is_none());
        for version in 200..300 {
            kept.put(agent.clone(), version, PastConfig::Found(version, config(5_000)));
            assert!(share.held() <= 100_000, "{} bytes", share.held());
        }
        kept.put(agent.clone(), 300, PastConfig::Found(300, config(50_000)));
        assert_eq!((kept.get(&agent, 300), share.held()), (None, 0), "larger than all");
    }
}
