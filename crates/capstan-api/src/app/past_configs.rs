//! Configurations that agents had before their present one, in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use capstan_envelope::StreamId;
use serde_json::{Map, Value};

/// Most of them. Each is as large as the configuration of an agent may be.
const KEPT_MAX: usize = 16;

/// The past configurations that were asked for last: one never changes, and to find it costs its agent's whole stream.
#[derive(Default)]
pub(crate) struct PastConfigs(Mutex<VecDeque<PastConfig>>);

/// Agent, number and content.
type PastConfig = (StreamId, u64, Arc<Map<String, Value>>);

impl PastConfigs {
    /// The agent's configuration of this number, if it is in memory.
    pub(crate) fn get(&self, agent: &StreamId, version: u64) -> Option<Arc<Map<String, Value>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(of, number, _)| (of, *number) == (agent, version))?;
        let found = kept.remove(place)?;
        let config = Arc::clone(&found.2);
        kept.push_front(found);
        Some(config)
    }

    /// Keeps a configuration, in the place of the one that was asked for least recently.
    pub(crate) fn put(&self, agent: StreamId, version: u64, config: &Arc<Map<String, Value>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, number, _)| (of, *number) != (&agent, version));
        kept.push_front((agent, version, Arc::clone(config)));
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
        let config = Arc::default();
        for version in 1..=KEPT_MAX as u64 {
            kept.put(agent.clone(), version, &config);
        }
        assert!(kept.get(&agent, 1).is_some());
        kept.put(agent.clone(), 100, &config);
        let found = [1, 2, 3, 100].map(|version| kept.get(&agent, version).is_some());
        assert_eq!(found, [true, false, true, true]);
        assert!(kept.get(&"dev/agent/b".parse().unwrap(), 1).is_none());
    }
}
