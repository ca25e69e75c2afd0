use capstan_envelope::{
    Actor, AppliedKeys, Carried, CarriedAccount, CommitHash, EventRecord, Metadata, OlderKeys,
};
use uuid::Uuid;

use super::*;

impl Content {
    /// An empty log.
    pub(in crate::log::archive) fn of_tests(bytes: usize) -> Self {
        let memory = Memory { bytes, directory: std::env::temp_dir() };
        let (others, agents) = (memory.notes_in(4), memory.notes_in(4));
        Self { memory, end: Position::START, others, agents, besides: 0 }
    }

    /// Reads a commit with facts.
    pub(in crate::log::archive) fn note_facts(&mut self, number: u64, stream: &str) {
        self.note(number, 100, &commit(stream, Vec::new()), true).unwrap();
    }

    /// Reads a commit that carries an agent with this configuration forward.
    pub(in crate::log::archive) fn note_carried(&mut self, number: u64, agent: &str, config_version: u64) {
        self.note(number, 70, &carries(agent, config_version, false, None), false).unwrap();
    }
}

fn commit(stream: &str, events: Vec<EventRecord>) -> Commit {
    Commit {
        commit_id: CommitId(Uuid::nil()),
        stream: stream.parse().unwrap(),
        version: 2,
        previous: Position::START,
        previous_hash: CommitHash::NONE,
        metadata: Metadata::new("c", Actor::System, Uuid::nil(), DateTime::UNIX_EPOCH),
        events,
    }
}

/// A commit that carries an agent forward whose configuration has this number; without one when it is deleted.
fn carries(agent: &str, config_version: u64, is_deleted: bool, account: Option<u64>) -> Commit {
    let profile = serde_json::json!({
        "agent_id": Uuid::nil(), "workspace": "dev", "agent_key": "a", "name": "a", "config": {},
        "created_at": "2026-03-02T09:20:11.513Z",
    });
    let profile = if is_deleted { serde_json::Value::Null } else { profile };
    let state = serde_json::json!({ "profile": profile, "config_version": config_version });
    let raw = |value| serde_json::value::to_raw_value(&value).unwrap();
    let spent = account.map(|through| CarriedAccount {
        through: Position::new(through, CommitHash::NONE),
        account: raw(serde_json::json!({})),
    });
    let (keys, older) = (AppliedKeys::default(), OlderKeys::default());
    let carried = Carried { state: raw(state), keys, older, shown: None, spent };
    commit(agent, vec![carried.record().unwrap()])
}

/// The agent of these notes.
fn agent(content: &Content, name: &str, through: u64) -> Seen {
    let mut found = None;
    for bucket in 0..content.agents.buckets() {
        found = found.or(content.streams(&content.agents, bucket, through).unwrap().remove(name));
    }
    found.unwrap()
}

#[test]
fn an_agent_is_known_from_the_configuration_that_was_carried_forward() {
    for (is_deleted, known) in [(false, 2), (true, 3)] {
        let mut content = Content::of_tests(32 << 20);
        content.note_facts(5, "dev/agent/a");
        assert_eq!(agent(&content, "dev.agent.a", 0).config_version, 0);
        content.note(100, 70, &carries("dev/agent/a", 2, is_deleted, None), false).unwrap();
        let seen = agent(&content, "dev.agent.a", 99);
        assert_eq!((seen.first, seen.carried, seen.config_version), (5, 100, known));
        assert_eq!((seen.bytes, seen.is_carried_last, seen.freed, seen.freed_commits), (70, true, 100, 1));
    }
}

#[test]
fn an_agent_is_carried_again_once_it_is_spent_on_after_its_account_was_read() {
    let is_carried = |account: Option<u64>, spent: Option<u64>| {
        let mut content = Content::of_tests(32 << 20);
        content.note_facts(5, "dev/agent/a");
        if let Some(number) = spent {
            content.agents.add("dev.agent.a", &Note { number, said: Said::Spent }).unwrap();
        }
        content.note(100, 70, &carries("dev/agent/a", 1, false, account), true).unwrap();
        let seen = agent(&content, "dev.agent.a", 0);
        assert_eq!(seen.is_carried_last, !seen.waits(90));
        !seen.waits(90)
    };
    assert!(is_carried(None, None) && !is_carried(None, Some(99)));
    assert!(is_carried(Some(99), Some(99)) && !is_carried(Some(98), Some(99)));
}

#[test]
fn streams_beyond_the_memory_are_refused_and_not_held() {
    let few = |bytes, count| {
        let mut content = Content::of_tests(bytes);
        for number in 1..=count {
            content.note_facts(number, &format!("dev/task/{number}"));
        }
        let folded = (0..4).map(|bucket| content.streams(&content.others, bucket, 0));
        folded.collect::<anyhow::Result<Vec<_>>>()
    };
    let streams = few(32 << 20, 2_000).unwrap();
    assert_eq!(streams.iter().map(Streams::len).sum::<usize>(), 2_000);
    let refused = few(1 << 20, 2_000).unwrap_err().to_string();
    assert!(refused.contains("--memory-mb"), "{refused}");
}

#[test]
fn a_log_of_any_size_has_buckets_that_fit() {
    let buckets =
        |memory: usize, log: u64| Memory { bytes: memory, directory: std::env::temp_dir() }.buckets(log);
    assert_eq!(buckets(32_000_000, 1_000), 1);
    assert_eq!(buckets(256_000_000, 3_200_000_000), 200);
    assert_eq!((buckets(32_000_000, u64::MAX), buckets(256_000_000, u64::MAX)), (244, 1_024));
}
