//! Configurations that agents had before their present one, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_envelope::StreamId;
use serde_json::{Map, Value};

/// Most of them. Each is as large as the configuration of an agent may be.
const KEPT_MAX: usize = 16;

/// The past configurations that were asked for last: one never changes, and to find it costs its agent's whole stream.
#[derive(Default)]
pub(crate) struct PastConfigs(Mutex<VecDeque<(StreamId, u64, PastConfig)>>);

/// A configuration that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PastConfig {
    /// It is in the log; or, where it is archived, the one of this number is instead.
    Found(u64, Arc<Map<String, Value>>),
    /// Nothing is left of it, nor will be.
    Gone,
}

impl PastConfigs {
    /// What is known of the agent's configuration of this number.
    pub(crate) fn get(&self, agent: &StreamId, version: u64) -> Option<PastConfig> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(of, number, _)| (of, *number) == (agent, version))?;
        let found = kept.remove(place)?;
        let config = found.2.clone();
        kept.push_front(found);
        Some(config)
    }

    /// Keeps a configuration, in the place of the one that was asked for least recently.
    pub(crate) fn put(&self, agent: StreamId, version: u64, config: PastConfig) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, number, _)| (of, *number) != (&agent, version));
        kept.push_front((agent, version, config));
        kept.truncate(KEPT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ones_that_were_asked_for_last_are_kept() {
        let agent: StreamId = "dev/agent/a".parse().unwrap();
        let kept = PastConfigs::default();
        for version in 1..=KEPT_MAX as u64 {
            kept.put(agent.clone(), version, PastConfig::Found(version, Arc::default()));
        }
        assert!(kept.get(&agent, 1).is_some());
        kept.put(agent.clone(), 100, PastConfig::Gone);
        let found = [1, 2, 3, 100].map(|version| kept.get(&agent, version).is_some());
        assert_eq!(found, [true, false, true, true]);
        assert_eq!(kept.get(&agent, 100), Some(PastConfig::Gone));
        assert!(kept.get(&"dev/agent/b".parse().unwrap(), 1).is_none());
    }
}
