//! Verifies the log: the hash chain of every stream, and that this build can read every event.

use anyhow::bail;
use capstan_contract::causes::explain;
use capstan_contract::verify_commit;
use capstan_envelope::{CodecError, Position, Recorded};
use capstan_eventlog::{EventLog, Selection};

use super::chains::Chains;
use crate::output;

/// Most commits that are named; the others are counted.
const NAMED_MAX: u64 = 100;

/// The commits that cannot be read.
#[derive(Default)]
struct Unreadable {
    /// Those with an event, a version or a default that this build does not have.
    newer: u64,
    /// Those with data of another shape.
    malformed: u64,
}

impl Unreadable {
    fn note(&mut self, recorded: &Recorded, error: &CodecError) -> anyhow::Result<()> {
        let (count, what) = if error.needs_newer_build() {
            (&mut self.newer, "needs a newer build")
        } else {
            (&mut self.malformed, "is malformed")
        };
        *count += 1;
        if self.newer + self.malformed > NAMED_MAX {
            return Ok(());
        }
        let (stream, at) = (&recorded.commit.stream, recorded.position);
        output::line(&format!("the commit at {at} of {stream} {what}: {}", explain(error)))
    }
}

/// Reads the whole log. Ends at the first commit that breaks a chain; names those that it cannot read, and fails at the end.
pub(super) async fn verify(log: &dyn EventLog) -> anyhow::Result<()> {
    let mut chains = Chains::after(log.archived().through);
    let (mut commits, mut events, mut unreadable) = (0_u64, 0_u64, Unreadable::default());
    let mut tail = log.tail(Selection::All, Position::START).await?;
    loop {
        let batch = tail.next().await?;
        for recorded in &batch.commits {
            chains.extend(recorded)?;
            commits += 1;
            events += recorded.commit.events.len() as u64;
            if let Err(error) = verify_commit(&recorded.commit) {
                unreadable.note(recorded, &error)?;
            }
        }
        if batch.caught_up {
            break;
        }
    }
    output::line(&format!(
        "{commits} commits, {events} events, {} streams: every hash chain is valid{}",
        chains.streams(),
        match log.archived().through {
            0 => String::new(),
            through => format!("; the log begins after {through}, what is before is archived"),
        }
    ))?;
    let Unreadable { newer, malformed } = unreadable;
    if newer + malformed > 0 {
        bail!("read the whole log: {newer} commits need a newer build, {malformed} are malformed");
    }
    Ok(())
}
