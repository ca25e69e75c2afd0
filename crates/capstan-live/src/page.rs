//! Frames in a row, made once for all who get the same.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use capstan_contract::whole_records;
use capstan_envelope::{Position, Recorded};

use crate::form::{Form, SseEvents};
use crate::frame::write_event;
use crate::{Cursor, Frame};

/// Bytes of a page over the wire, about, from which on nothing is added to it.
pub(crate) const PAGE_BYTES: usize = 128 << 10;
/// Bytes of an event's frame beside the event's stored data: what a frame shows of its commit, and what the stored data
/// leaves out.
const FRAME_OVERHEAD_BYTES: usize = 640;

/// Frames in a row. Clones, and all whose frames are of the same commits, share the frames and their bytes.
#[derive(Clone, Debug)]
pub struct Run {
    page: Arc<Page>,
    /// The frames of the page that belong to the run.
    range: Range<usize>,
}

/// Some commits of one selection, or frames of another making. The frames and each form of them are made when they are first
/// asked for.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// None for frames of another making.
    commits: Vec<Arc<Recorded>>,
    count: usize,
    wire_bytes: usize,
    frames: OnceLock<Vec<Frame>>,
    sse: OnceLock<Form>,
    websocket: OnceLock<Form>,
}

/// Bytes of a commit's frames over the wire, about.
pub(crate) fn wire_bytes(recorded: &Recorded) -> usize {
    recorded.commit.events.iter().map(|event| FRAME_OVERHEAD_BYTES + event.data.get().len()).sum()
}

impl Page {
    pub(crate) fn new(commits: Vec<Arc<Recorded>>) -> Self {
        let count = commits.iter().map(|recorded| recorded.commit.events.len()).sum();
        let wire_bytes = commits.iter().map(|recorded| wire_bytes(recorded)).sum();
        Self { commits, count, wire_bytes, ..Self::default() }
    }

    /// Bytes of the frames over the wire, about.
    pub(crate) fn wire_bytes(&self) -> usize {
        self.wire_bytes
    }

    /// Commits in pages of bounded size.
    pub(crate) fn split(commits: impl IntoIterator<Item = Arc<Recorded>>) -> Vec<Self> {
        let (mut pages, mut open, mut bytes) = (Vec::new(), Vec::new(), 0);
        for recorded in commits {
            bytes += wire_bytes(&recorded);
            open.push(recorded);
            if bytes >= PAGE_BYTES {
                pages.push(Self::new(std::mem::take(&mut open)));
                bytes = 0;
            }
        }
        if !open.is_empty() {
            pages.push(Self::new(open));
        }
        pages
    }

    /// Position of the last commit.
    pub(crate) fn last(&self) -> Option<Position> {
        self.commits.last().map(|recorded| recorded.position)
    }

    /// The frames of the events behind `cursor`.
    pub(crate) fn after(self: &Arc<Self>, cursor: Cursor) -> Run {
        let is_seen = |recorded: &Arc<Recorded>| cursor.seen_of(recorded.position).is_none();
        let (seen, rest) = self.commits.split_at(self.commits.partition_point(is_seen));
        let whole: usize = seen.iter().map(|recorded| recorded.commit.events.len()).sum();
        let part = rest.first().and_then(|recorded| cursor.seen_of(recorded.position)).unwrap_or_default();
        Run { page: Arc::clone(self), range: (whole + part).min(self.count)..self.count }
    }

    fn frames(&self) -> &[Frame] {
        self.frames.get_or_init(|| {
            let (frames, sse) = self.make();
            // The frames are parts of it, so nobody made another one before.
            let _ = self.sse.set(sse);
            frames
        })
    }

    fn make(&self) -> (Vec<Frame>, Form) {
        let mut events = SseEvents::with_capacity(self.wire_bytes);
        let mut names = Vec::with_capacity(self.count);
        for recorded in &self.commits {
            for (index, event) in whole_records(&recorded.commit).into_iter().enumerate() {
                let id = Cursor::after_event(recorded.position, index, recorded.commit.events.len()).into();
                events.push(Some(id), &event.name, |text| write_event(text, recorded, &event));
                names.push((id, event.name));
            }
        }
        let (sse, data) = events.finish();
        let frames = names.into_iter().zip(data);
        (frames.map(|((id, event), data)| Frame { id: Some(id), event, data }).collect(), sse)
    }

    fn sse(&self) -> &Form {
        let frames = self.frames();
        self.sse.get_or_init(|| Form::sse(frames))
    }

    fn websocket(&self) -> &Form {
        self.websocket.get_or_init(|| Form::websocket(self.frames()))
    }
}

impl Run {
    /// The frames.
    pub fn frames(&self) -> &[Frame] {
        &self.page.frames()[self.range.clone()]
    }

    /// The frames as server-sent events.
    pub fn sse(&self) -> Bytes {
        self.page.sse().slice(&self.range)
    }

    /// The frames as a server writes them to a WebSocket: whole text messages with their heads.
    pub fn websocket(&self) -> Bytes {
        self.page.websocket().slice(&self.range)
    }

    /// The parts of the run with frames that are taken. They share its bytes.
    pub fn select(&self, mut takes: impl FnMut(&Frame) -> bool) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for (index, frame) in (self.range.start..).zip(self.frames()) {
            if !takes(frame) {
                continue;
            }
            match parts.last_mut() {
                Some(part) if part.range.end == index => part.range.end += 1,
                _ => parts.push(Self { page: Arc::clone(&self.page), range: index..index + 1 }),
            }
        }
        parts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Position of the last commit of its page.
    pub(crate) fn last(&self) -> Option<Position> {
        self.page.last()
    }

    /// The commits of the run, each with the number of its events before the run, and the frame at which it ends.
    pub(crate) fn commits(&self) -> impl Iterator<Item = (&Recorded, usize, usize)> {
        let mut end = 0;
        self.page.commits.iter().filter_map(move |recorded| {
            let begin = end;
            end += recorded.commit.events.len();
            let before = self.range.start.saturating_sub(begin);
            (end > self.range.start).then_some((&**recorded, before, end))
        })
    }

    /// The run up to a frame of its page.
    pub(crate) fn up_to(mut self, end: usize) -> Self {
        self.range.end = end;
        self
    }
}

impl From<Vec<Frame>> for Run {
    fn from(frames: Vec<Frame>) -> Self {
        let count = frames.len();
        let page = Page { count, frames: frames.into(), ..Page::default() };
        Self { page: Arc::new(page), range: 0..count }
    }
}

impl From<Frame> for Run {
    fn from(frame: Frame) -> Self {
        vec![frame].into()
    }
}
