//! Events and log lines side by side.

use std::pin::Pin;

use capstan_envelope::Workspace;
use futures_util::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::logs::Step;
use crate::{Cursor, END, Frame, GapReason, LiveHub, Place, Run, Subscription};

/// A request to follow log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The workspace of the agents.
    pub workspace: Workspace,
    /// The lines of this task; of the whole workspace when absent.
    pub task: Option<Uuid>,
    /// Kept lines after this place come first; from now on when absent.
    pub after: Option<u64>,
    /// True when the subscriber may have missed lines before now.
    pub is_resumed: bool,
}

/// The frames of a subscription with log lines. Every id names a place in the log and, once it is known, among the lines.
pub(crate) fn frames(
    hub: &LiveHub,
    subscription: Subscription,
    lines: Lines,
) -> impl Stream<Item = Run> + Send + use<> {
    let over = CancellationToken::new();
    let merged = Merged {
        cursor: subscription.after,
        line: lines.after,
        gap: (lines.is_resumed && lines.after.is_none()).then_some(GapReason::LogLinesSkipped),
        events: Box::pin(hub.follow(subscription)),
        lines: Box::pin(hub.logs.follow(lines.workspace, lines.task, lines.after, over.clone())),
        has_lines: true,
        over,
        end: None,
    };
    stream::unfold(merged, |mut merged| async move { Some((merged.next().await?, merged)) })
}

struct Merged {
    /// After the last event that was handed out.
    cursor: Option<Cursor>,
    /// The last line that was handed out.
    line: Option<u64>,
    /// A gap in the lines to begin with.
    gap: Option<GapReason>,
    events: Pin<Box<dyn Stream<Item = Run> + Send>>,
    lines: Pin<Box<dyn Stream<Item = Step> + Send>>,
    has_lines: bool,
    /// Tells the lines that nothing more is written.
    over: CancellationToken,
    /// The last frame, which waits for the last lines.
    end: Option<Run>,
}

impl Merged {
    async fn next(&mut self) -> Option<Run> {
        if let Some(reason) = self.gap.take() {
            return Some(Frame::gap_in_lines(reason).into());
        }
        loop {
            tokio::select! {
                events = self.events.next(), if self.end.is_none() => {
                    let events = events?;
                    if events.frames().iter().all(|frame| frame.event != END) {
                        return Some(self.after_events(&events));
                    }
                    self.over.cancel();
                    self.end = Some(events);
                }
                step = self.lines.next(), if self.has_lines => match step {
                    Some(Step::From(line)) => self.line = Some(line),
                    Some(Step::Skipped(line)) => {
                        self.line = Some(line);
                        return Some(Frame::gap_in_lines(GapReason::LogLinesSkipped).into());
                    }
                    Some(Step::Line(line, frame)) => {
                        self.line = Some(line);
                        return Some(Frame { id: self.place(), ..frame }.into());
                    }
                    Some(Step::Unavailable) => {
                        return Some(Frame::gap_in_lines(GapReason::LogLinesUnavailable).into());
                    }
                    None => self.has_lines = false,
                },
                else => return self.end.take(),
            }
        }
    }

    /// The same frames with the place among the lines in their ids.
    fn after_events(&mut self, events: &Run) -> Run {
        let placed = |frame: &Frame| {
            let frame = frame.clone();
            let Some(place) = frame.id else { return frame };
            self.cursor = Some(place.cursor);
            Frame { id: self.place(), ..frame }
        };
        events.frames().iter().map(placed).collect::<Vec<_>>().into()
    }

    fn place(&self) -> Option<Place> {
        self.cursor.map(|cursor| Place { cursor, line: self.line })
    }
}
