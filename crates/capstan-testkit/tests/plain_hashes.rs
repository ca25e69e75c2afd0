//! A plain hash of a short text can be guessed after the text itself was erased. What is stored or shown of texts of people
//! is a fingerprint under the key of the log; every other hash stands here with the reason for which it may be plain.

use std::collections::BTreeSet;
use std::path::Path;

/// Words by which code makes a hash without a key.
const WORDS: &[&str] = &["Sha256", "new_v5", "canonical::hash", "derived("];

/// The files that make one, and of what.
const PLAIN: &[(&str, &str)] = &[
    ("capstan-api/src/auth/access.rs", "the administrators' token, in memory"),
    ("capstan-api/src/auth/bearer.rs", "a secret of 256 random bits"),
    ("capstan-api/src/call.rs", "a body, in memory: the dispatcher stores the fingerprint of this"),
    ("capstan-api/src/nats/message.rs", "the message id a publisher chose"),
    ("capstan-api/src/use_case/archive_all_outputs.rs", "ids"),
    ("capstan-api/src/use_case/attempt_page.rs", "an attempt, for the worker that holds it"),
    ("capstan-api/src/use_case/batch.rs", "an idempotency key"),
    ("capstan-api/src/use_case/continuation.rs", "the name of a session, an idempotency key"),
    ("capstan-api/src/use_case/delete_agent.rs", "ids"),
    ("capstan-api/src/use_case/publish_source_event.rs", "ids"),
    ("capstan-domain/src/canonical.rs", "used by `call.rs` alone"),
    ("capstan-domain/src/class_key.rs", "names of a workspace, an agent, a lane and the words of a policy"),
    ("capstan-domain/src/id.rs", "ids, keys and names from which ids follow"),
    ("capstan-domain/src/matching/index/levels.rs", "the name of a session, in memory"),
    ("capstan-domain/src/schedule/rhythm.rs", "ids and times"),
    ("capstan-engine/src/process/classes.rs", "ids and numbers"),
    ("capstan-engine/src/process/effect.rs", "ids and numbers"),
    ("capstan-engine/src/process/schedules.rs", "ids and times"),
    ("capstan-engine/src/ticking.rs", "ids"),
    ("capstan-envelope/src/commit.rs", "an idempotency key; a lease, whose id is not stored"),
    ("capstan-envelope/src/hash.rs", "a whole commit: the chain"),
    ("capstan-envelope/src/older_keys.rs", "ids of commands"),
    ("capstan-eventlog/src/fingerprint_key.rs", "under the key"),
    ("capstan-eventlog/src/jetstream/streams.rs", "random bits"),
    ("capstan-eventlog/src/memory.rs", "random bits"),
    ("capstan-launcher/src/digest.rs", "files from the internet"),
    ("capstan-launcher/src/provision/packages.rs", "files from the internet"),
    ("capstan-projections/src/catalogue/applied_keys.rs", "ids"),
    ("capstan-projections/src/catalogue/classes.rs", "ids"),
    ("capstan-projections/src/catalogue/inputs.rs", "ids and numbers"),
    ("capstan-projections/src/digest.rs", "all rows of a model, for the operator"),
    ("capstan-projections/src/queries/select.rs", "the question of a list, in the cursor for who asks"),
    ("capstan-projections/src/search/gram.rs", "42 bits of a label, beside the labels themselves"),
    ("capstan-projections/src/verify.rs", "rows, in a file without a name"),
    ("capstan-worker/src/agent/sessions.rs", "the name of a session, on the worker's disk"),
    ("capstan/src/log/archive/carry.rs", "ids"),
];

#[test]
fn every_hash_without_a_key_is_decided() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(&crates).expect("the crates") {
        walk(&entry.expect("an entry").path().join("src"), &mut |path| {
            let is_test = path.ends_with("tests.rs") || path.ends_with("fixture.rs");
            let text = std::fs::read_to_string(path).expect("a readable file");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            if !is_test && WORDS.iter().any(|word| code.contains(word)) {
                let path = path.strip_prefix(&crates).expect("below the crates");
                found.insert(path.to_string_lossy().into_owned());
            }
        });
    }
    found.retain(|path| !path.starts_with("capstan/src/bench/"));
    let decided: BTreeSet<_> = PLAIN.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(found, decided, "found without a reason, or decided without need");
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&path);
        }
    }
}
