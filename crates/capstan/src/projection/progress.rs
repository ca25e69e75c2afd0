//! The progress of a rebuild or a verification, on standard error.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capstan_projections::{OnReplay, ReplayProgress, ReplayStep};

/// Interval of lines where no terminal shows them.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Moves to the beginning of the line and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Shows the progress: on a terminal as one line that changes, elsewhere as a line for each step and now and then.
pub(super) fn shown() -> OnReplay {
    let is_terminal = stderr().is_terminal();
    let last: Mutex<Option<(ReplayStep, Instant)>> = Mutex::new(None);
    Arc::new(move |progress: &ReplayProgress| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if is_terminal {
            show(&format!("{CLEAR}{progress}"));
        } else if last.is_none_or(|(step, at)| step != progress.step || at.elapsed() >= LINE_EVERY) {
            show(&format!("{progress}\n"));
            *last = Some((progress.step, Instant::now()));
        }
    })
}

/// Removes the line from a terminal.
pub(super) fn cleared() {
    if stderr().is_terminal() {
        show(CLEAR);
    }
}

fn show(text: &str) {
    let mut out = stderr();
    // The progress is for people who look; without them, the work goes on.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
