//! Shares one flush among all commits that wait for one.
//!
//! A server that flushes before every acknowledgement flushes once per message, whatever the concurrency. An atomic
//! batch is flushed as a whole, so the commits that gather while a flush is under way go out together next. Each
//! keeps its own expected version; a refused batch falls back to its members one by one. The thresholds are
//! measured: see `docs/decisions/0002-group-commit.md` and `examples/append_bench.rs`.

use std::collections::{HashMap, HashSet, VecDeque};

use futures_util::future::{join, join_all};
use metrics::{counter, histogram};
use tokio::sync::{mpsc, oneshot};

use super::append::{Outcome, Sealed, Sender};
use crate::metric;

/// Fewer commits than this are sent side by side: a batch costs the server a small store of its own, about as much
/// time as this many flushes. Measured: at 16 writers both ways are even, at 32 the batch is twice as fast.
const BATCH_MIN: usize = 16;
/// Most commits of one batch; the server allows 1000.
const BATCH_MAX: usize = 512;
/// Most bytes of one batch.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Leads the batch id; readers need not hold such a batch together.
const GROUP: &str = "g-";
/// Subjects whose last position is remembered, some 150 bytes each; forgetting costs a refused batch at worst.
const REMEMBERED_MAX: usize = 16_384;

/// A commit and who waits for its outcome.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) sealed: Sealed,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

/// Starts the one task; it ends when the last queue handle is dropped.
pub(crate) fn start(sender: Sender, capacity: usize) -> mpsc::Sender<Waiting> {
    let (queue, waiting) = mpsc::channel(capacity);
    tokio::spawn(run(GroupCommit { sender, ends: HashMap::new() }, waiting));
    queue
}

async fn run(mut group_commit: GroupCommit, mut waiting: mpsc::Receiver<Waiting>) {
    let mut queue = VecDeque::new();
    loop {
        if queue.is_empty() {
            match waiting.recv().await {
                Some(first) => queue.push_back(first),
                None => return,
            }
        }
        while let Ok(next) = waiting.try_recv() {
            queue.push_back(next);
        }
        let round = group_commit.take(&mut queue);
        group_commit.flush(round).await;
    }
}

struct GroupCommit {
    sender: Sender,
    /// The last known position of subjects written here lately.
    ends: HashMap<String, u64>,
}

/// The commits that leave together now.
#[derive(Default)]
struct Round {
    members: Vec<Waiting>,
    /// Known to be stale: alone, so that they do not take a whole batch down.
    stale: Vec<Waiting>,
}

impl GroupCommit {
    /// Takes what may go out together: at most one commit per subject, the others stay in line.
    fn take(&self, queue: &mut VecDeque<Waiting>) -> Round {
        let mut round = Round::default();
        let mut bytes = 0;
        let mut left = VecDeque::new();
        let mut subjects: HashSet<String> = HashSet::new();
        while let Some(next) = queue.pop_front() {
            let fits = round.members.len() < BATCH_MAX
                && (round.members.is_empty() || bytes + next.sealed.payload.len() <= BATCH_BYTES_MAX);
            if !fits {
                left.push_back(next);
                break;
            }
            let is_first = subjects.insert(next.sealed.subject.clone());
            if !is_first {
                left.push_back(next);
            } else if self.ends.get(&next.sealed.subject).is_some_and(|end| *end > next.sealed.expected) {
                round.stale.push(next);
            } else {
                bytes += next.sealed.payload.len();
                round.members.push(next);
            }
        }
        left.append(queue);
        *queue = left;
        round
    }

    async fn flush(&mut self, round: Round) {
        let Round { members, stale } = round;
        let sender = self.sender.clone();
        let (ends, _) = join(flush_members(&sender, members), send_singly(&sender, stale)).await;
        if self.ends.len() > REMEMBERED_MAX {
            self.ends.clear();
        }
        self.ends.extend(ends);
    }
}

async fn flush_members(sender: &Sender, members: Vec<Waiting>) -> Vec<(String, u64)> {
    histogram!(metric::GROUP_COMMIT_SIZE).record(members.len() as f64);
    if members.len() < BATCH_MIN {
        return send_singly(sender, members).await;
    }
    let sealed: Vec<&Sealed> = members.iter().map(|member| &member.sealed).collect();
    match sender.send_batch(GROUP, &sealed).await {
        Outcome::Stored { sequence } => {
            let first = sequence + 1 - members.len() as u64;
            let mut ends = Vec::with_capacity(members.len());
            for (index, Waiting { sealed, answer }) in members.into_iter().enumerate() {
                let sequence = first + index as u64;
                ends.push((sealed.subject, sequence));
                // Whoever gave up waiting needs no answer.
                let _ = answer.send(Outcome::Stored { sequence });
            }
            ends
        }
        Outcome::Unknown(source) => {
            let source = source.to_string();
            for Waiting { answer, .. } in members {
                let _ = answer.send(Outcome::Unknown(source.clone().into()));
            }
            Vec::new()
        }
        Outcome::Stale | Outcome::Refused(_) => {
            counter!(metric::GROUP_COMMITS_REFUSED).increment(1);
            send_singly(sender, members).await
        }
    }
}

async fn send_singly(sender: &Sender, members: Vec<Waiting>) -> Vec<(String, u64)> {
    let sent = join_all(members.into_iter().map(async |Waiting { sealed, answer }| {
        let outcome = sender.send(&sealed).await;
        let end = match &outcome {
            Outcome::Stored { sequence } => Some(*sequence),
            _ => None,
        };
        let _ = answer.send(outcome);
        end.map(|end| (sealed.subject, end))
    }));
    sent.await.into_iter().flatten().collect()
}
